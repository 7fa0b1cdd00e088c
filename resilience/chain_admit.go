package resilience

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/drover-batch/drover/jobs"
)

const (
	leaveWithin = 10 * time.Second // for telling the gate, repeats included
	awayWait    = 5 * time.Second  // before a job comes back that met a gate out of reach
	leastWait   = 100 * time.Millisecond
	alreadySeen = 10 * time.Millisecond // a pause asked for within that time is not looked for
	unfelt      = time.Millisecond / 2  // a call that much early is of no matter to a quota, and a timer costs CPU
	longestWait = time.Hour             // a job looks again by then, whatever it was told
)

// admit blocks until the call may be sent this very moment, or tells why it
// may not. Refusals that lapse soon are waited out, without using up a try.
func (a *asking) admit(ctx context.Context, call *jobs.Call) *obstacle {
	if a.task.Slot != nil {
		a.task.Slot.Take(ctx)
	}
	for {
		if stuck := a.halted(ctx); stuck != nil {
			return stuck
		}
		if a.awaitRoom(ctx) {
			continue
		}
		wait := a.chain.Gate.Ahead(call)
		if wait > 0 {
			if why := a.passes(wait); why != "" {
				return a.stuck(limited, wait, "its quota is used up for now%s", why)
			}
		}
		call.ID = a.chain.NewID() // what was turned away is never made
		pass, err := a.enter(ctx, call, wait)
		if errors.Is(err, errHurry) {
			a.hurried = true
			return a.stuck(limited, wait, "its quota is used up for now, and %v", errHurry)
		}
		if err != nil {
			return a.lost(ctx, err)
		}
		if pass.Refusal == nil {
			return a.lastCheck(ctx, call, pass.Wait)
		}
		if stuck := a.refused(ctx, call, pass.Refusal); stuck != nil {
			return stuck
		}
	}
}

// enter asks the gate. Where it is likely to block for the call's turn, that
// ends with whatever ends the run.
func (a *asking) enter(ctx context.Context, call *jobs.Call, wait time.Duration) (Pass, error) {
	if wait == 0 && a.task.Batch.Deadline.IsZero() {
		return a.chain.Gate.Enter(ctx, call)
	}
	ctx, done := a.patient(ctx)
	defer done()
	return a.chain.Gate.Enter(ctx, call)
}

// awaitRoom waits while what the call brings could not be stored, or until the
// run has to end, and reports whether it had to.
func (a *asking) awaitRoom(ctx context.Context) bool {
	if a.chain.Freed == nil {
		return false
	}
	freed := a.chain.Freed()
	if freed == nil {
		return false
	}
	var late <-chan time.Time
	if left, ok := a.left(); ok {
		t := time.NewTimer(left)
		defer t.Stop()
		late = t.C
	}
	select {
	case <-freed:
	case <-late:
	case <-ctx.Done():
	case <-a.stop():
	case <-a.task.Lost:
	}
	return true
}

// lost is for when nobody could be asked. Should the call be admitted after
// all, its reply lost on the way, the gate itself gives it back.
func (a *asking) lost(ctx context.Context, err error) *obstacle {
	if stuck := a.halted(ctx); stuck != nil {
		return stuck
	}
	a.chain.report(fmt.Errorf("asking whether a call may be made: %w", err))
	return a.stuck(away, awayWait, "the gate is out of reach")
}

// lastCheck waits for an admitted call's turn and makes sure that it is still
// wanted then. If it is not, the call is given back unmade.
func (a *asking) lastCheck(ctx context.Context, call *jobs.Call, wait time.Duration) *obstacle {
	stuck := a.awaitTurn(ctx, call, wait)
	if stuck == nil && a.task.Settled != nil {
		if stuck = a.looked(ctx); stuck == nil {
			stuck = a.halted(ctx) // looking takes its time
		}
	}
	if stuck != nil {
		a.leave(ctx, call, unmade(call))
	}
	return stuck
}

// awaitTurn waits for an admitted call's turn, and on if the provider has asked
// for a pause meanwhile or the circuit has opened; a long one is left to others.
func (a *asking) awaitTurn(ctx context.Context, call *jobs.Call, wait time.Duration) *obstacle {
	for wait > unfelt {
		a.sleep(ctx, wait)
		if stuck := a.halted(ctx); stuck != nil {
			return stuck
		}
		if wait < alreadySeen {
			break
		}
		if wait = a.chain.Gate.Due(ctx, call); wait > 0 {
			if stuck := a.overlimit(wait, "a pause or an open circuit holds it up"); stuck != nil {
				return stuck
			}
		}
		a.patience -= wait
	}
	return a.halted(ctx)
}

// looked asks the broker whether somebody else has answered by now.
func (a *asking) looked(ctx context.Context) *obstacle {
	done, err := a.task.Settled(ctx)
	switch {
	case ctx.Err() != nil:
		return &obstacle{sort: stopping}
	case err != nil:
		a.chain.report(fmt.Errorf("looking for an outcome before a call: %w", err))
		return a.stuck(away, awayWait, "the broker is out of reach")
	case done:
		return &obstacle{sort: settled}
	}
	return nil
}

// refused waits a refusal out, or makes an obstacle of it.
func (a *asking) refused(ctx context.Context, call *jobs.Call, no *Refusal) *obstacle {
	switch {
	case no.Guard == BreakerGuard && no.Circuit == Closed:
		return a.stuck(ramping, no.Wait, "%s", no.Reason)
	case no.Guard == BreakerGuard:
		if no.Circuit == Open {
			a.chain.Outages.shut(a.link.Model.Name, no.Reason)
		}
		return a.stuck(open, no.Wait, "%s", no.Reason)
	case no.Guard == ClaimGuard:
		return a.stuck(claimed, no.Wait, "%s", no.Reason)
	case no.Guard == LedgerGuard && no.Final:
		return a.unpayable(call, no)
	case no.Final:
		return a.stuck(barred, 0, "%s", no.Reason)
	case no.Guard == LimiterGuard:
		return a.sitOut(ctx, no)
	}
	if no.Guard == LedgerGuard && no.Wait > shortly {
		a.chain.Outages.unpaid(a.link.Model.Name, call.Tenant, no.Reason)
	}
	if a.rest(ctx, no.Wait) {
		return nil
	}
	return a.stuck(held, no.Wait, "%s", no.Reason)
}

// unpayable makes an obstacle of money that does not suffice.
func (a *asking) unpayable(call *jobs.Call, no *Refusal) *obstacle {
	o := a.stuck(spent, 0, "%s", no.Reason)
	o.need, o.then = call.Worst, no.Then
	switch {
	case no.Never:
		o.sort = never
		if p := call.Model.Price; p != nil {
			o.why += fmt.Sprintf(", and %s tokens in at %v and up to %s out at %v a million make %v",
				jobs.Grouped(call.Input), p.Input, jobs.Grouped(call.Output), p.Output, call.Worst)
		}
	case no.Cheaper:
		o.sort = dear
	}
	return o
}

// rest waits in the slot if patience allows. A little is added at random, so
// that those who were refused together do not come back together.
func (a *asking) rest(ctx context.Context, wait time.Duration) bool {
	wait = max(wait, leastWait)
	if wait > a.patience {
		return false
	}
	wait += time.Duration(a.chain.Retry.Random() * float64(wait) / 10)
	a.patience -= wait
	a.sleep(ctx, wait)
	return true
}

// unmade is what the gate is told of a call that was not made. It is no
// attempt, and goes on no record.
func unmade(call *jobs.Call) *jobs.Attempt {
	a := record(call, time.Now(), nil, jobs.Failf(jobs.Interrupted, "the call was not made"))
	return &a
}

// leave tells the gate what became of a call, also when the worker is being
// stopped. If the gate cannot be told, the call's hold lapses and its worst
// case counts as spent.
func (a *asking) leave(ctx context.Context, call *jobs.Call, attempt *jobs.Attempt) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveWithin)
	defer cancel()
	var err error
	for wait := leastWait; ; wait *= 4 {
		if err = a.chain.Gate.Leave(ctx, call, attempt); err == nil {
			return
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
			continue
		case <-ctx.Done():
			t.Stop()
		}
		a.chain.report(fmt.Errorf("telling the gate what became of a call for job %s: %w", call.Job, err))
		return
	}
}
