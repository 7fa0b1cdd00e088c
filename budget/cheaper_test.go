package budget

import (
	"strings"
	"testing"

	"github.com/drover-batch/drover/jobs"
)

func TestCheaperModelsComeFirstFromTheirShareOn(t *testing.T) {
	t.Parallel()
	onEach(t, Config{Budgets: []Budget{{Tenant: "acme", Limit: 1000, CheaperAt: 0.8}}}, func(t *testing.T, s *store) {
		spend := call("a", "b", small, 799)
		s.enters(t, spend)
		s.leaves(t, spend, jobs.Billed, 799)
		dear := call("b", "b", large, 1)
		dear.Cheaper = true
		if r := s.enters(t, dear); r.Refused {
			t.Fatalf("below the share: %+v", r)
		}
		s.leaves(t, dear, jobs.Billed, 1)
		again := call("c", "b", large, 1)
		again.Cheaper = true
		r := s.enters(t, again)
		if want := "from 80 % on cheaper models come first, and $0.0008 of the budget of $0.001 of acme is spent"; r.Why != want || r.Tag != "cheaper" || !r.Final {
			t.Errorf("got %+v", r)
		}
		if r := s.enters(t, call("d", "b", large, 1)); r.Refused {
			t.Errorf("where there is no cheaper model: %+v", r)
		}
	})
}

func TestBatchHasSharesOfItsOwn(t *testing.T) {
	t.Parallel()
	onEach(t, Config{AlertAt: []float64{0.9}}, func(t *testing.T, s *store) {
		of := func(id string, worst jobs.USD) *jobs.Call {
			c := limited(call(id, "b", large, worst), 1000)
			c.AlertAt, c.CheaperAt, c.Cheaper = []float64{0.25}, 0.5, true
			return c
		}
		c := of("a", 500)
		s.enters(t, c)
		s.leaves(t, c, jobs.Billed, 500)
		if r := s.enters(t, of("b", 1)); r.Tag != "cheaper" || !strings.Contains(r.Why, "of batch b is spent") {
			t.Errorf("got %+v", r)
		}
		var shares []float64
		err := s.Alerts(t.Context(), s.rdb, func(a Alert) error { shares = append(shares, a.Share); return nil })
		if err != nil || len(shares) != 1 || shares[0] != 0.25 {
			t.Errorf("alerts at %v, %v", shares, err)
		}
	})
}

// A refusal used to tell the first account's that did not fit, so a call that
// can never fit one budget waited for another, or was buried for the wrong one.
func TestGravestRefusalIsTold(t *testing.T) {
	t.Parallel()
	c := Config{Budgets: []Budget{
		{Name: "patient", Limit: 100},
		{Name: "brief", Limit: 100, WhenSpent: jobs.ExpireWhenSpent},
		{Name: "tiny", Model: "large", Limit: 10},
	}}
	onEach(t, c, func(t *testing.T, s *store) {
		spend := call("a", "b", small, 100)
		s.enters(t, spend)
		s.leaves(t, spend, jobs.Billed, 100)
		if r := s.enters(t, call("b", "b", small, 1)); r.Tag != "expire" || !strings.Contains(r.Why, "of brief is spent") {
			t.Errorf("spent: %+v", r)
		}
		if r := s.enters(t, call("c", "b", large, 11)); r.Tag != "never" || !strings.Contains(r.Why, "the budget of tiny is $0.00001") {
			t.Errorf("too large: %+v", r)
		}
	})
}

func TestLoweredLimitGivesNothingUp(t *testing.T) {
	t.Parallel()
	onEach(t, Config{Budgets: []Budget{{Tenant: "acme", Limit: 100}}}, func(t *testing.T, s *store) {
		spend := call("a", "b", small, 30)
		s.enters(t, spend)
		s.leaves(t, spend, jobs.Billed, 30)
		if err := s.SetLimit(t.Context(), s.rdb, "budget:acme", 5); err != nil {
			t.Fatal(err)
		}
		if r := s.enters(t, call("b", "b", small, 10)); !r.Final || r.Tag == "never" {
			t.Errorf("lowered while workers ran: %+v", r)
		}
		if r := s.enters(t, limited(call("c", "b", small, 25), 20)); !r.Final || r.Tag == "never" {
			t.Errorf("a batch's limit lowered beneath what it has spent: %+v", r)
		}
	})
}

func TestFitsIsWhatTheCallWillFind(t *testing.T) {
	t.Parallel()
	onEach(t, Config{Budgets: []Budget{{Tenant: "acme", Window: Day, Limit: 100}}}, func(t *testing.T, s *store) {
		fits := func(c *jobs.Call) bool {
			t.Helper()
			ok, err := s.Fits(t.Context(), s.rdb, c)
			if err != nil {
				t.Fatal(err)
			}
			return ok
		}
		if !fits(call("a", "b", small, 100)) || fits(call("a", "b", small, 101)) {
			t.Error("wrong about an empty account")
		}
		held := limited(call("a", "b", small, 40), 50)
		s.enters(t, held)
		if !fits(call("b", "c", small, 60)) || fits(call("b", "c", small, 61)) || fits(limited(call("b", "b", small, 11), 50)) {
			t.Error("wrong about what is held")
		}
		s.leaves(t, held, jobs.Billed, 20)
		if !fits(call("b", "c", small, 80)) || fits(limited(call("b", "b", small, 31), 50)) {
			t.Error("wrong about what is spent")
		}
		if err := s.SetLimit(t.Context(), s.rdb, "budget:acme-day", 150); err != nil {
			t.Fatal(err)
		}
		if !fits(call("b", "c", small, 130)) || fits(call("b", "c", small, 131)) {
			t.Error("wrong about a limit that was set")
		}
	})
}
