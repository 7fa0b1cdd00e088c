package budget

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-batch/drover/jobs"
)

func TestPresentHasTheConfiguredBudgetsOfThisTurnAndListsNobodyElse(t *testing.T) {
	t.Parallel()
	c := Config{Budgets: []Budget{{Tenant: "acme", Window: Day, Limit: 100}, {Tenant: "acme", Limit: 200}, {Tenant: "other", Limit: 300}}}
	onEach(t, c, func(t *testing.T, s *store) {
		if err := s.SetLimit(t.Context(), s.rdb, "budget:acme", 250); err != nil {
			t.Fatal(err)
		}
		a, b := call("a", "b1", small, 30), call("b", "b2", large, 40)
		s.enters(t, a)
		s.enters(t, b)
		s.leaves(t, a, jobs.Billed, 20)
		s.rdb.AddHook(unlisted{t})
		got, err := s.Present(t.Context(), s.rdb)
		if err != nil {
			t.Fatal(err)
		}
		today := Day.span(time.Now(), time.UTC)
		none := map[string]jobs.USD{}
		want := []Sum{
			{Account: "budget:acme-day", Title: "acme-day on " + today.name, Window: Day, Turn: today.name, Start: today.start, End: today.end, Limit: 100, Spent: 20, Held: 40, Models: none, Batches: none},
			{Account: "budget:acme", Title: "acme", Limit: 250, Set: true, Spent: 20, Held: 40, Models: none, Batches: none},
			{Account: "budget:other", Title: "other", Limit: 300, Models: none, Batches: none},
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	})
}
