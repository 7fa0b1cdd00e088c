package audit

import (
	"slices"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// checkAgain: a step of a job, mostly the whole of it, is paid for once in a
// run, for each model. Whatever was paid for again has an excuse: a fault that
// befell the earlier call, or that the earlier call is on record as one that
// brought nothing: presumed paid, or an answer that did not do.
func (a *Audit) checkAgain() {
	type subject struct {
		job   Job
		step  string
		model string
	}
	before := map[subject]*call{}
	calls := slices.Clone(a.calls)
	slices.SortStableFunc(calls, func(x, y *call) int { return x.begun().Compare(y.begun()) })
	for _, c := range calls {
		s := subject{c.job, c.step(), c.Model}
		first := before[s]
		before[s] = c
		if first == nil || !a.sameRun(first, c) {
			continue
		}
		if c.again = a.excuse(first, c); c.again == "" {
			c.again = unexcused
			a.object(c.job, "was paid for twice: %s by %s at %s, then %s by %s at %s, and nothing excuses it",
				first.ID, first.worker, clock(first.At), c.ID, c.worker, clock(c.At))
		}
	}
}

// begun is when the worker made the call, if that is on record: a slow network
// may have let it arrive after a later one.
func (c *call) begun() time.Time {
	if c.record != nil && c.record.Took > 0 {
		return c.record.Started
	}
	return c.At
}

// step is which step of its job the call was, if that is on record.
func (c *call) step() string {
	if c.record == nil {
		return ""
	}
	return c.record.Step
}

const unexcused = "nothing"

// retried is what a retryable failure that may have cost money is called.
var retried = map[jobs.Kind]string{
	jobs.Timeout:     "timeout, presumed paid",
	jobs.Unreachable: "broken connection, presumed paid",
	jobs.ServerError: "unreadable answer, presumed paid",
	jobs.Internal:    "panic, presumed paid",
}

// sameRun reports whether both calls belong to one run of the job. The run of
// a call that is not on record is the only one there was, or unknown.
func (a *Audit) sameRun(x, y *call) bool {
	if x.record != nil && y.record != nil && x.record.Run > 0 && y.record.Run > 0 {
		return x.record.Run == y.record.Run
	}
	o := a.outcomes[x.job]
	return o == nil || o.Run == 1
}

// useless reports whether a failure of this kind is an answer that did not do:
// a repair turn follows, or the job waits for another model and begins anew.
func useless(k jobs.Kind) bool {
	return k == jobs.InvalidAnswer || k == jobs.Truncated || k == jobs.Refused
}

// excuse says what led to the second of two payments, "" if nothing did.
func (a *Audit) excuse(first, second *call) string {
	known := first.record != nil && first.record.Kind != ""
	fault := a.worst(first, second, known && first.record.Kind == jobs.Interrupted)
	switch {
	case first.record != nil && (first.record.where == "presumption" || first.record.where == unended):
		return a.silenced(first)
	case known && first.record.Billing == jobs.Presumed && retried[first.record.Kind] != "":
		return retried[first.record.Kind]
	case known && useless(first.record.Kind):
		return "answer of no use"
	case fault != nil:
		return string(fault.Kind)
	}
	if slow := a.slow(first.At, second); slow != nil { // it had been sent before
		return string(slow.Kind)
	}
	return ""
}

// silenced is what befell the worker of a call that is presumed paid, also after
// the second payment: what it knew of both died with it. One that was stopped
// while NATS was away left its answers on a disk where nobody came for them. It is
// "" if nothing did, and the worker was taken for dead.
func (a *Audit) silenced(c *call) string {
	for _, kind := range []Kind{Kill, Freeze, Network, Stop} {
		if a.since(c.record.Started, c.worker, func(f *Fault) bool { return f.Kind == kind && (kind != Stop || a.while(f, Broker)) }) {
			return string(kind)
		}
	}
	return ""
}

// worst is the fault between two payments that most likely led to the second:
// what befell the worker itself comes first. A stop in good order leads to
// none, but that its grace ran out and it cut the call short; nor does a Redis
// that was away or lost its sums.
func (a *Audit) worst(first, second *call, cutShort bool) *Fault {
	for _, kind := range []Kind{Kill, Freeze, Network, Broker, Stop} {
		if kind == Stop && !cutShort {
			return nil
		}
		if f := a.during(first.begun(), second.At, first.worker, func(f *Fault) bool { return f.Kind == kind }); f != nil {
			return f
		}
	}
	return nil
}
