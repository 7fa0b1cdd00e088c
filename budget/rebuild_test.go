package budget

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/internal/redistest"
	"github.com/drover-batch/drover/jobs"
)

func (s *store) rebuilds(t failer, book iter.Seq2[jobs.Spend, error]) {
	t.Helper()
	s.restores(t, book)
}

// restores rebuilds with calls that are in flight.
func (s *store) restores(t failer, book iter.Seq2[jobs.Spend, error], inFlight ...jobs.Spend) {
	t.Helper()
	r := Records{Book: book, InFlight: func(context.Context) ([]jobs.Spend, error) { return inFlight, nil }}
	if err := s.Rebuild(t.Context(), s.rdb, s.script, r); err != nil {
		t.Fatal(err)
	}
}

func (s *store) all(t failer) []Sum {
	t.Helper()
	sums, err := s.Sums(t.Context(), s.rdb)
	if err != nil {
		t.Fatal(err)
	}
	return sums
}

// shuts loses the epoch and nothing else.
func (s *store) shuts(t failer) { s.rdb.Del(t.Context(), s.script.Keys().Key("epoch")) }

func (s *store) flushes(t failer) {
	err := redistest.OnAll(s.rdb, func(node redis.UniversalClient) error { return node.FlushAll(t.Context()).Err() })
	if err != nil {
		t.Fatal(err)
	}
}

func spendOf(c *jobs.Call, at time.Time, cost jobs.USD, b jobs.Billing) jobs.Spend {
	return jobs.Spend{Call: c.ID, Job: c.Job, Batch: c.Batch, Tenant: c.Tenant, Model: c.Model.Name, At: at, Cost: cost, Billing: b}
}

func TestRebuiltSumsAreTheRunningSums(t *testing.T) {
	t.Parallel()
	c := Config{Budgets: []Budget{{Tenant: "acme", Window: Week, Limit: 1000}, {Model: "large", Limit: 1000}}}
	onEach(t, c, func(t *testing.T, s *store) {
		var book []jobs.Spend
		for i := range 60 {
			c := call(fmt.Sprint(i), fmt.Sprint("b", i%3), []*jobs.Model{small, large}[i%2], 10)
			b := []jobs.Billing{jobs.Billed, jobs.Presumed, jobs.Free}[i/3%3]
			s.enters(t, c)
			s.leaves(t, c, b, jobs.USD(i%10))
			cost, _ := settled(b, jobs.USD(i%10), 10)
			book = append(book, spendOf(c, s.now(), cost, b))
		}
		running := s.all(t)
		for _, lose := range []func(failer){s.flushes, s.shuts} {
			lose(t)
			s.rebuilds(t, bookOf(book...))
			s.rebuilds(t, bookOf()) // the gate is open: nothing happens
			if d := cmp.Diff(running, s.all(t)); d != "" {
				t.Error(d)
			}
		}
		if r := s.leaves(t, call("3", "b0", large, 10), jobs.Billed, 10); !r.Left {
			t.Errorf("a call of the book left again: %+v", r)
		}
	})
}

func TestRebuildKeepsHoldsThatTheBookDoesNotKnow(t *testing.T) {
	t.Parallel()
	onEach(t, Config{}, func(t *testing.T, s *store) {
		calls := map[string]*jobs.Call{}
		for _, id := range []string{"running", "stored", "dead", "dead and stored"} {
			calls[id] = limited(call(id, "b", small, 10), 100)
			s.enters(t, calls[id])
		}
		s.dies(t, calls["dead"])
		s.dies(t, calls["dead and stored"])
		s.shuts(t)
		s.rebuilds(t, bookOf(
			spendOf(calls["stored"], s.now().Add(-24*time.Hour), 5, jobs.Billed),
			spendOf(calls["dead and stored"], s.now().Add(-24*time.Hour), 6, jobs.Billed)))

		sum := s.sum(t, "batch:b")
		if sum.Spent != 5+6+10 || sum.Presumed != 10 || sum.Held != 10 || sum.Limit != 100 || sum.Models["small"] != 21 {
			t.Errorf("rebuilt: %+v", sum)
		}
		for _, c := range calls {
			s.leaves(t, c, jobs.Billed, 7)
		}
		if sum := s.sum(t, "batch:b"); sum.Spent != 5+6+7+7 || sum.Presumed != 0 || sum.Held != 0 {
			t.Errorf("after all have left: %+v", sum)
		}
	})
}

func TestCallsInFlightAreHeldAgainBeforeTheGateOpens(t *testing.T) {
	t.Parallel()
	onEach(t, Config{}, func(t *testing.T, s *store) {
		lost, stored := limited(call("lost", "b", small, 60), 100), limited(call("stored", "b", small, 20), 100)
		other := limited(call("other", "b", small, 60), 100)
		s.enters(t, lost)
		s.enters(t, stored)
		s.flushes(t)
		inFlight := []jobs.Spend{spendOf(lost, s.now(), 60, jobs.Presumed), spendOf(stored, s.now(), 20, jobs.Presumed)}
		s.restores(t, bookOf(spendOf(stored, s.now(), 5, jobs.Billed)), inFlight...)
		if sum := s.sum(t, "batch:b"); sum.Held != 60 || sum.Spent != 5 {
			t.Errorf("rebuilt: %+v", sum)
		}
		if r := s.enters(t, other); !r.Refused || r.Final {
			t.Errorf("no room is left for it: %+v", r)
		}
		twin := limited(call("twin", "b", small, 20), 100)
		twin.Job = lost.Job
		if r := s.enters(t, twin); !r.Refused || r.Tag != "claimed" {
			t.Errorf("its job has a live call: %+v", r)
		}
		s.resumes(t, lost) // by its own worker, which has not heard of it
		if r := s.leaves(t, stored, jobs.Billed, 5); !r.Left {
			t.Errorf("a call of the book left again: %+v", r)
		}
		s.leaves(t, lost, jobs.Billed, 10)
		if sum := s.sum(t, "batch:b"); sum.Held != 0 || sum.Spent != 15 {
			t.Errorf("at the end: %+v", sum)
		}
	})
}

// Redis and NATS lost power together: the call had left, and Redis had kept
// that, while its outcome waited for NATS. The rebuilt sums did without it.
func TestCallThatHadLeftBeforeItsOutcomeWasStoredIsInTheRebuiltSums(t *testing.T) {
	t.Parallel()
	onEach(t, Config{}, func(t *testing.T, s *store) {
		c := call("unbooked", "b", small, 60)
		s.enters(t, c)
		s.leaves(t, c, jobs.Billed, 40)
		s.shuts(t)
		s.restores(t, bookOf(), spendOf(c, s.now(), 60, jobs.Presumed))
		if sum := s.sum(t, "batch:b"); sum.Held != 60 {
			t.Errorf("rebuilt: %+v", sum)
		}
		s.leaves(t, c, jobs.Billed, 40) // its worker tells it again
		s.leaves(t, c, jobs.Billed, 40)
		if sum := s.sum(t, "batch:b"); sum.Spent != 40 || sum.Held != 0 {
			t.Errorf("at the end: %+v", sum)
		}
	})
}

func TestRestoringACallForgetsNoTermsOfItsBatch(t *testing.T) {
	t.Parallel()
	onEach(t, Config{}, func(t *testing.T, s *store) {
		first, lost := limited(call("first", "b", small, 40), 100), limited(call("lost", "b", small, 50), 100)
		first.AlertAt, lost.AlertAt = []float64{0.8}, []float64{0.8}
		s.spend(t, first)
		s.enters(t, lost)
		keys := s.script.Keys() // which the last second before a failover may lose
		s.rdb.HDel(t.Context(), keys.Key("records"), lost.ID)
		s.rdb.ZRem(t.Context(), keys.Key("calls"), lost.ID)
		s.rdb.HDel(t.Context(), keys.Key("ledger", "live"), string(lost.Job))
		s.shuts(t)
		s.restores(t, bookOf(spendOf(first, s.now(), 40, jobs.Billed)), spendOf(lost, s.now(), 50, jobs.Presumed))
		if sum := s.sum(t, "batch:b"); sum.Limit != 100 || sum.Held != 50 {
			t.Errorf("rebuilt: %+v", sum)
		}
		s.leaves(t, lost, jobs.Billed, 50)
		if got := s.raised(t); len(got) != 1 {
			t.Errorf("90 %% of the budget are spent, and the alerts are %q", got)
		}
	})
}

func TestRestoredCallOfADeadWorkerIsPresumedPaid(t *testing.T) {
	t.Parallel()
	onEach(t, Config{}, func(t *testing.T, s *store) {
		c := call("dead", "b", small, 60)
		s.enters(t, c)
		s.flushes(t)
		s.restores(t, bookOf(), spendOf(c, s.now(), 60, jobs.Presumed))
		s.dies(t, c)
		if sum := s.sum(t, "batch:b"); sum.Held != 0 || sum.Spent != 60 || sum.Presumed != 60 {
			t.Errorf("got %+v", sum)
		}
		lapsed, err := s.Lapsed(t.Context(), s.rdb)
		if err != nil || len(lapsed) != 1 || lapsed[0].Call != "dead" || lapsed[0].Job != c.Job || lapsed[0].Cost != 60 {
			t.Errorf("lapsed: %+v, %v", lapsed, err)
		}
	})
}

func TestLostCallIsAddedWhenItLeaves(t *testing.T) {
	t.Parallel()
	onEach(t, Config{}, func(t *testing.T, s *store) {
		c := call("lost", "b", small, 60)
		s.enters(t, c)
		s.flushes(t)
		if r := s.leaves(t, c, jobs.Billed, 40); !r.NoEpoch {
			t.Errorf("left a shut gate: %+v", r)
		}
		s.rebuilds(t, bookOf())
		s.leaves(t, c, jobs.Billed, 40)
		s.leaves(t, c, jobs.Billed, 40)
		if sum := s.sum(t, "batch:b"); sum.Spent != 40 || sum.Held != 0 {
			t.Errorf("got %+v", sum)
		}
	})
}

func TestOneReplicaRebuildsAndTheOthersWait(t *testing.T) {
	t.Parallel()
	onEach(t, Config{}, func(t *testing.T, s *store) {
		s.flushes(t)
		var mu sync.Mutex
		read := 0
		book := func(yield func(jobs.Spend, error) bool) {
			mu.Lock()
			read++
			mu.Unlock()
			bookOf(spendOf(call("a", "b", small, 9), s.now(), 9, jobs.Billed))(yield)
		}
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				if err := s.Rebuild(t.Context(), s.rdb, s.script, Records{Book: book}); err != nil {
					t.Error(err)
				}
				if epoch, err := s.script.Epoch(t.Context(), s.rdb); epoch == "" || err != nil {
					t.Errorf("returned before the gate was open: %v", err)
				}
			})
		}
		group.Wait()
		if sum := s.sum(t, "batch:b"); read != 1 || sum.Spent != 9 {
			t.Errorf("the book was read %d times; %+v", read, sum)
		}
	})
}

func TestFailedRebuildLeavesTheGateShutAndTheTurnFree(t *testing.T) {
	t.Parallel()
	onEach(t, Config{}, func(t *testing.T, s *store) {
		s.flushes(t)
		torn := func(yield func(jobs.Spend, error) bool) { yield(jobs.Spend{}, errors.New("no stream")) }
		err := s.Rebuild(t.Context(), s.rdb, s.script, Records{Book: torn})
		if err == nil || !strings.Contains(err.Error(), "no stream") {
			t.Errorf("got %v", err)
		}
		if r := s.enters(t, call("a", "b", small, 1)); !r.NoEpoch {
			t.Errorf("got %+v", r)
		}
		start := time.Now()
		s.rebuilds(t, bookOf())
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("waited %v for a replica that had failed", took)
		}
	})
}

func TestCallOfTheBookWhoseWorkerDiesAfterARebuildIsPaidOnce(t *testing.T) {
	t.Parallel()
	onEach(t, Config{}, func(t *testing.T, s *store) {
		c := limited(call("stored", "b", small, 10), 100)
		s.enters(t, c)
		s.shuts(t)
		s.rebuilds(t, bookOf(spendOf(c, s.now(), 5, jobs.Billed)))
		s.dies(t, c)
		if sum := s.sum(t, "batch:b"); sum.Spent != 5 || sum.Held != 0 || sum.Presumed != 0 {
			t.Errorf("got %+v", sum)
		}
	})
}

func TestLimitsThatWereSetAreRestoredFromTheirRecord(t *testing.T) {
	t.Parallel()
	onEach(t, Config{Budgets: []Budget{{Tenant: "acme", Limit: 10}}}, func(t *testing.T, s *store) {
		if err := s.SetLimit(t.Context(), s.rdb, "batch:lowered", 5); err != nil {
			t.Fatal(err)
		}
		s.shuts(t)
		asked := 0
		limits := func(context.Context) (map[string]jobs.USD, error) {
			asked++ // and another is set meanwhile
			return map[string]jobs.USD{"budget:acme": jobs.USD(20 * min(asked, 2))}, nil
		}
		if err := s.Rebuild(t.Context(), s.rdb, s.script, Records{Book: bookOf(), Limits: limits}); err != nil {
			t.Fatal(err)
		}
		got, err := s.Limits(t.Context(), s.rdb)
		if want := map[string]string{"budget:acme": "40"}; err != nil || !maps.Equal(got, want) {
			t.Errorf("got %v, want %v: %v", got, want, err)
		}
	})
}

// A call that may be answered by a cheaper model too is held again as any other.
func TestCallOfAChainWithCheaperModelsIsResumedWhateverTheLimit(t *testing.T) {
	t.Parallel()
	onEach(t, Config{}, func(t *testing.T, s *store) {
		c := limited(call("lost", "b", small, 60), 50)
		c.Cheaper, c.CheaperAt = true, 0.5
		if r := s.resumes(t, c); r.Refused || s.sum(t, "batch:b").Held != 60 {
			t.Errorf("got %+v", r)
		}
	})
}

func TestRebuildingForgetsNothingThatTheBookDoesNotTell(t *testing.T) {
	t.Parallel()
	c := Config{Budgets: []Budget{{Tenant: "acme", Window: Day, Limit: 100, AlertAt: []float64{0.5, 0.8}}}}
	onEach(t, c, func(t *testing.T, s *store) {
		first := limited(call("first", "b", small, 60), 100)
		first.AlertAt = []float64{0.2}
		s.spend(t, first)
		s.raised(t)
		free := call("free", "idle", small, 10)
		s.enters(t, free)
		s.leaves(t, free, jobs.Free, 0)
		accounts := append(s.Accounts(first, s.now()), s.accountKey("batch:idle"))
		fields := func() (all []map[string]string) {
			for _, key := range accounts {
				all = append(all, s.rdb.HGetAll(t.Context(), key).Val())
			}
			return all
		}
		before := fields()
		s.shuts(t)
		s.rebuilds(t, bookOf(spendOf(first, s.now(), 60, jobs.Billed)))
		after := fields()
		for i := range after {
			for _, sum := range []string{"spent", "held", "presumed", "ambiguous", "model:small", "batch:idle"} {
				if before[i][sum] == "0" {
					delete(before[i], sum)
				}
			}
		}
		if d := cmp.Diff(before, after); d != "" {
			t.Error(d)
		}
		last := limited(call("last", "b", small, 20), 100)
		last.AlertAt = first.AlertAt
		s.spend(t, last)
		if got := s.raised(t); len(got) != 1 || !strings.Contains(got[0], "80 % or more") {
			t.Errorf("alerts after it: %q", got)
		}
	})
}
