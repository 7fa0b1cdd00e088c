package resilience

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// moment is the wait for a model's quota that is never worth another model.
const moment = time.Second

// sitOut waits in the slot for a model whose quota is used up, or makes an
// obstacle of it: another model is to be asked, or the job comes back later.
func (a *asking) sitOut(ctx context.Context, no *Refusal) *obstacle {
	if own := no.Wait - no.Behind; own > longPause {
		a.chain.Outages.paused(a.link.Model.Name, no.Reason, own)
	}
	stuck := a.overlimit(no.Wait, no.Reason)
	if stuck == nil {
		a.rest(ctx, no.Wait)
	} else if stuck.sort == queued {
		stuck.wait -= no.Behind / 2 // so that the line does not run out of the batch's calls
	}
	return stuck
}

// overlimit makes an obstacle of a wait for the quota that is not to be spent
// in this slot.
func (a *asking) overlimit(wait time.Duration, why string) *obstacle {
	if but := a.passes(wait); but != "" {
		return a.stuck(limited, wait, "%s%s", why, but)
	}
	if max(wait, leastWait) > a.patience {
		return a.stuck(queued, wait, "%s", why)
	}
	return nil
}

// passes tells why another model is to be asked rather than this one waited
// for, as a clause, or "" if it is to be waited for.
func (a *asking) passes(wait time.Duration) string {
	policy := a.whenLimited()
	if policy == jobs.WaitWhenLimited || wait <= moment || a.link.Model.Name == a.chosen {
		return ""
	}
	next := a.next()
	said := fmt.Sprintf(" for %v", wait.Round(100*time.Millisecond))
	switch {
	case next == nil && !a.passedOver():
		return "" // nobody else to ask
	case next == nil:
		return said
	case policy == jobs.FallBackWhenLimited:
		return said + ", and the batch does not wait"
	case a.runsLate(wait):
		a.hurried = true
		return said + ", and waiting would miss the deadline"
	case !dearer(next.Model, &a.plan) && a.chain.Gate.Ahead(a.callOf(next)) < wait:
		return said + fmt.Sprintf(", and %s costs no more", next.Model.Name)
	}
	return ""
}

// next is the model after this one that could take the job, nil if none.
func (a *asking) next() *Link {
	links := a.chain.Links
	for i := a.place(a.link.Model.Name) + 1; i < len(links); i++ {
		m := links[i].Model
		worn := a.task.Tried[m.Name].Failed >= a.chain.Retry.Most
		if m.HasRoom(a.plan.Input, a.plan.Output) && !worn && !a.met(m.Name) {
			return &links[i]
		}
	}
	return nil
}

// met reports whether the run met something other than a limit at the model.
func (r *run) met(model string) bool {
	return slices.ContainsFunc(r.obstacles, func(o *obstacle) bool { return o.model == model && o.sort != limited })
}

// passedOver reports whether some model was, for its quota alone.
func (r *run) passedOver() bool {
	return slices.ContainsFunc(r.obstacles, func(o *obstacle) bool { return o.sort == limited })
}

func (a *asking) callOf(link *Link) *jobs.Call {
	call := a.plan
	call.Model = link.Model
	return &call
}

// dearer reports whether the call costs more with that model than planned, as
// it may where a price is unknown; without any price, nothing is dear.
func dearer(m *jobs.Model, plan *jobs.Call) bool {
	if m.Price == nil || plan.Model.Price == nil {
		return m.Price != plan.Model.Price
	}
	return m.Price.Worst(plan.Input, plan.Output) > plan.Worst
}

// runsLate reports whether waiting would miss the batch's deadline: for this
// job, or for those behind it if all of them wait: then as large a part of the
// jobs goes on to another model as would be left.
func (a *asking) runsLate(wait time.Duration) bool {
	left, ok := a.left()
	if !ok {
		return false
	}
	reserve := a.reserve()
	if wait+reserve >= left {
		return true
	}
	if a.task.Outlook == nil {
		return false
	}
	batch := a.task.Batch
	part := 1 - a.chain.Detours.share(batch.ID) // of the rate, that is this model's
	end := batch.Deadline.Add(-2 * reserve)     // the last jobs take their time
	return a.chain.Detours.due(batch.ID, a.task.Outlook().Short(end, part))
}

// reserve is how long before the deadline a call has to begin: twice as long as
// calls last, at least a moment.
func (a *asking) reserve() time.Duration {
	lasts := a.chain.Detours.lasts(a.link.Model.Name)
	if next := a.next(); next != nil {
		lasts = max(lasts, a.chain.Detours.lasts(next.Model.Name))
	}
	return max(2*lasts, moment)
}

// errHurry ends a wait for the quota after which the deadline would be missed,
// and which another model can end.
var errHurry = errors.New("waiting would miss the deadline")

// patient is the context in which the gate is asked, which may block for the
// call's turn: not beyond what makes the run end, see halted, nor longer than
// the deadline leaves time to ask another model.
func (a *asking) patient(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	entered := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-a.stop():
		case <-a.task.Lost:
		case <-entered:
		}
		cancel()
	})
	done := func() {
		close(entered)
		watching.Wait()
	}
	left, ok := a.left()
	if !ok {
		return ctx, done
	}
	var late error
	if a.whenLimited() != jobs.WaitWhenLimited && a.link.Model.Name != a.chosen && (a.next() != nil || a.passedOver()) {
		left, late = left-a.reserve(), errHurry
	}
	ctx, end := context.WithTimeoutCause(ctx, left, late)
	return ctx, func() {
		end()
		done()
	}
}

func (a *asking) whenLimited() jobs.WhenLimited {
	return cmp.Or(a.task.Batch.WhenLimited, a.chain.WhenLimited, jobs.AutoWhenLimited)
}

// links are all models of the chain, in order.
func (r *run) links() []*Link {
	all := make([]*Link, len(r.chain.Links))
	for i := range r.chain.Links {
		all[i] = &r.chain.Links[i]
	}
	return all
}

// limitedAgain returns the one of the models passed over for their quotas that
// is free first, none if there are none. That one is waited for.
func (r *run) limitedAgain() []*Link {
	var first *obstacle
	for _, o := range r.obstacles {
		if o.sort == limited && (first == nil || o.wait < first.wait) {
			first = o
		}
	}
	if first == nil {
		return nil
	}
	r.chosen, r.chosenFailures = first.model, first.failed
	r.obstacles = slices.DeleteFunc(r.obstacles, func(o *obstacle) bool { return o == first })
	return []*Link{&r.chain.Links[r.place(first.model)]}
}

// unneeded forgets that later models were passed over for their quotas: that is
// no reason for an answer by this one.
func (r *run) unneeded(m *jobs.Model) {
	r.obstacles = slices.DeleteFunc(r.obstacles, func(o *obstacle) bool {
		return o.sort == limited && r.place(o.model) > r.place(m.Name)
	})
}

// place is where in the chain a model stands.
func (r *run) place(model string) int {
	return slices.IndexFunc(r.chain.Links, func(l Link) bool { return l.Model.Name == model })
}
