package budget

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-batch/drover/jobs"
)

func TestAlertIsRaisedOnceAndHandledByOne(t *testing.T) {
	t.Parallel()
	c := Config{Budgets: []Budget{{Tenant: "acme", Limit: 100, AlertAt: []float64{0.5, 0.8}}}, AlertAt: []float64{0.9}}
	onEach(t, c, func(t *testing.T, s *store) {
		spend := func(id string, n jobs.USD) {
			t.Helper()
			s.spend(t, limited(call(id, "b", small, n), 60))
		}
		alerts := func() []string { return s.raised(t) }
		spend("a", 49)
		if got := alerts(); got != nil {
			t.Errorf("got %q", got)
		}
		spend("b", 1)
		spend("c", 2)
		failed := s.Alerts(t.Context(), s.rdb, func(Alert) error { return fmt.Errorf("no network") })
		if failed == nil || !strings.Contains(failed.Error(), "no network") {
			t.Errorf("got %v", failed)
		}
		if got := alerts(); got != nil {
			t.Errorf("somebody else got %q at once", got)
		}
		spend("d", 2)
		if got, want := alerts(), []string{"$0.000054 of the budget of $0.00006 of batch b is spent: 90 % or more"}; cmp.Diff(want, got) != "" {
			t.Error(cmp.Diff(want, got))
		}
		if s.clock != nil {
			s.clock(s.now().Add(2 * handling))
			if got, want := alerts(), []string{"$0.00005 of the budget of $0.0001 of acme is spent: 50 % or more"}; cmp.Diff(want, got) != "" {
				t.Error(cmp.Diff(want, got))
			}
		}
		if sum := s.sum(t, "budget:acme"); sum.Alerted != 0.5 {
			t.Errorf("got %+v", sum)
		}
	})
}

func TestRaisedLimitAlertsAgainAtItsShares(t *testing.T) {
	t.Parallel()
	c := Config{Budgets: []Budget{{Tenant: "acme", Limit: 100, AlertAt: []float64{0.5, 0.8}}}}
	onEach(t, c, func(t *testing.T, s *store) {
		said := func(limit, spent string, share int) string {
			return fmt.Sprintf("%s of the budget of %s of acme is spent: %d %% or more", spent, limit, share)
		}
		for i, row := range []struct {
			limit, spend jobs.USD
			want         []string
		}{
			{100, 50, []string{said("$0.0001", "$0.00005", 50)}},
			{100, 30, []string{said("$0.0001", "$0.00008", 80)}},
			{120, 1, nil}, // 81 of it: still more than half
			{120, 15, []string{said("$0.00012", "$0.000096", 80)}},
			{1000, 4, nil},
			{1000, 400, []string{said("$0.001", "$0.0005", 50)}},
			{600, 10, []string{said("$0.0006", "$0.00051", 80)}}, // lowered
		} {
			if err := s.SetLimit(t.Context(), s.rdb, "budget:acme", row.limit); err != nil {
				t.Fatal(err)
			}
			s.spend(t, call(fmt.Sprint("call ", i), "b", small, row.spend))
			if got := s.raised(t); cmp.Diff(row.want, got) != "" {
				t.Errorf("step %d: %s", i, cmp.Diff(row.want, got))
			}
		}
	})
}

// While a limit changes, some workers have the old one: each change to and fro
// alerted anew.
func TestTwoLimitsAtOnceDoNotAlertAgainAndAgain(t *testing.T) {
	t.Parallel()
	budgets := func(limit jobs.USD) Config {
		return Config{Budgets: []Budget{{Tenant: "acme", Limit: limit, AlertAt: []float64{0.5, 0.8}}}}
	}
	onEach(t, budgets(100), func(t *testing.T, s *store) {
		other := newStore(t, budgets(200), s.rdb)
		other.now = s.now
		s.spend(t, call("first", "b", small, 80))
		if got := s.raised(t); len(got) != 2 {
			t.Errorf("got %q", got)
		}
		for i := range 5 {
			other.spend(t, call(fmt.Sprint("raised ", i), "b", small, 1))
			s.spend(t, call(fmt.Sprint("as before ", i), "b", small, 1))
		}
		if got := s.raised(t); len(got) > 0 {
			t.Errorf("once more: %q", got)
		}
		if sum := s.sum(t, "budget:acme"); sum.Alerted != 0.8 {
			t.Errorf("got %+v", sum)
		}
		other.spend(t, call("last", "b", small, 70))
		at := "$0.00016 of the budget of $0.0002 of acme is spent: "
		if got, want := s.raised(t), []string{at + "50 % or more", at + "80 % or more"}; cmp.Diff(want, got) != "" {
			t.Error(cmp.Diff(want, got))
		}
	})
}

// Earlier builds kept which share had alerted last, and not at which amounts.
func TestSharesThatAnEarlierBuildHasToldAreNotToldAgain(t *testing.T) {
	t.Parallel()
	c := Config{Budgets: []Budget{{Tenant: "acme", Limit: 100, AlertAt: []float64{0.5, 0.8}}}}
	onEach(t, c, func(t *testing.T, s *store) {
		s.spend(t, call("first", "b", small, 60))
		if got := s.raised(t); len(got) != 1 {
			t.Errorf("got %q", got)
		}
		s.rdb.HDel(t.Context(), s.accountKey("budget:acme"), "told")
		other := newStore(t, Config{Budgets: []Budget{{Tenant: "acme", Limit: 200, AlertAt: []float64{0.5, 0.8}}}}, s.rdb)
		other.now = s.now
		for i := range 3 {
			s.spend(t, call(fmt.Sprint("as before ", i), "b", small, 1))
			other.spend(t, call(fmt.Sprint("raised ", i), "b", small, 1))
		}
		if got := s.raised(t); len(got) > 0 {
			t.Errorf("once more: %q", got)
		}
	})
}

// spend pays the worst case of a call.
func (s *store) spend(t testing.TB, c *jobs.Call) {
	t.Helper()
	if r := s.enters(t, c); r.Refused {
		t.Fatalf("got %+v", r)
	}
	s.leaves(t, c, jobs.Billed, c.Worst)
}

// raised is what was alerted since the last time.
func (s *store) raised(t testing.TB) (list []string) {
	t.Helper()
	err := s.Alerts(t.Context(), s.rdb, func(a Alert) error {
		list = append(list, a.String())
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}
