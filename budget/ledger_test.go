package budget

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/jobs"
)

func TestCallIsCountedInEveryBudgetThatApplies(t *testing.T) {
	t.Parallel()
	c := Config{Budgets: []Budget{
		{Tenant: "acme", Limit: 100}, {Model: "small", Limit: 100},
		{Tenant: "acme", Model: "large", Limit: 100}, {Tenant: "other", Limit: 100},
	}}
	onEach(t, c, func(t *testing.T, s *store) {
		a, b := call("a", "b1", small, 30), call("b", "b2", large, 40)
		s.enters(t, a)
		s.enters(t, b)
		s.leaves(t, a, jobs.Billed, 20)
		got, err := s.Sums(t.Context(), s.rdb)
		if err != nil {
			t.Fatal(err)
		}
		money := func(name string, n jobs.USD) map[string]jobs.USD {
			if n == 0 {
				return map[string]jobs.USD{}
			}
			return map[string]jobs.USD{name: n}
		}
		want := []Sum{
			{Account: "batch:b1", Title: "batch b1", Spent: 20, Models: money("small", 20), Batches: money("b1", 20)},
			{Account: "batch:b2", Title: "batch b2", Held: 40, Models: money("", 0), Batches: money("", 0)},
			{Account: "budget:acme", Title: "acme", Limit: 100, Spent: 20, Held: 40, Models: money("small", 20), Batches: money("b1", 20)},
			{Account: "budget:acme-large", Title: "acme-large", Limit: 100, Held: 40, Models: money("", 0), Batches: money("", 0)},
			{Account: "budget:other", Title: "other", Limit: 100, Models: money("", 0), Batches: money("", 0)},
			{Account: "budget:small", Title: "small", Limit: 100, Spent: 20, Models: money("small", 20), Batches: money("b1", 20)},
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	})
}

func TestRefusalTellsTheArithmetic(t *testing.T) {
	t.Parallel()
	c := Config{Budgets: []Budget{{Tenant: "acme", Window: Day, Limit: 50 * jobs.Dollar}}}
	onEach(t, c, func(t *testing.T, s *store) {
		const batch, limit = "contracts-1a2b", 2_500_000
		refused := func(c *jobs.Call, why string, wait time.Duration, final bool) {
			t.Helper()
			want := lua.Reply{Refused: true, Module: "ledger", Why: why, Wait: wait, Final: final}
			if strings.Contains(why, "can never fit") {
				want.Tag = "never"
			}
			if d := cmp.Diff(want, s.enters(t, limited(c, limit))); d != "" {
				t.Error(d)
			}
		}
		refused(call("big", batch, small, 3*jobs.Dollar),
			"a call of up to $3.00 can never fit: the budget of batch contracts-1a2b is $2.50", 0, true)

		first, second := call("1", batch, small, 2_495_100), call("2", batch, small, 3_000)
		s.enters(t, limited(first, limit))
		refused(call("3", batch, small, 12_000),
			"a call of up to $0.012 does not fit: $0.00 of the budget of $2.50 of batch contracts-1a2b is spent, $2.4951 held", 500*time.Millisecond, false)
		s.leaves(t, first, jobs.Billed, 2_495_100)
		s.enters(t, limited(second, limit))
		refused(call("4", batch, small, 12_000),
			"a call of up to $0.012 does not fit: $2.4951 of the budget of $2.50 of batch contracts-1a2b is spent, $0.003 held", 500*time.Millisecond, false)
		s.leaves(t, second, jobs.Free, 0)
		refused(call("5", batch, small, 12_000),
			"a call of up to $0.012 does not fit: $2.4951 of the budget of $2.50 of batch contracts-1a2b is spent, $0.00 held", 0, true)

		other := call("6", "other", small, 47*jobs.Dollar)
		s.enters(t, other)
		s.leaves(t, other, jobs.Billed, 47*jobs.Dollar)
		r := s.enters(t, call("7", "other", small, jobs.Dollar))
		if !strings.HasPrefix(r.Why, "a call of up to $1.00 does not fit: $49.4951 of the budget of $50.00 of acme-day on 20") || r.Final || r.Wait <= 0 || r.Wait > time.Minute {
			t.Errorf("a spent window: got %+v", r)
		}
	})
}

func TestRefusalByOneBudgetHoldsNothingInAnother(t *testing.T) {
	t.Parallel()
	c := Config{Budgets: []Budget{{Tenant: "acme", Limit: 100}, {Model: "small", Limit: 10}}}
	onEach(t, c, func(t *testing.T, s *store) {
		if r := s.enters(t, call("a", "b", small, 11)); !r.Refused || !r.Final {
			t.Errorf("got %+v", r)
		}
		if sum := s.sum(t, "budget:acme"); sum.Held != 0 {
			t.Errorf("held %v", sum.Held)
		}
		if r := s.enters(t, call("b", "b", small, 10)); r.Refused {
			t.Errorf("got %+v", r)
		}
	})
}

func TestSettling(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name    string
		billing jobs.Billing
		cost    jobs.USD
		dies    bool
		want    Sum
	}{
		{"billed", jobs.Billed, 7, false, Sum{Spent: 7}},
		{"billed beyond all measure", jobs.Billed, math.MaxInt64, false, Sum{Spent: most}},
		{"billed less than nothing", jobs.Billed, -7, false, Sum{}},
		{"free", jobs.Free, 7, false, Sum{}},
		{"presumed", jobs.Presumed, 10, false, Sum{Spent: 10, Ambiguous: 10}},
		{"presumed without a cost", jobs.Presumed, 0, false, Sum{Spent: 10, Ambiguous: 10}},
		{"dead", "", 0, true, Sum{Spent: 10, Presumed: 10}},
		{"dead, then billed", jobs.Billed, 7, true, Sum{Spent: 7}},
		{"dead, then free", jobs.Free, 0, true, Sum{}},
		{"dead, then presumed", jobs.Presumed, 10, true, Sum{Spent: 10, Ambiguous: 10}},
	}
	onEach(t, Config{}, func(t *testing.T, s *store) {
		for i, row := range rows {
			c := call(fmt.Sprint(i), fmt.Sprint("batch", i), small, 10)
			s.enters(t, c)
			if row.dies {
				s.dies(t, c)
			}
			if row.billing != "" {
				s.leaves(t, c, row.billing, row.cost)
				s.leaves(t, c, row.billing, row.cost)
			}
			got := s.sum(t, BatchAccount(c.Batch))
			if spent, listed := got.Models["small"]; spent != row.want.Spent || listed != (spent > 0) {
				t.Errorf("%s: %v of it with models", row.name, got.Models)
			}
			got = Sum{Spent: got.Spent, Held: got.Held, Presumed: got.Presumed, Ambiguous: got.Ambiguous}
			if d := cmp.Diff(row.want, got); d != "" {
				t.Errorf("%s: %s", row.name, d)
			}
		}
		live, lapsed := s.rdb.HLen(t.Context(), s.live).Val(), s.rdb.HLen(t.Context(), s.lapsed).Val()
		if live != 0 || lapsed != 1 {
			t.Errorf("%d live and %d lapsed holds are kept, want only that of the dead", live, lapsed)
		}
	})
}

func TestJobHasOneLiveCall(t *testing.T) {
	t.Parallel()
	onEach(t, Config{}, func(t *testing.T, s *store) {
		a, b, c := call("a", "b", small, 1), call("b", "b", small, 1), call("c", "b", small, 1)
		b.Job, c.Job = a.Job, a.Job
		s.enters(t, a)
		if r := s.enters(t, a); r.Refused {
			t.Errorf("the same call again: %+v", r)
		}
		if r := s.enters(t, b); r.Tag != "claimed" || r.Final || r.Wait != time.Second {
			t.Errorf("another call: %+v", r)
		}
		s.leaves(t, a, jobs.Billed, 1)
		if r := s.enters(t, b); r.Refused {
			t.Errorf("after the first left: %+v", r)
		}
		s.dies(t, b)
		if r := s.enters(t, c); r.Refused {
			t.Errorf("after the second lapsed: %+v", r)
		}
		s.leaves(t, b, jobs.Billed, 1) // after all
		if r := s.enters(t, call("d", "b", small, 1)); r.Refused {
			t.Errorf("an unrelated job: %+v", r)
		}
		if sum := s.sum(t, "batch:b"); sum.Held != 2 || sum.Spent != 2 {
			t.Errorf("got %+v", sum)
		}
	})
}

func TestRaisedLimitAdmits(t *testing.T) {
	t.Parallel()
	c := Config{Budgets: []Budget{{Tenant: "acme", Limit: 10}}}
	onEach(t, c, func(t *testing.T, s *store) {
		if r := s.enters(t, call("a", "b", small, 11)); !r.Final {
			t.Errorf("got %+v", r)
		}
		set := func(limit jobs.USD) {
			t.Helper()
			if err := s.SetLimit(t.Context(), s.rdb, "budget:acme", limit); err != nil {
				t.Fatal(err)
			}
		}
		set(20)
		if r := s.enters(t, call("b", "b", small, 11)); r.Refused {
			t.Errorf("got %+v", r)
		}
		if sum := s.sum(t, "budget:acme"); sum.Limit != 20 || sum.Left() != 9 {
			t.Errorf("got %+v", sum)
		}
		set(0)
		if sum := s.sum(t, "budget:acme"); sum.Limit != 10 || sum.Set || sum.Left() != 0 {
			t.Errorf("got %+v", sum)
		}
		if r := s.enters(t, call("c", "b", small, 1)); !r.Refused {
			t.Errorf("got %+v", r)
		}
		if err := s.others(t).SetLimit(t.Context(), s.rdb, "budget:acme", 1); err != nil {
			t.Errorf("by a process that was not told of it: %v", err)
		}
		for _, name := range []string{"budget:acmee", "acme", "batch:"} {
			if err := s.SetLimit(t.Context(), s.rdb, name, 1); err == nil {
				t.Errorf("set the limit of %q", name)
			}
		}
	})
}

func TestMoneyIsExactUpToNineBillionDollars(t *testing.T) {
	t.Parallel()
	c := Config{Budgets: []Budget{{Tenant: "acme", Limit: most}}}
	onEach(t, c, func(t *testing.T, s *store) {
		a, b := call("a", "b", small, most-3), call("b", "b", small, 3)
		s.enters(t, a)
		s.leaves(t, a, jobs.Billed, most-3)
		want := "a call of up to $0.000004 does not fit: $9007199254.740988 of the budget of $9007199254.740991 of acme is spent, $0.00 held"
		if r := s.enters(t, call("c", "b", small, 4)); r.Why != want {
			t.Errorf("got %+v", r)
		}
		if r := s.enters(t, b); r.Refused {
			t.Errorf("got %+v", r)
		}
		if sum := s.sum(t, "budget:acme"); sum.Spent != most-3 || sum.Held != 3 {
			t.Errorf("got %+v", sum)
		}
	})
}

func TestMoneyIsWrittenAsInPackageJobs(t *testing.T) {
	t.Parallel()
	s := onMini(t, Config{})
	const limit = 1_000
	for i := range 200 {
		worst := jobs.USD(limit + 1 + rand.Int64N(1<<(10+uint(i)%43)))
		want := fmt.Sprintf("a call of up to %v can never fit: the budget of batch b is $0.001", worst)
		if r := s.enters(t, limited(call("x", "b", small, worst), limit)); r.Why != want {
			t.Errorf("got %s, want %s", r.Why, want)
		}
	}
}

func TestBudgetIsNeverOverdrawn(t *testing.T) {
	t.Parallel()
	const limit, workers, tries = 1_000, 16, 25
	c := Config{Budgets: []Budget{{Tenant: "acme", Limit: limit}}}
	onEach(t, c, func(t *testing.T, s *store) {
		var group sync.WaitGroup
		var mu sync.Mutex
		var paid jobs.USD
		for w := range workers {
			group.Go(func() {
				random := rand.New(rand.NewPCG(1, uint64(w)))
				for n := range tries {
					worst := 1 + jobs.USD(random.Int64N(20))
					c := call(fmt.Sprintf("%d-%d", w, n), "b", small, worst)
					if s.enters(t, c).Refused {
						continue
					}
					if sum := s.sum(t, "budget:acme"); sum.Spent+sum.Held > limit {
						t.Errorf("overdrawn: %+v", sum)
					}
					cost := jobs.USD(random.Int64N(int64(worst) + 1))
					mu.Lock()
					paid += cost
					mu.Unlock()
					s.leaves(t, c, jobs.Billed, cost)
				}
			})
		}
		group.Wait()
		if sum := s.sum(t, "budget:acme"); sum.Spent != paid || sum.Held != 0 || paid > limit || paid < limit/2 {
			t.Errorf("paid %v; the ledger says %+v", paid, sum)
		}
	})
}

func TestAppliesToWhatItCovers(t *testing.T) {
	t.Parallel()
	l, err := New(Config{Budgets: []Budget{{Tenant: "acme", Model: "large", Limit: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	c := call("a", "b", small, 1)
	if l.Applies(c) || !l.Applies(limited(call("a", "b", small, 1), 1)) || !l.Applies(call("a", "b", large, 1)) {
		t.Error("wrong about what applies")
	}
}

func TestNewRefusesNonsense(t *testing.T) {
	t.Parallel()
	rows := []struct {
		want string
		c    Config
	}{
		{"budget 1: limit $0.00: use an amount above 0", Config{Budgets: []Budget{{}}}},
		{"up to $9007199254.740991", Config{Budgets: []Budget{{Limit: most + 1}}}},
		{`budget 2: there is another one named "all"`, Config{Budgets: []Budget{{Limit: 1}, {Limit: 2}}}},
		{`window "year": use day, week or month`, Config{Budgets: []Budget{{Limit: 1, Window: "year"}}}},
		{`when_spent "cry": use pause, bury or expire`, Config{Budgets: []Budget{{Limit: 1, WhenSpent: "cry"}}}},
		{`alert_at 80: use shares above 0 and up to 1`, Config{Budgets: []Budget{{Limit: 1, AlertAt: []float64{80}}}}},
		{`name "a:b": leave out colons`, Config{Budgets: []Budget{{Limit: 1, Name: "a:b"}}}},
		{`name "a\nb": leave out colons and control characters`, Config{Budgets: []Budget{{Limit: 1, Name: "a\nb"}}}},
		{"cheaper_at 2: use shares", Config{Budgets: []Budget{{Limit: 1, CheaperAt: 2}}}},
		{"alert_at 0:", Config{AlertAt: []float64{0}}},
		{"lease cannot be negative", Config{Lease: -1}},
	}
	for _, row := range rows {
		if _, err := New(row.c); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("got %v, want %s", err, row.want)
		}
	}
}

// A look at a batch had Redis list the accounts of all batches: at each of a
// thousand it was a million.
func TestSumOfABatchIsNotLookedForAmongThoseOfAll(t *testing.T) {
	t.Parallel()
	onEach(t, Config{}, func(t *testing.T, s *store) {
		a := call("a", "b1", small, 30)
		s.enters(t, a)
		s.leaves(t, a, jobs.Billed, 20)
		s.rdb.AddHook(unlisted{t})
		if sum := s.sum(t, BatchAccount("b1")); sum.Spent != 20 {
			t.Errorf("%s spent, want 20", sum.Spent)
		}
		if none, err := s.Sums(t.Context(), s.rdb, BatchAccount("b2")); err != nil || len(none) > 0 {
			t.Errorf("a batch that has spent nothing has %v, %v", none, err)
		}
	})
}

// unlisted tells of accounts that are listed.
type unlisted struct{ testing.TB }

func (u unlisted) DialHook(next redis.DialHook) redis.DialHook { return next }

func (u unlisted) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (u unlisted) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if cmd.Name() == "smembers" {
			u.Error("all accounts were listed")
		}
		return next(ctx, cmd)
	}
}
