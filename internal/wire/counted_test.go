package wire

import (
	"testing"

	"github.com/drover-batch/drover/budget"
	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/jobs"
)

func TestBudgetThatIsAddedBeginsWithWhatItsTurnHasCost(t *testing.T) {
	inWorld(t, second, func(w *world) {
		w.submit(jobs.Batch{ID: "contracts"}, short(20)...)
		w.start("a")
		w.untilOver("contracts")
		w.stop("a")
		w.config.Budgets = []config.Budget{{Name: "acme", Tenant: "acme", Window: "month", Limit: jobs.Dollar}}
		w.start("b", "c")
		w.counts("acme", "contracts")
		w.submit(jobs.Batch{ID: "invoices"}, short(20)...)
		w.untilOver("invoices")
		w.counts("acme", "contracts", "invoices")
	})
}

// While drover.yaml is being rolled out, whoever gets to rebuild lost sums may
// still have the old one.
func TestBudgetThatARebuildingDidNotKnowIsCountedBeforeItsNextCall(t *testing.T) {
	for name, lose := range map[string]func(w *world){
		"the epoch":  func(w *world) { w.must(w.client.Recount(w.ctx)) },
		"everything": func(w *world) { w.flushRedis() },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, limiting(config.Budget{Name: "acme", Tenant: "acme", Limit: jobs.Dollar}), func(w *world) {
				w.submit(jobs.Batch{ID: "contracts"}, short(20)...)
				w.start("a", "b")
				w.untilOver("contracts")
				old, err := budget.New(budget.Config{Keys: w.client.keys})
				w.must(err)
				q := w.client.Queue
				lose(w)
				w.must(old.Rebuild(w.ctx, w.client.Redis, lua.Compose(w.client.keys, old.Module()), budget.Records{
					InFlight: q.InFlight, Book: q.Book(w.ctx), Limits: q.Limits,
				}))
				w.submit(jobs.Batch{ID: "invoices"}, short(20)...)
				w.untilOver("invoices")
				w.counts("acme", "contracts", "invoices")
			})
		})
	}
}

// counts checks that a budget has spent what these batches have cost.
func (w *world) counts(budget string, batches ...string) {
	w.Helper()
	var want jobs.USD
	for _, batch := range batches {
		spent, _, err := w.client.Queue.Spent(w.ctx, batch)
		w.must(err)
		want += spent
	}
	sums, err := w.client.Sums(w.ctx, "budget:"+budget)
	w.must(err)
	if len(sums) != 1 || sums[0].Spent != want || want == 0 {
		w.Errorf("sums %+v, want %v spent", sums, want)
	}
}
