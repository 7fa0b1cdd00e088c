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
