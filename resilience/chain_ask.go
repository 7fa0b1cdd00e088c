package resilience

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// asking is one model being asked one thing, until it answers or is passed
// over.
type asking struct {
	*run
	link       *Link
	step       step
	plan       jobs.Call     // every call is a copy with its own id
	patience   time.Duration // what is left of it
	asked      time.Time     // when the next call was first wanted
	calls      int
	failures   int // calls that used up a try
	rateLimits int // calls that were rate limited
	repaired   bool
}

// ask asks one model as often as its tries allow.
func (r *run) ask(ctx context.Context, link *Link, s step) (*jobs.Answer, *obstacle) {
	a := &asking{run: r, link: link, step: s, patience: r.chain.Patience}
	if link.Model.Name == r.chosen {
		a.failures = r.chosenFailures
	}
	if stuck := a.prepare(); stuck != nil {
		return nil, stuck
	}
	if answer, stuck, over := a.takeUp(ctx); over {
		return answer, stuck
	}
	for {
		call := a.plan
		a.asked = time.Now()
		if stuck := a.admit(ctx, &call); stuck != nil {
			return nil, stuck
		}
		answer, fail := a.send(ctx, &call)
		if fail == nil && a.judged(answer) {
			var stuck *obstacle
			if fail, stuck = a.rule(ctx, answer); stuck != nil {
				return nil, stuck
			}
		}
		if fail == nil {
			return answer, nil
		}
		stuck, again := a.repair(ctx, fail)
		if again {
			continue
		}
		if stuck == nil {
			stuck = a.failed(ctx, fail)
		}
		if stuck != nil {
			return nil, stuck
		}
	}
}

// prepare plans the calls to the model, or tells why it cannot take the job.
func (a *asking) prepare() *obstacle {
	m, t := a.link.Model, a.task
	if t := t.Tried[m.Name]; t.Failed >= a.chain.Retry.Most {
		return a.stuckWith(failed, 0, &jobs.Failure{Kind: t.Kind, Message: t.Message})
	}
	if stuck := a.doubted(); stuck != nil {
		return stuck
	}
	if !m.Vision && seen(a.step.request) {
		return a.stuck(blind, 0, "does not see images: one that does has vision: true")
	}
	input, output := a.link.Asker.Tokens(a.step.request), int64(m.MaxOutput)
	if own := int64(a.step.request.MaxOutput); own > 0 {
		output = min(output, own)
	}
	if !m.HasRoom(input, output) {
		return a.stuck(unfit, 0, "%s tokens do not fit its %s", jobs.Grouped(input), jobs.Grouped(int64(m.Context)))
	}
	if m.Context > 0 {
		output = min(output, int64(m.Context)-input)
	}
	if fail := a.meter.ask(input + output); fail != nil {
		return a.stuckWith(hopeless, 0, fail)
	}
	a.plan = jobs.Call{
		Worker: a.chain.Worker,
		Job:    t.Job.ID, Run: t.Job.Run, Batch: t.Batch.ID, Tenant: t.Batch.Tenant,
		Limit: t.Batch.Budget, AlertAt: t.Batch.AlertAt, CheaperAt: t.Batch.CheaperAt,
		Model: m, Step: cmp.Or(a.step.name, a.meter.step()), Input: input, Output: output,
		Weight: t.Batch.Weight, Urgent: t.Batch.Urgent,
	}
	if m.Price == nil && a.budgeted(&a.plan) {
		return a.stuck(spent, 0, "no price is known for model %s but a budget applies; add price: to drover.yaml", m.Name)
	}
	if m.Price != nil {
		a.plan.Worst = m.Price.Worst(input, output)
		a.plan.Cheaper = a.cheaperLeft()
	}
	return nil
}

// seen reports whether a request has images.
func seen(r *jobs.Request) bool {
	return slices.ContainsFunc(r.Messages, func(m jobs.Message) bool { return len(m.Images) > 0 })
}

func (r *run) budgeted(call *jobs.Call) bool {
	return call.Limit > 0 || r.chain.Budgeted != nil && r.chain.Budgeted(call)
}

// send makes one admitted call, records what became of it and tells the gate.
func (a *asking) send(ctx context.Context, call *jobs.Call) (*jobs.Answer, *jobs.Failure) {
	if a.calls++; a.calls == 1 {
		a.chain.Retry.Budget.Call()
	}
	started := time.Now()
	answer, fail := a.put(ctx, call)
	attempt := record(call, started, answer, fail)
	attempt.Waited = started.Sub(a.asked)
	a.attempts = append(a.attempts, attempt)
	a.chain.Outages.ended(&attempt)
	a.reject(&attempt, fail)
	a.meter.spend(attempt.Usage)
	if fail != nil && fail.Kind == jobs.Truncated {
		a.cut, a.cutBy = fail.Answer, call.Model.Name
	}
	if fail == nil && a.task.Slot != nil {
		a.task.Slot.Rest()
	}
	a.leave(ctx, call, &attempt)
	return answer, fail
}

// errLate is why a call is given up that takes longer than its model may.
var errLate = errors.New("the model did not answer in time")

// put asks the model within its timeout. A panic is a failure like any other.
func (a *asking) put(ctx context.Context, call *jobs.Call) (answer *jobs.Answer, fail *jobs.Failure) {
	m := call.Model
	defer func() {
		if v := recover(); v != nil {
			answer, fail = nil, panicked("asking "+m.Name, v)
		}
	}()
	outer := ctx
	if m.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, m.Timeout, errLate)
		defer cancel()
	}
	answer, err := a.link.Asker.Ask(ctx, a.step.request, int(call.Output))
	if err != nil {
		return nil, cause(outer, ctx, m, err)
	}
	if fail := a.appraise(answer, a.step.request); fail != nil {
		return nil, fail
	}
	if fail := a.step.passes(answer); fail != nil {
		return nil, fail
	}
	return answer, nil
}

// cause makes a failure of whatever error ended a call. When it was we who
// stopped, a timeout or a broken connection is our doing, not the model's.
func cause(outer, inner context.Context, m *jobs.Model, err error) *jobs.Failure {
	fail, ok := errors.AsType[*jobs.Failure](err)
	if !ok {
		fail = jobs.Failf(jobs.Internal, "%v", err)
		if errors.Is(context.Cause(inner), errLate) {
			fail = jobs.Failf(jobs.Timeout, "%s did not answer within %v", m.Name, m.Timeout)
		}
		fail.Billing = jobs.Presumed
	}
	if outer.Err() == nil || fail.Kind != jobs.Timeout && fail.Kind != jobs.Unreachable && fail.Kind != jobs.Internal {
		return fail
	}
	own := *fail
	own.Kind, own.Message = jobs.Interrupted, "the call was cut short: "+context.Cause(outer).Error()
	return &own
}

// appraise tells what is wrong with an answer, or nil. The answer to a ready
// request is the caller's own business: it is passed on as it is, cut off or
// empty, as the provider's own batches do.
func (r *run) appraise(a *jobs.Answer, req *jobs.Request) *jobs.Failure {
	var fail *jobs.Failure
	switch {
	case a == nil:
		fail = jobs.Failf(jobs.Internal, "neither an answer nor a failure came back")
		fail.Billing = jobs.Presumed
		return fail
	case req.Body != nil:
		return nil
	case a.Finish == jobs.FinishLength:
		fail = jobs.Failf(jobs.Truncated, "the answer hit its limit of %s tokens", jobs.Grouped(a.Usage.Output))
	case a.Finish == jobs.FinishRefused:
		fail = jobs.Failf(jobs.Refused, "the model declined to answer")
	case strings.TrimSpace(a.Text) == "" && (len(a.Calls) == 0 || r.meter == nil): // calls of tools that nobody offered are no answer
		fail = jobs.Failf(jobs.InvalidAnswer, "the answer is empty")
	default:
		return nil
	}
	return unusable(fail, a)
}

// unusable is a failure of an answer that was paid for.
func unusable(fail *jobs.Failure, a *jobs.Answer) *jobs.Failure {
	fail.Billing, fail.Answer = jobs.Billed, a
	fail.Status, fail.Quota, fail.RequestID = a.Status, a.Quota, a.RequestID
	return fail
}

// stuck makes an obstacle of something other than a failed call.
func (a *asking) stuck(s sort, wait time.Duration, format string, args ...any) *obstacle {
	return &obstacle{sort: s, model: a.link.Model.Name, why: fmt.Sprintf(format, args...), wait: wait, tries: a.calls, failed: a.failures}
}

// stuckWith makes an obstacle of a failure.
func (a *asking) stuckWith(s sort, wait time.Duration, fail *jobs.Failure) *obstacle {
	o := a.stuck(s, wait, "%s", fail.Error())
	o.failure = fail
	return o
}
