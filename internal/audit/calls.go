package audit

import (
	"cmp"
	"slices"
	"time"

	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/llm/simulator"
)

// call is one that the provider charged for, and what is known of it.
type call struct {
	simulator.Entry
	worker string
	job    Job
	cost   jobs.USD
	record *record // where it is on record; nil if nowhere
	again  string  // what excuses it, if the same had been paid for before
}

// record is an attempt that outcome or waste tells of.
type record struct {
	jobs.Attempt
	where string // outcome, waste or presumption
	why   string // the waste's reason
	taken bool
}

// attribute finds out who made each call that was paid for, and for which job.
// Calls on the wire and in the ledger are told apart by their prompt: the call
// that left last before an entry is the entry's.
func (a *Audit) attribute() {
	sent := map[string][]Sent{}
	for _, s := range a.Sent {
		sent[s.Prompt] = append(sent[s.Prompt], s)
	}
	for _, of := range sent {
		slices.SortStableFunc(of, func(x, y Sent) int { return x.At.Compare(y.At) })
	}
	ledger := slices.SortedFunc(slices.Values(a.Ledger), func(x, y simulator.Entry) int {
		return cmp.Or(x.At.Compare(y.At), cmp.Compare(x.Seq, y.Seq))
	})
	for _, e := range ledger {
		of := sent[e.Prompt]
		i := len(of) - 1
		for i >= 0 && of[i].At.After(e.At) {
			i--
		}
		if i < 0 {
			if e.Billed {
				a.object(Job{}, "call %s was paid for, and nobody sent it", e.ID)
			}
			continue
		}
		if e.Billed {
			price := a.Prices[e.Model]
			a.calls = append(a.calls, &call{
				Entry: e, worker: of[i].Worker, job: of[i].Job,
				cost: price.Cost(jobs.Usage{Input: e.Input, Output: e.Output}),
			})
		}
		sent[e.Prompt] = slices.Delete(of, i, i+1)
	}
}

// thaw is how long a worker may take to notice that it was frozen.
const thaw = 100 * time.Millisecond

// checkOrder: no call begins after the job's outcome was stored. One that was
// under way already counts, if the worker was frozen or its network slow.
func (a *Audit) checkOrder() {
	for _, c := range a.calls {
		o := a.outcomes[c.job]
		if o == nil || !c.At.After(o.Stored) || !c.At.After(o.Finished) {
			continue
		}
		frozen := a.during(o.Stored, o.Stored, c.worker, func(f *Fault) bool {
			return f.Kind == Freeze && !f.To.Add(thaw).Before(c.At)
		})
		if frozen == nil && a.slow(o.Stored, c) == nil {
			a.object(c.job, "was asked for again at %s, after its outcome", clock(c.At))
		}
	}
}
