package resilience

import (
	"cmp"
	"slices"

	"github.com/drover-batch/drover/jobs"
)

// cheaperLeft reports whether a cheaper model may still answer: one that has
// room for the request and comes later, or that is only waited for.
func (a *asking) cheaperLeft() bool {
	if a.lavish {
		return false
	}
	passed := true
	for i := range a.chain.Links {
		m := a.chain.Links[i].Model
		if m.Name == a.link.Model.Name {
			passed = false
			continue
		}
		if m.Price == nil || m.Price.Worst(a.plan.Input, a.plan.Output) >= a.plan.Worst {
			continue
		}
		if !passed && m.HasRoom(a.plan.Input, a.plan.Output) || passed && a.waitsFor(m.Name) {
			return true
		}
	}
	return false
}

func (r *run) waitsFor(model string) bool {
	return slices.ContainsFunc(r.obstacles, func(o *obstacle) bool { return o.model == model && o.sort.waits() })
}

// spared returns the models that cheaper ones came before, if none of those
// answered and none is waited for: a soft limit is no reason to have no answer.
func (r *run) spared() (links []*Link) {
	if _, wait := r.wakes(); wait && !r.worn() {
		return nil
	}
	for i := range r.chain.Links {
		link := &r.chain.Links[i]
		if slices.ContainsFunc(r.obstacles, func(o *obstacle) bool { return o.model == link.Model.Name && o.sort == dear }) {
			links = append(links, link)
		}
	}
	r.lavish = true
	r.obstacles = slices.DeleteFunc(r.obstacles, func(o *obstacle) bool { return o.sort == dear })
	return links
}

// unpaid decides a run that only money keeps from an answer, as the budget that
// refused says, else the batch.
func (r *run) unpaid(o *obstacle) jobs.Decision {
	switch then := cmp.Or(o.then, r.task.Batch.WhenSpent); {
	case o.sort == never, then == jobs.BuryWhenSpent:
		return r.dead(o)
	case then == jobs.ExpireWhenSpent:
		end := r.outcome(r.task.Job.Unasked())
		end.Kind = jobs.OverBudget
		end.Reason = "the money does not suffice: " + r.clauses()
		return jobs.Decision{Outcome: end}
	}
	d := r.rest(r.chain.Patience)
	d.Short = &jobs.Shortage{Reason: "the money does not suffice: " + r.clauses(), Needs: map[string]jobs.USD{}}
	for _, o := range r.obstacles {
		if o.sort.money() {
			d.Short.Needs[o.model] = o.need
		}
	}
	return d
}

// broke returns the obstacle that stands for money if money is all that was
// in the way: one that a higher limit removes rather than one that none does.
func (r *run) broke() (found *obstacle, ok bool) {
	if n := len(r.obstacles); n > 0 && r.obstacles[n-1].unruled && r.obstacles[n-1].sort.money() {
		return r.obstacles[n-1], true // the answer is there
	}
	for _, o := range r.obstacles {
		switch {
		case o.sort == failed || o.sort == barred:
			return nil, false
		case o.sort.money() && (found == nil || found.sort == never):
			found = o
		}
	}
	return found, found != nil
}
