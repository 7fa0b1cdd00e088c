package wire

import (
	"testing"
	"time"

	"github.com/drover-batch/drover/internal/audit"
	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/racing"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/llm/simulator"
	"github.com/drover-batch/drover/resilience"
)

// allowed is a world whose workers have an allowance.
func allowed(amount jobs.USD) scene {
	s := four
	s.tune = func(c *config.Config) { c.Worker.Allowance = amount }
	return s
}

// awayFor has Redis away for a while, and returns what the provider was asked
// and what it billed meanwhile, calls on their way before left out.
func (w *world) awayFor(d time.Duration) (calls int, billed jobs.USD) {
	w.Helper()
	w.setRedisAway(true)
	gone := time.Now()
	time.Sleep(d)
	back := time.Now()
	w.setRedisAway(false)
	return w.billedBetween(gone, back)
}

func (w *world) billedBetween(from, to time.Time) (calls int, billed jobs.USD) {
	for _, e := range w.provider.Ledger(0) {
		if e.At.After(from) && e.At.Before(to) {
			calls++
			billed += w.config.Models[e.Model].Price.Cost(jobs.Usage{Input: e.Input, Output: e.Output})
		}
	}
	return calls, billed
}

func TestCallsGoOnWithinTheAllowanceWhileRedisIsAway(t *testing.T) {
	amount := jobs.Dollars(0.005)
	inWorld(t, allowed(amount), func(w *world) {
		w.submit(jobs.Batch{ID: "contracts", Budget: jobs.Dollar}, short(300)...)
		w.start("a")
		time.Sleep(30 * time.Second)
		calls, billed := w.awayFor(3 * time.Minute)
		t.Logf("%d calls were made while Redis was away, for %s", calls, billed)
		if billed > amount || billed < amount/2 {
			t.Errorf("%d calls for %s were made with an allowance of %s", calls, billed, amount)
		}
		time.Sleep(5 * time.Second)
		if !w.log.says("Redis is away: calls go on") || !w.log.says("Redis is back") {
			t.Error("nobody was told")
		}
		w.untilOver("contracts")
		w.answered("contracts")
		if sum := w.spent("contracts"); w.paid() != 300 || sum.Presumed != 0 {
			t.Errorf("paid for %d calls of 300 jobs: %+v", w.paid(), sum)
		}
	})
}

func TestNoAllowanceMeansNoCallWhileRedisIsAway(t *testing.T) {
	inWorld(t, allowed(0), func(w *world) {
		w.submit(jobs.Batch{ID: "contracts", Budget: jobs.Dollar}, short(100)...)
		w.start("a")
		time.Sleep(10 * time.Second)
		if calls, _ := w.awayFor(time.Minute); calls > 0 {
			t.Errorf("%d calls were made while Redis was away", calls)
		}
		w.untilOver("contracts")
		w.answered("contracts")
	})
}

func TestAllowanceGoesOnNoFasterThanBefore(t *testing.T) {
	racing.Spare(t, "TestAllowanceOverdrawsNoBudget goes these ways")
	s := scene{provider: simulator.Config{Latency: time.Second}}
	s.tune = func(c *config.Config) {
		c.Worker.Allowance = jobs.Dollars(0.05)
		c.Quotas = map[string]config.Quota{"shared": {Requests: 60}}
		m := c.Models["small"]
		m.Quota = "shared"
		c.Models["small"] = m
	}
	inWorld(t, s, func(w *world) {
		w.submit(jobs.Batch{ID: "contracts", Chain: "cheap"}, short(200)...)
		w.start("a", "b")
		time.Sleep(70 * time.Second)
		if calls, _ := w.awayFor(time.Minute); calls > 61 || calls < 40 {
			t.Errorf("%d calls were made in a minute without Redis, at 60 a minute before", calls)
		}
		w.untilOver("contracts")
		w.answered("contracts")
	})
}

func TestAllowanceOverdrawsNoBudget(t *testing.T) {
	for name, end := range map[string]func(w *world){
		"all live": func(*world) {},
		"one is killed": func(w *world) {
			w.kill("a")
		},
		"Redis comes back empty": func(w *world) { w.flushRedis() },
		"one is killed and Redis comes back empty": func(w *world) {
			w.kill("a")
			w.kill("b")
			w.flushRedis()
		},
	} {
		t.Run(name, func(t *testing.T) {
			if racing.On && name != "one is killed and Redis comes back empty" {
				t.Skip("in which all goes wrong that does in the others")
			}
			inWorld(t, allowed(jobs.Dollars(0.003)), func(w *world) {
				limit := jobs.Dollars(0.04)
				w.submit(jobs.Batch{ID: "contracts", Budget: limit, WhenSpent: jobs.BuryWhenSpent}, short(400)...)
				w.start(crew(4)...)
				time.Sleep(20 * time.Second)
				w.setRedisAway(true)
				gone := time.Now()
				time.Sleep(6 * time.Second)
				end(w)
				time.Sleep(50 * time.Second)
				calls, billed := w.billedBetween(gone, time.Now())
				w.setRedisAway(false)
				w.untilOver("contracts")
				sum := w.spent("contracts")
				t.Logf("%d calls for %s while Redis was away; then %s of %s spent, %s presumed", calls, billed, sum.Spent, limit, sum.Presumed)
				if calls == 0 || sum.Spent > limit || sum.Spent < limit*8/10 {
					t.Errorf("%d calls were made on the allowance, %s of %s were spent", calls, sum.Spent, limit)
				}
			})
		})
	}
}

func TestAllowanceIsUsedAgainInTheNextOutage(t *testing.T) {
	racing.Spare(t, "TestAllowanceOverdrawsNoBudget goes these ways")
	amount := jobs.Dollars(0.003)
	inWorld(t, allowed(amount), func(w *world) {
		w.submit(jobs.Batch{ID: "contracts"}, short(400)...)
		w.start("a", "b")
		for range 3 {
			time.Sleep(15 * time.Second)
			if calls, billed := w.awayFor(20 * time.Second); calls == 0 || billed > 2*amount {
				t.Errorf("%d calls for %s", calls, billed)
			}
		}
		w.untilOver("contracts")
		w.answered("contracts")
	})
}

func TestAllowanceDoesNotKeepABudgetFromItsEnd(t *testing.T) {
	racing.Spare(t, "TestAllowanceOverdrawsNoBudget goes these ways")
	inWorld(t, allowed(jobs.Dollars(0.004)), func(w *world) {
		limit := jobs.Dollars(0.02)
		w.submit(jobs.Batch{ID: "contracts", Budget: limit, WhenSpent: jobs.BuryWhenSpent}, short(300)...)
		w.start(crew(4)...)
		took := w.untilOver("contracts")
		if sum := w.spent("contracts"); sum.Spent < limit*9/10 || took > 2*time.Minute {
			t.Errorf("%s of %s were spent in %v", sum.Spent, limit, took)
		}
	})
}

func TestAllowanceOfADeadWorkerIsPresumedSpent(t *testing.T) {
	racing.Spare(t, "TestAllowanceOverdrawsNoBudget goes these ways")
	amount := jobs.Dollars(0.003)
	inWorld(t, allowed(amount), func(w *world) {
		w.submit(jobs.Batch{ID: "contracts"}, short(200)...)
		w.start("a", "b")
		time.Sleep(20 * time.Second)
		w.setRedisAway(true)
		time.Sleep(6 * time.Second)
		w.kill("a")
		time.Sleep(10 * time.Second)
		w.setRedisAway(false)
		w.untilOver("contracts")
		w.answered("contracts")
		time.Sleep(10 * time.Minute)
		if left, err := w.client.Queue.InFlight(w.ctx); err != nil || len(left) > 0 {
			t.Errorf("the record still has %v: %v", left, err)
		}
		held := 0
		for _, attempts := range w.wastes("contracts", true) {
			for _, at := range attempts {
				if resilience.Standing(at.Call) {
					held++
				}
			}
		}
		if sum := w.spent("contracts"); held != 1 || sum.Presumed < amount {
			t.Errorf("the book has %d allowances of dead workers, the sums %s of them", held, sum.Presumed)
		}
		w.flushRedis()
		w.start("c")
		time.Sleep(time.Minute)
	})
}

func TestAllowanceOfTheLivingIsGivenBackAfterAnyOutage(t *testing.T) {
	for name, away := range map[string]time.Duration{"short": 5 * time.Second, "long": 12 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			if racing.On && name == "long" {
				t.Skip("the race detector takes minutes for twelve in which nothing happens")
			}
			inWorld(t, allowed(jobs.Dollars(0.003)), func(w *world) {
				w.submit(jobs.Batch{ID: "contracts"}, short(200)...)
				w.start("a", "b")
				time.Sleep(20 * time.Second)
				w.awayFor(away)
				w.untilOver("contracts")
				w.answered("contracts")
				time.Sleep(10 * time.Minute)
				sum, lapsed := w.spent("contracts"), w.wastes("contracts", true)
				if sum.Held != 0 || sum.Presumed != 0 || len(lapsed) > 0 {
					t.Errorf("%s are held and %s presumed, and the book has %v", sum.Held, sum.Presumed, lapsed)
					t.Log(w.log.tail(40))
				}
			})
		})
	}
}

func TestAllowanceOverdrawsNothingWhileOthersSpendTheRest(t *testing.T) {
	racing.Spare(t, "TestAllowanceOverdrawsNoBudget goes these ways")
	inWorld(t, allowed(jobs.Dollars(0.01)), func(w *world) {
		limit := jobs.Dollars(0.08)
		w.submit(jobs.Batch{ID: "contracts", Budget: limit, WhenSpent: jobs.BuryWhenSpent}, short(800)...)
		w.start("a", "b", "c")
		time.Sleep(65 * time.Second)
		a := w.names()["a"]
		gone := time.Now()
		a.link.part(true)
		time.Sleep(2 * time.Second)
		w.flushRedis() // and the others rebuild it, with what a may yet spend
		w.untilOver("contracts")
		w.note(audit.Fault{Kind: audit.Redis, From: gone, To: time.Now()})
		a.link.part(false)
		time.Sleep(10 * time.Second)
		if sum := w.spent("contracts"); sum.Spent > limit {
			t.Errorf("%s of %s were spent", sum.Spent, limit)
		}
	})
}
