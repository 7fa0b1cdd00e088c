package wire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/queue"
	"github.com/drover-batch/drover/resilience"
)

// sameAgain is how long a job waits whose request another one sees to. It
// holds no slot meanwhile.
const sameAgain = 2 * time.Second

// once is a request that is to be paid for once, though several jobs make it.
// Nil is any other.
type once struct {
	w     *Worker
	key   string
	claim *queue.Claim
	end   context.CancelFunc
	beat  sync.WaitGroup
}

// once looks whether a job with the same request has its answer, which is then
// the decision, or is getting it, which is then waited for. Otherwise this job
// sees to it.
func (w *Worker) once(ctx context.Context, d jobs.Delivery, r *jobs.Request) (*once, *jobs.Decision) {
	b := d.Batch()
	if b.Dedupe == "" || b.Dedupe == jobs.DedupeOff {
		return nil, nil
	}
	o := &once{w: w, key: w.sameKey(b, r)}
	claimed, decided, err := o.find(ctx, d)
	switch {
	case ctx.Err() != nil:
		return nil, &jobs.Decision{Back: true}
	case err != nil:
		w.parts.Log.Warn().Err(err).Str("batch", b.ID).Msg("looking for the same request")
		return nil, &jobs.Decision{Wait: sameAgain}
	case decided != nil:
		return nil, &jobs.Decision{Outcome: decided}
	case !claimed:
		return nil, &jobs.Decision{Wait: sameAgain}
	}
	beating, end := context.WithCancel(context.WithoutCancel(ctx))
	o.end = end
	o.beat.Go(func() { o.renew(beating) })
	return o, nil
}

// find looks for an answer, and claims the request if there is none.
func (o *once) find(ctx context.Context, d jobs.Delivery) (claimed bool, decided *jobs.Outcome, err error) {
	if decided, err = o.recall(ctx, d); err != nil || decided != nil {
		return false, decided, err
	}
	claim, fresh, err := o.w.parts.Queue.Claim(ctx, o.key, d.Job().ID, o.w.parts.Config.Worker.Lease)
	if errors.Is(err, queue.ErrClaimed) {
		return false, nil, nil
	}
	if err != nil {
		return false, nil, err
	}
	o.claim = claim
	if !fresh {
		decided, err = o.recall(ctx, d)
	}
	return true, decided, err
}

// recall makes an outcome of an answer to the same request.
func (o *once) recall(ctx context.Context, d jobs.Delivery) (*jobs.Outcome, error) {
	found, err := o.w.recall(ctx, o.key)
	if err != nil || found == nil || found.Job == d.Job().ID {
		return nil, err
	}
	own := jobs.NewOutcome(d.Job(), d.Batch(), jobs.Answered, nil)
	own.SameAs = &jobs.Same{Batch: found.Batch, Job: found.Job, CustomID: found.CustomID}
	own.Repeat(found)
	own.Degraded, own.Reason = found.Degraded, found.Reason
	own.Worker, own.Finished = o.w.parts.ID, time.Now().UTC()
	return own, nil
}

func (o *once) renew(ctx context.Context) {
	lease := o.w.parts.Config.Worker.Lease
	every(ctx, lease/3, func() {
		if err := o.claim.Renew(ctx, lease); err != nil && ctx.Err() == nil {
			o.w.parts.Log.Debug().Err(err).Msg("keeping a request to oneself")
		}
	})
}

// settle makes an answer known to those that wait for it. The claim then stays
// until it lapses, since the outcome is not stored yet. Of anything else
// nobody is told, and the next one sees to the request.
func (o *once) settle(ctx context.Context, b *jobs.Batch, made *jobs.Outcome) {
	if o == nil {
		return
	}
	o.end()
	o.beat.Wait()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unreadable)
	defer cancel()
	var err error
	if servesOthers(b, made) {
		err = o.w.parts.Queue.Remember(ctx, o.key, made)
	} else {
		err = o.claim.Release(ctx)
	}
	if err != nil {
		o.w.parts.Log.Debug().Err(err).Msg("after a request that others wait for")
	}
}

// sameKey is the same for requests of which one answer serves all: of one
// tenant, in one batch unless it may be in any, to the same models, held to
// the same demands.
func (w *Worker) sameKey(b *jobs.Batch, r *jobs.Request) string {
	within := ""
	if b.Dedupe == jobs.DedupeBatch {
		within = b.ID
	}
	var asked []any
	for _, link := range w.chains[b.Chain].Links {
		m := link.Model
		asked = append(asked, m.Name, m.Provider, m.Upstream, m.BaseURL, m.MaxOutput, m.Temperature, m.Effort)
	}
	with, err := json.Marshal([]any{within, asked})
	if err != nil {
		panic(fmt.Sprintf("wire: encoding what a request is asked with: %v", err))
	}
	return "once:" + string(with) + resilience.CacheKey(b, r)
}
