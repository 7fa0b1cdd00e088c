package audit

import (
	"time"

	"github.com/drover-batch/drover/jobs"
)

// checkRecords: every call that was paid for is on record once, at no less
// than it cost: with an outcome, as waste, or as one that never ended.
func (a *Audit) checkRecords() {
	for _, c := range a.calls {
		c.record = find(a.book[c.job], func(r *record) bool { return r.answers(c) })
	}
	for _, c := range a.calls {
		if c.record == nil {
			c.record = find(a.book[c.job], func(r *record) bool { return a.presumes(r, c) || a.delayed(r, c) })
		}
		switch {
		case c.record != nil && c.record.Cost < c.cost:
			a.object(c.job, "call %s did cost %s and is on record as %s", c.ID, c.cost, c.record.Cost)
		case c.record == nil:
			a.object(c.job, "call %s by %s at %s was paid for and is not on record", c.ID, c.worker, clock(c.At))
			a.Figures.Unrecorded++
		}
	}
}

// find takes the first record that nobody took yet and that the claim holds for.
func find(records []*record, is func(*record) bool) *record {
	for _, r := range records {
		if !r.taken && is(r) {
			r.taken = true
			return r
		}
	}
	return nil
}

// read fills the book with what is on record of each job, and checks that it
// names each call once. What was presumed of a call that is on record
// elsewhere too does not count.
func (a *Audit) read() {
	a.book = map[Job][]*record{}
	seen := map[string]bool{}
	note := func(job Job, where, why string, attempts []jobs.Attempt) {
		for _, t := range attempts {
			if seen[t.Call] && (where == "presumption" || where == unended) {
				continue
			}
			if seen[t.Call] {
				a.object(job, "its call %s is on record twice", t.Call)
			}
			if where != "outcome" && why == "" {
				a.object(job, "its call %s is on record as %s without a reason", t.Call, where)
			}
			seen[t.Call] = true
			a.book[job] = append(a.book[job], &record{Attempt: t, where: where, why: why})
		}
	}
	for job, o := range a.outcomes {
		note(job, "outcome", "", o.Attempts)
	}
	for _, lapsed := range []bool{false, true} {
		for _, w := range a.Wastes {
			where := "waste"
			if lapsed {
				where = "presumption"
			}
			if w.Lapsed == lapsed {
				job, ok := a.names[w.Job]
				if !ok {
					job = Job{Batch: w.Batch} // an allowance, held for calls that it did not come to
				}
				note(job, where, w.Reason, w.Attempts)
			}
		}
	}
	for _, s := range a.Unended {
		note(a.names[s.Job], unended, "its worker died", []jobs.Attempt{{
			Call: s.Call, Model: s.Model, Started: s.At, Billing: jobs.Presumed, Cost: s.Cost,
		}})
	}
}

// answers reports whether an attempt is the one behind a call of the ledger.
// One that got no answer knows only when it was made.
func (r *record) answers(c *call) bool {
	if r.RequestID != "" {
		return r.RequestID == "req-"+c.ID
	}
	return r.Model == c.Model && !c.At.Before(r.Started) && !c.At.After(r.Started.Add(r.Took))
}

// unended is where a call is on record that went there before it was sent.
const unended = "the record of calls"

// presumes reports whether the record may be what is presumed of the call: it
// went on record before it was sent, and its worker died with it.
func (a *Audit) presumes(r *record, c *call) bool {
	if r.Model != c.Model || c.At.Before(r.Started) {
		return false
	}
	return r.where == "presumption" || r.where == unended && a.since(r.Started, c.worker, func(f *Fault) bool { return f.Kind == Kill })
}

// delayed reports whether the attempt may have reached the provider only after
// the worker had given up on it.
func (a *Audit) delayed(r *record, c *call) bool {
	return r.RequestID == "" && r.Billing == jobs.Presumed && r.Model == c.Model && !c.At.Before(r.Started) &&
		a.during(r.Started, c.At, c.worker, func(f *Fault) bool { return f.Kind == Network || f.Kind == Freeze }) != nil
}

// underway is how long a call may take from its worker to the provider.
const underway = 500 * time.Millisecond

// slow finds what kept a call on its way from some time until it arrived.
func (a *Audit) slow(since time.Time, c *call) *Fault {
	return a.during(since, since, c.worker, func(f *Fault) bool { return f.Kind == Network && !f.To.Add(underway).Before(c.At) })
}
