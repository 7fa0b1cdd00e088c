package resilience

import (
	"context"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// maxLimits is how often in a row a rate limit is waited out.
const maxLimits = 5

// failed waits until the model can be asked again after a failure, or makes an
// obstacle of it.
func (a *asking) failed(ctx context.Context, fail *jobs.Failure) *obstacle {
	switch {
	case fail.Kind == jobs.Interrupted:
		return &obstacle{sort: stopping}
	case fail.Kind.Hopeless():
		return a.stuckWith(hopeless, 0, fail)
	case fail.Kind == jobs.NoQuota:
		// It opens the circuit for everybody. This job waits like those that
		// come after it; an operator must act.
		a.chain.Outages.refused(a.link.Model.Name, fail)
		return a.stuckWith(open, a.chain.Patience, fail)
	case fail.Kind == jobs.RateLimited:
		return a.rateLimited(ctx, fail)
	case !fail.Kind.Retryable():
		return a.stuckWith(failed, 0, fail)
	case a.attempts[len(a.attempts)-1].Ambiguous() && a.chain.Retry.Ambiguous != jobs.AskAgain:
		return a.ambiguous(fail)
	}
	return a.retry(ctx, fail)
}

// ambiguous passes over a model whose call may have been paid for, or gives
// the whole job up, as the configuration says.
func (a *asking) ambiguous(fail *jobs.Failure) *obstacle {
	sort, then := failed, "so "+a.link.Model.Name+" is not asked again"
	if a.chain.Retry.Ambiguous == jobs.BuryAmbiguous {
		sort, then = doubtful, "and retry.ambiguous is bury: only a replay asks again"
	}
	told := *fail
	told.Message += "; it may have been paid for, " + then
	return a.stuckWith(sort, 0, &told)
}

// doubted tells of an ambiguous call in an earlier delivery of this run, if
// the configuration wants no other after it: of this model, or of any.
func (a *asking) doubted() *obstacle {
	policy, m := a.chain.Retry.Ambiguous, a.link.Model.Name
	if policy == jobs.AskAgain {
		return nil
	}
	for _, link := range a.chain.Links {
		name := link.Model.Name
		t := a.task.Tried[name]
		if t.Ambiguous == 0 || policy == jobs.AskNext && name != m {
			continue
		}
		return a.ambiguous(jobs.Failf(t.Kind, "in an earlier delivery, %s failed with %s", name, t.Message))
	}
	return nil
}

func (a *asking) rateLimited(ctx context.Context, fail *jobs.Failure) *obstacle {
	a.rateLimits++
	wait := a.chain.Retry.Delay(a.rateLimits, fail.RetryAfter)
	if a.rateLimits > maxLimits {
		a.patience = 0
	}
	stuck := a.sitOut(ctx, &Refusal{Reason: fail.Error(), Wait: wait})
	if stuck != nil {
		stuck.failure = fail
	}
	return stuck
}

// retry waits before another try. A model that there is no connection to is
// waited for, as one whose circuit is open: it is not the job that fails. A
// model that says "not before" for longer than we have patience, and one that
// the retry budget protects, has tries left: the job may come back for them.
func (a *asking) retry(ctx context.Context, fail *jobs.Failure) *obstacle {
	a.failures++
	switch {
	case a.failures >= a.chain.Retry.Tries && fail.Unsent:
		return a.stuckWith(open, a.chain.Patience, fail)
	case a.failures >= a.chain.Retry.Tries:
		return a.stuckWith(failed, 0, fail)
	case fail.RetryAfter > a.patience:
		return a.stuckWith(putOff, fail.RetryAfter, fail)
	case !a.chain.Retry.Budget.Take():
		return a.stuckWith(putOff, a.chain.Patience, fail)
	}
	a.sleep(ctx, a.chain.Retry.Delay(a.failures, fail.RetryAfter))
	return nil
}

// record makes the attempt of a call that was answered, or failed.
func record(call *jobs.Call, started time.Time, answer *jobs.Answer, fail *jobs.Failure) jobs.Attempt {
	a := jobs.Attempt{
		Call: call.ID, Run: call.Run, Model: call.Model.Name, Worker: call.Worker, Step: call.Step,
		Started: started, Took: time.Since(started), Billing: jobs.Billed,
	}
	if fail != nil {
		answer = fail.Answer
		a.Kind, a.Message, a.Status, a.Unsent = fail.Kind, fail.Message, fail.Status, fail.Unsent
		a.RequestID, a.RetryAfter, a.Quota = fail.RequestID, fail.RetryAfter, fail.Quota
		a.Billing = fail.Billing
		switch {
		case a.Billing == "" && answer != nil:
			a.Billing = jobs.Billed
		case a.Billing == "":
			a.Billing = jobs.Free
		}
	} else {
		a.Status, a.RequestID, a.Quota = answer.Status, answer.RequestID, answer.Quota
	}
	if answer != nil {
		a.Usage = answer.Usage
	}
	a.Billing, a.Cost = charge(call, a.Billing, answer)
	a.Unpriced = call.Model.Price == nil && a.Billing != jobs.Free
	return a
}

// charge is what a call cost, and how sure that is. Without the provider's
// usage nobody knows, and the worst case counts.
func charge(call *jobs.Call, b jobs.Billing, answer *jobs.Answer) (jobs.Billing, jobs.USD) {
	if b == jobs.Free {
		return b, 0
	}
	if answer == nil || answer.Usage.Total() == 0 {
		return jobs.Presumed, call.Worst
	}
	if answer.Estimated {
		b = jobs.Presumed
	}
	if call.Model.Price == nil {
		return b, 0
	}
	return b, call.Model.Price.Cost(answer.Usage)
}
