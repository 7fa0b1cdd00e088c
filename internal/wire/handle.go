package wire

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/pool"
	"github.com/drover-batch/drover/queue"
	"github.com/drover-batch/drover/resilience"
)

// unknownChain is how long a batch rests whose chain this worker does not
// have: another worker may, or this one after a restart.
const unknownChain = 10 * time.Second

// unreadable is how long a job waits of which nobody can tell how far it had
// come: to begin anew might be to pay again.
const unreadable = 5 * time.Second

// lookWithin is for asking the broker about an outcome.
const lookWithin = 10 * time.Second

// handle makes a decision of a delivery. The rest of a batch does not wait for
// what the chain lacks that a dead letter was replayed with.
func (w *Worker) handle(ctx context.Context, d jobs.Delivery, slot *pool.Slot) jobs.Decision {
	decision := w.ask(ctx, d, slot)
	decision.Rest = decision.Rest && !d.Job().Instead.Reroutes()
	return decision
}

// ask renders the prompt and runs the chain.
func (w *Worker) ask(ctx context.Context, d jobs.Delivery, slot *pool.Slot) jobs.Decision {
	job, batch := d.Job(), d.Batch()
	chain, ok := w.chains[batch.Chain]
	if !ok {
		who := "the batch wants"
		if job.Instead.Reroutes() {
			who = "dead letters were replayed with"
		}
		return w.rests(batch, unknownChain, fmt.Sprintf("%s the chain %q; this worker has %s",
			who, batch.Chain, strings.Join(slices.Sorted(maps.Keys(w.chains)), ", ")), nil)
	}
	kit, missing := w.kit(ctx, batch, &job.Document)
	if missing != nil {
		return *missing
	}
	request, err := w.prompts.render(batch, &job.Document, kit)
	if err != nil {
		return jobs.Decision{Outcome: unaskable(job, batch, err)}
	}
	calls, lost, done := w.callContext(ctx)
	defer done()
	if lent, ok := d.(*delivery); ok && w.parts.Config.Traces.Propagate {
		calls = jobs.WithTraceparent(calls, lent.trace.Traceparent())
	}
	task := resilience.Task{
		Job: job, Batch: batch, Request: request, Expires: d.Expires, Lost: lost, Settled: settled(d), Keep: d.Checkpoint, Slot: slot,
		Dropped: func() bool { return w.source.Dropped(batch.ID) },
		Outlook: func() jobs.Outlook { return w.source.Outlook(batch.ID) },
	}
	if err := w.demand(&task); err != nil {
		return w.rests(batch, unknownChain, "this worker cannot check the batch's answers", err)
	}
	if !d.Fresh() {
		if task.Resumed, err = d.Resume(ctx); err != nil {
			w.parts.Log.Warn().Err(err).Str("batch", batch.ID).Msg("looking for how far a job had come")
			return jobs.Decision{Wait: unreadable}
		}
		if task.Tried, err = d.Tried(ctx); err != nil {
			w.parts.Log.Warn().Err(err).Str("batch", batch.ID).Msg("looking for earlier tries")
		}
	}
	var decision jobs.Decision
	if kit != nil { // tools have effects, and their document is not in the request
		equip(&task, kit, ran(d))
	} else {
		same, found := w.once(ctx, d, request)
		if found != nil {
			return *found
		}
		defer func() {
			w.remember(ctx, batch, request, decision.Outcome)
			same.settle(ctx, batch, decision.Outcome)
		}()
	}
	decision = chain.Run(calls, task)
	return decision
}

// settled looks for an outcome unless there certainly is none.
func settled(d jobs.Delivery) func(context.Context) (bool, error) {
	return func(ctx context.Context) (bool, error) {
		if d.Fresh() {
			return false, nil
		}
		ctx, cancel := context.WithTimeout(ctx, lookWithin)
		defer cancel()
		return d.Settled(ctx)
	}
}

// remember makes an answer findable for batches that accept earlier ones. It
// is done before the outcome is stored, as a reference to it: a reference to
// nothing is never found, and a lost one costs nothing but itself.
func (w *Worker) remember(ctx context.Context, b *jobs.Batch, r *jobs.Request, o *jobs.Outcome) {
	if !b.Degrade.Cached || !servesOthers(b, o) {
		return
	}
	key := resilience.CacheKey(b, r)
	if err := w.parts.Queue.Remember(ctx, key, o); err != nil {
		w.parts.Log.Warn().Err(err).Str("batch", b.ID).Msg("an answer will not be found again")
	}
}

// servesOthers reports whether an outcome, nil for none, has an answer that may
// be given to others: a model's own, and one that passed the batch's checks.
func servesOthers(b *jobs.Batch, o *jobs.Outcome) bool {
	return o != nil && o.Status == jobs.Answered && o.Degraded != jobs.Cached && o.Degraded != jobs.Unavailable &&
		(!b.Answer.Any() || o.Checked != "")
}

// recall is the cache that the chains ask.
func (w *Worker) recall(ctx context.Context, key string) (*jobs.Outcome, error) {
	o, err := w.parts.Queue.Recall(ctx, key)
	if errors.Is(err, queue.ErrNotRemembered) {
		return nil, nil
	}
	return o, err
}

// unaskable is the end of a job whose prompt asks for what it does not have.
func unaskable(j *jobs.Job, b *jobs.Batch, err error) *jobs.Outcome {
	o := jobs.NewOutcome(j, b, jobs.Dead, nil)
	o.Kind, o.Reason = jobs.InvalidRequest, err.Error()
	if fail, ok := errors.AsType[*jobs.Failure](err); ok {
		o.Kind, o.Reason = fail.Kind, fail.Message
	}
	o.Finished = time.Now().UTC()
	return o
}

// callContext is the context of a job's calls. It outlives the lease: a call on
// its way is paid for whether its answer is awaited or not, and the answer may
// still be the first. lost is closed when the lease is.
func (w *Worker) callContext(ctx context.Context) (calls context.Context, lost <-chan struct{}, done func()) {
	calls, cut := context.WithCancelCause(w.calls)
	gone := make(chan struct{})
	inside := context.AfterFunc(ctx, func() {
		if cause := context.Cause(ctx); errors.Is(cause, jobs.ErrLeaseLost) {
			close(gone)
		} else {
			cut(cause)
		}
	})
	return calls, gone, func() {
		inside()
		cut(nil)
	}
}
