package resilience

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// end decides a run that an obstacle ended before all models were tried.
func (r *run) end(o *obstacle) jobs.Decision {
	switch o.sort {
	case hopeless, doubtful:
		return r.dead(o)
	case claimed, dropped:
		return r.wait(o.wait)
	case away:
		return r.rest(o.wait)
	case queued:
		wait, _ := r.wakes()
		return r.rest(wait)
	case late:
		end := r.outcome(r.task.Job.Unasked())
		end.Kind = jobs.PastDeadline
		end.Reason = fmt.Sprintf("the batch's deadline, %s UTC, has gone by", r.task.Batch.Deadline.UTC().Format(time.DateTime))
		return jobs.Decision{Outcome: end}
	}
	// Stopping, or settled by somebody else: whoever gets the job next looks
	// before anything is called, and lets go of it.
	return jobs.Decision{Back: true, Attempts: r.attempts[r.kept:]}
}

// exhausted decides a run in which no model answered.
func (r *run) exhausted(ctx context.Context) jobs.Decision {
	if wait, ok := r.wakes(); ok && !r.worn() {
		if r.allDown() {
			if o := r.standIn(ctx); o != nil {
				return jobs.Decision{Outcome: o}
			}
		}
		return r.rest(wait)
	}
	if o, ok := r.broke(); ok {
		return r.unpaid(o)
	}
	if o := r.standIn(ctx); o != nil {
		return jobs.Decision{Outcome: o}
	}
	return r.dead(r.last())
}

// wakes is when the first of the models that were only waiting can be asked,
// if there are any.
func (r *run) wakes() (wait time.Duration, ok bool) {
	for _, o := range r.obstacles {
		if o.sort.waits() && (!ok || o.wait < wait) {
			wait, ok = o.wait, true
		}
	}
	return wait, ok
}

// worn reports whether every model that is only waited for has failed the job
// too often to be waited for.
func (r *run) worn() bool {
	for _, o := range r.obstacles {
		if o.sort.waits() && r.task.Tried[o.model].Failed+r.failuresOf(o.model) < r.chain.Retry.Most {
			return false
		}
	}
	return true
}

func (r *run) failuresOf(model string) (n int) {
	for i := range r.attempts {
		if a := &r.attempts[i]; a.Model == model && a.UsesTry() {
			n++
		}
	}
	return n
}

// allDown reports whether every model that could take the job is out of order,
// not merely busy or dear.
func (r *run) allDown() bool {
	return !slices.ContainsFunc(r.obstacles, func(o *obstacle) bool {
		return o.sort == ramping || o.sort == limited || o.sort == putOff || o.sort == held || o.sort == dear
	})
}

// last is the obstacle that tells best why the job died: the newest failure,
// or else the newest of any.
func (r *run) last() *obstacle {
	for _, o := range slices.Backward(r.obstacles) {
		if o.failure != nil {
			return o
		}
	}
	if n := len(r.obstacles); n > 0 {
		return r.obstacles[n-1]
	}
	return r.none()
}

func (r *run) none() *obstacle {
	fail := jobs.Failf(jobs.Internal, "the chain %q has no models", r.chain.Name)
	return &obstacle{sort: failed, model: r.chain.Name, why: fail.Message, failure: fail}
}

// wait hands the job back for a while, or for as long as its batch has left:
// it then comes back to expire.
func (r *run) wait(d time.Duration) jobs.Decision {
	d = max(min(d, longestWait), leastWait)
	if left, ok := r.left(); ok {
		d = max(min(d, left), time.Millisecond)
	}
	return jobs.Decision{Wait: d, Attempts: r.attempts[r.kept:]}
}

// rest is a wait that holds for all jobs of the batch.
func (r *run) rest(d time.Duration) jobs.Decision {
	decision := r.wait(d)
	decision.Rest = true
	return decision
}

// outcome starts the outcome of the run.
func (r *run) outcome(s jobs.Status) *jobs.Outcome {
	o := jobs.NewOutcome(r.task.Job, r.task.Batch, s, r.attempts)
	o.Skipped, o.Rejected = r.skipped(), r.Rejected
	o.Pieces = r.Cut
	o.Worker = r.chain.Worker
	o.Finished = time.Now().UTC()
	if r.meter.underway() {
		o.Transcript = shortened(r.request.Messages)
	}
	return o
}

// answered is the outcome of an answer. One by a later model is partial, for
// whatever reason the earlier ones were passed over.
func (r *run) answered(m *jobs.Model, a *jobs.Answer) *jobs.Outcome {
	r.unneeded(m)
	o := r.outcome(jobs.Answered)
	r.fill(o, m.Name, a)
	if n := len(r.attempts); n > 0 && !r.task.Batch.Deadline.IsZero() {
		r.chain.Detours.took(r.task.Batch.ID, m.Name, r.attempts[n-1].Took, r.hurried && r.passedOver())
	}
	if len(r.obstacles) > 0 {
		o.Degraded = jobs.Partial
		o.Reason = fmt.Sprintf("answered by %s because %s", m.Name, r.clauses())
	}
	r.grade(o)
	r.tellLength(o)
	return o
}

func (r *run) fill(o *jobs.Outcome, model string, a *jobs.Answer) {
	o.Model, o.Answer, o.Finish = model, a.Text, a.Finish
	if r.request.Body != nil && json.Valid(a.Body) {
		o.Response = a.Body
	}
}

// dead ends the job with everything that was tried. An answer that was cut off
// was paid for, so the newest is kept: it may serve all the same.
func (r *run) dead(why *obstacle) jobs.Decision {
	o := r.outcome(jobs.Dead)
	o.Reason = r.clauses() + r.wear()
	switch fail := why.failure; {
	case fail != nil:
		o.Kind, o.Code, o.ErrorBody = fail.Kind, fail.Status, raw(fail.Body)
	case why.sort.money():
		o.Kind = jobs.OverBudget
	case r.newest().Kind != "": // it met an open circuit after its last failure
		o.Kind, o.Code = r.newest().Kind, r.newest().Status
	case why.sort == blind:
		o.Kind = jobs.InvalidRequest
	default:
		o.Kind = jobs.Overflow
	}
	if r.cut != nil {
		r.fill(o, r.cutBy, r.cut)
	}
	return jobs.Decision{Outcome: o}
}

// newest is the last attempt, an empty one if there was none.
func (r *run) newest() jobs.Attempt {
	if n := len(r.attempts); n > 0 {
		return r.attempts[n-1]
	}
	return jobs.Attempt{}
}

// wear tells of failures in earlier deliveries, if there were any.
func (r *run) wear() string {
	text := ""
	for _, link := range r.chain.Links {
		if t := r.task.Tried[link.Model.Name]; t.Failed > 0 {
			text += fmt.Sprintf("; %s had failed %s before", link.Model.Name, jobs.Counted(t.Failed, "time"))
		}
	}
	return text
}

// raw makes valid JSON of an error body, which may be anything.
func raw(body []byte) json.RawMessage {
	if len(body) == 0 || json.Valid(body) {
		return body
	}
	quoted, err := json.Marshal(string(body))
	if err != nil {
		return nil
	}
	return quoted
}
