package wire

import (
	"strings"
	"testing"
	"time"

	"github.com/drover-batch/drover/budget"
	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/llm/simulator"
)

// spent is what a batch's account says.
func (w *world) spent(batch string) budget.Sum { return w.look().sums[budget.BatchAccount(batch)] }

func TestBudgetIsNeverOverdrawnAndPausesTheBatch(t *testing.T) {
	inWorld(t, four, func(w *world) {
		limit := jobs.Dollars(0.02)
		w.submit(jobs.Batch{ID: "contracts", Budget: limit}, short(300)...)
		w.start(crew(4)...)
		time.Sleep(6 * time.Second)
		w.kill("b")
		w.paused("contracts")
		time.Sleep(time.Minute)
		p, sum := w.progress("contracts"), w.spent("contracts")
		if p.Reason == "" || p.Done() == 0 || p.Done() == 300 || p.Dead != 0 {
			t.Errorf("the batch is %+v", p)
		}
		if sum.Spent > limit || sum.Spent < limit*9/10 {
			t.Errorf("%s of %s were spent when it paused", sum.Spent, limit)
		}
		t.Logf("paused with %d of 300 answered and %s of %s spent, %s of it presumed", p.Done(), sum.Spent, limit, sum.Presumed)

		w.must(w.client.Queue.SetBudget(w.ctx, "contracts", jobs.Dollar))
		w.must(w.client.Queue.Resume(w.ctx, "contracts"))
		w.untilOver("contracts")
		w.answered("contracts")
	})
}

func TestSpentBudgetBuriesTheRestIfAsked(t *testing.T) {
	inWorld(t, second, func(w *world) {
		w.submit(jobs.Batch{ID: "contracts", Budget: jobs.Dollars(0.01), WhenSpent: jobs.BuryWhenSpent}, short(200)...)
		w.start("a", "b")
		w.untilOver("contracts")
		answered := w.count("contracts", func(o *jobs.Outcome) bool { return o.Status == jobs.Answered })
		buried := w.count("contracts", func(o *jobs.Outcome) bool { return o.Status == jobs.Dead && o.Kind == jobs.OverBudget })
		if answered+buried != 200 || answered == 0 || buried == 0 || answered != w.paid() {
			t.Errorf("%d answered and %d buried of 200, %d calls paid for", answered, buried, w.paid())
		}
	})
}

func TestTenantsBudgetBindsAllItsBatches(t *testing.T) {
	limit := jobs.Dollars(0.02)
	s := second
	s.tune = func(c *config.Config) {
		c.Budgets = []config.Budget{{Name: "acme", Tenant: "acme", Limit: limit, WhenSpent: jobs.BuryWhenSpent}}
	}
	inWorld(t, s, func(w *world) {
		w.submit(jobs.Batch{ID: "one"}, short(150)...)
		w.submit(jobs.Batch{ID: "two"}, short(150)...)
		w.submit(jobs.Batch{ID: "other", Tenant: "other"}, short(50)...)
		w.start("a", "b")
		for _, batch := range []string{"one", "two", "other"} {
			w.untilOver(batch)
		}
		w.answered("other")
		sum := w.look().sums["budget:acme"]
		if sum.Limit != limit || sum.Spent > limit || sum.Spent < limit*9/10 {
			t.Errorf("the tenant's account is %+v", sum)
		}
	})
}

func TestFlushedRedisIsRebuiltFromTheBookWithoutOverspending(t *testing.T) {
	inWorld(t, four, func(w *world) {
		limit := jobs.Dollars(0.02)
		w.submit(jobs.Batch{ID: "contracts", Budget: limit}, short(300)...)
		w.start(crew(4)...)
		for range 3 {
			time.Sleep(6 * time.Second) // with all slots in the middle of a call
			w.flushRedis()
		}
		w.paused("contracts")
		time.Sleep(time.Minute)
		sum := w.spent("contracts")
		if sum.Spent > limit {
			t.Errorf("%s of %s were spent", sum.Spent, limit)
		}
		w.must(w.client.Queue.SetBudget(w.ctx, "contracts", jobs.Dollar))
		w.must(w.client.Queue.Resume(w.ctx, "contracts"))
		w.untilOver("contracts")
		w.answered("contracts")
		if w.paid() != 300 {
			t.Errorf("paid for %d calls of 300 jobs", w.paid())
		}
	})
}

// slow is a provider whose answers take longer than a lease, and cost nearly
// what they may at the most: $0.00012 of $0.00019.
var slow = scene{provider: simulator.Config{Latency: 40 * time.Second}, tune: func(c *config.Config) {
	m := c.Models["small"]
	m.MaxOutput, m.Timeout = 30, 2*time.Minute
	c.Models["small"] = m
}}

func TestCallLongerThanItsLeaseIsPaidOnce(t *testing.T) {
	inWorld(t, slow, func(w *world) {
		w.submit(jobs.Batch{ID: "contracts", Budget: jobs.Dollar}, short(32)...)
		w.start("a", "b")
		w.untilOver("contracts")
		w.answered("contracts")
		if sum := w.spent("contracts"); w.paid() != 32 || sum.Presumed != 0 {
			t.Errorf("paid for %d calls of 32 jobs: %+v", w.paid(), sum)
		}
	})
}

func TestCallsInFlightAreHeldAgainAfterAFlush(t *testing.T) {
	inWorld(t, slow, func(w *world) {
		w.submit(jobs.Batch{ID: "contracts", Budget: jobs.Dollars(0.0053), Chain: "cheap", WhenSpent: jobs.BuryWhenSpent}, short(100)...)
		w.start("a", "b")
		time.Sleep(42 * time.Second) // sixteen calls are answered, sixteen on their way
		w.flushRedis()
		w.start("c", "d")
		w.untilOver("contracts")
	})
}

func TestNoBudgetIsOverdrawnByAFlushAfterAKill(t *testing.T) {
	inWorld(t, four, func(w *world) {
		limit := jobs.Dollars(0.02)
		w.submit(jobs.Batch{ID: "contracts", Budget: limit, WhenSpent: jobs.BuryWhenSpent}, short(300)...)
		w.start(crew(4)...)
		time.Sleep(6 * time.Second)
		w.kill("a")
		w.kill("b")
		w.flushRedis() // which alone knew what their calls may cost
		w.untilOver("contracts")
		if sum := w.spent("contracts"); sum.Presumed == 0 || sum.Spent > limit {
			t.Errorf("%s of %s were spent, %s of it presumed of those who died", sum.Spent, limit, sum.Presumed)
		}
	})
}

func TestAnswerThatDiedWithItsWorkerIsOnRecordAfterAFlush(t *testing.T) {
	inWorld(t, four, func(w *world) {
		w.submit(jobs.Batch{ID: "contracts"}, short(100)...)
		w.start("a", "b")
		time.Sleep(8*time.Second + 3*time.Millisecond) // many answers have come, and their outcomes are on their way
		w.kill("a")
		w.flushRedis()
		w.untilOver("contracts")
		w.answered("contracts")
	})
}

func TestCallsNobodyKnowsOfAreFoundOnTheRecord(t *testing.T) {
	inWorld(t, four, func(w *world) {
		w.submit(jobs.Batch{ID: "contracts"}, short(100)...)
		w.start("a")
		time.Sleep(6 * time.Second)
		w.kill("a")
		w.flushRedis()
		w.start("b") // the sums are rebuilt, and the dead worker's calls held
		time.Sleep(time.Second)
		w.flushRedis()
		w.untilOver("contracts")
		time.Sleep(10 * time.Minute)
		if left, err := w.client.Queue.InFlight(w.ctx); err != nil || len(left) > 0 {
			t.Errorf("the record still has %d calls: %v", len(left), err)
		}
		presumed := 0
		for _, attempts := range w.wastes("contracts", true) {
			presumed += len(attempts)
		}
		if presumed != 8 {
			t.Errorf("%d calls are presumed paid, 8 were in flight", presumed)
		}
	})
}

func TestRedisAwayStopsNewCallsAndLosesNothing(t *testing.T) {
	inWorld(t, four, func(w *world) {
		w.submit(jobs.Batch{ID: "contracts", Budget: jobs.Dollar}, short(100)...)
		w.start("a", "b")
		time.Sleep(10 * time.Second)
		w.setRedisAway(true)
		gone := time.Now()
		time.Sleep(time.Minute)
		w.setRedisAway(false)
		back := time.Now()
		for _, e := range w.provider.Ledger(0) {
			if e.At.After(gone) && e.At.Before(back) {
				t.Errorf("call %s was made %v after Redis went away", e.ID, e.At.Sub(gone))
			}
		}
		took := w.untilOver("contracts")
		w.answered("contracts")
		if !w.log.says("Redis is away: running calls finish") || !w.log.says("Redis is back") {
			t.Error("nobody was told")
		}
		if lines := strings.Count(w.log.tail(1000), "around a call"); lines > 4 {
			t.Errorf("two workers told of their calls in %d lines:\n%s", lines, w.log.tail(1000))
		}
		if w.paid() != 100 || took > time.Minute {
			t.Errorf("paid for %d calls of 100 jobs, and it took %v after Redis was back", w.paid(), took)
		}
	})
}

func TestBrokerRestartedInTheMiddleLosesNothing(t *testing.T) {
	inWorld(t, scene{provider: four.provider, reconnects: true}, func(w *world) {
		w.submit(jobs.Batch{ID: "contracts"}, short(200)...)
		w.start("a", "b")
		for _, down := range []time.Duration{100 * time.Millisecond, 10 * time.Second, 50 * time.Second} {
			time.Sleep(6 * time.Second)
			w.broker.stop()
			time.Sleep(down)
			w.broker.start()
			time.Sleep(10 * time.Second)
		}
		w.untilOver("contracts")
		w.answered("contracts")
		t.Logf("%d calls were paid for 200 jobs over three restarts, one longer than the lease", w.paid())
		if extra := w.paid() - 200; extra > 0 {
			t.Errorf("%d calls were paid for in vain", extra)
		}
	})
}

func TestReasonOfAPauseNamesTheMoney(t *testing.T) {
	inWorld(t, second, func(w *world) {
		w.submit(jobs.Batch{ID: "contracts", Budget: jobs.Dollars(0.003), Chain: "cheap"}, short(30)...)
		w.start("a")
		w.paused("contracts")
		if p := w.progress("contracts"); !strings.Contains(p.Reason, "$0.003") {
			t.Errorf("it is paused because %s", p.Reason)
		}
		w.must(w.client.Queue.SetBudget(w.ctx, "contracts", 0))
		w.must(w.client.Queue.Resume(w.ctx, "contracts"))
		w.untilOver("contracts")
		w.answered("contracts")
	})
}
