package budget

import (
	"testing"

	"github.com/drover-batch/drover/jobs"
)

// others is a ledger with other budgets over the same store.
func (s *store) others(t *testing.T, budgets ...Budget) *store {
	t.Helper()
	l, err := New(Config{Budgets: budgets})
	if err != nil {
		t.Fatal(err)
	}
	other := *s
	other.Ledger = l
	return &other
}

func TestNoCallEntersWhoseBudgetTheSumsDoNotCount(t *testing.T) {
	t.Parallel()
	onEach(t, Config{Budgets: []Budget{{Name: "acme", Tenant: "acme", Limit: 1000}}}, func(t *testing.T, s *store) {
		paid := call("paid", "b", small, 10)
		s.enters(t, paid)
		s.leaves(t, paid, jobs.Billed, 10)
		book := bookOf(spendOf(paid, s.now(), 10, jobs.Billed))
		later := s.others(t, Budget{Name: "small", Model: "small", Window: Month, Limit: 500})
		running, next := call("running", "b", small, 5), call("next", "b", small, 5)
		s.enters(t, running)
		if r := later.enters(t, next); !r.NoEpoch {
			t.Fatalf("entered before it was counted: %+v", r)
		}
		if r := s.leaves(t, running, jobs.Billed, 5); !r.NoEpoch {
			t.Errorf("left meanwhile: %+v", r)
		}
		s.restores(t, book) // by a replica that does not have it
		if r := later.enters(t, next); r.NoEpoch || r.Refused {
			t.Errorf("entering after it was counted: %+v", r)
		}
		s.leaves(t, running, jobs.Billed, 5)
		if sum := later.sum(t, "budget:small"); sum.Spent != 10 || sum.Held != 5 || sum.Limit != 500 {
			t.Errorf("its sum: %+v", sum)
		}
		if sum := s.sum(t, "budget:acme"); sum.Spent != 15 || sum.Held != 0 || sum.Limit != 1000 {
			t.Errorf("that of the other: %+v", sum)
		}
	})
}

func TestBudgetThatCountsOtherCallsUnderItsOldNameIsCountedOnce(t *testing.T) {
	t.Parallel()
	onEach(t, Config{Budgets: []Budget{{Name: "acme", Tenant: "acme", Limit: 1000}}}, func(t *testing.T, s *store) {
		later := s.others(t, Budget{Name: "acme", Model: "small", Limit: 500})
		if r := later.enters(t, call("next", "b", small, 5)); !r.NoEpoch {
			t.Fatalf("entered before it was counted: %+v", r)
		}
		s.restores(t, bookOf(spendOf(call("paid", "b", small, 10), s.now(), 10, jobs.Billed), spendOf(call("dear", "b", large, 90), s.now(), 90, jobs.Billed)))
		if sum := later.sum(t, "budget:acme"); sum.Spent != 100 {
			t.Errorf("%+v", sum)
		}
		if r := s.enters(t, call("old", "b", small, 5)); r.NoEpoch {
			t.Error("whoever has it as it was is shut out")
		}
	})
}

func TestCallInFlightIsHeldAgainInBudgetsThatOthersHave(t *testing.T) {
	t.Parallel()
	onEach(t, Config{}, func(t *testing.T, s *store) {
		later := s.others(t, Budget{Name: "acme", Tenant: "acme", Limit: 100})
		running := call("running", "b", small, 60)
		s.enters(t, running)
		if r := later.enters(t, call("next", "b", small, 5)); !r.NoEpoch {
			t.Fatalf("entered before it was counted: %+v", r)
		}
		keys := s.script.Keys() // which the last second before a failover may lose
		s.rdb.HDel(t.Context(), keys.Key("records"), running.ID)
		s.rdb.ZRem(t.Context(), keys.Key("calls"), running.ID)
		s.rdb.HDel(t.Context(), keys.Key("ledger", "live"), string(running.Job))
		s.restores(t, bookOf(), spendOf(running, s.now(), 60, jobs.Presumed))
		if sum := later.sum(t, "budget:acme"); sum.Held != 60 {
			t.Errorf("got %+v", sum)
		}
	})
}
