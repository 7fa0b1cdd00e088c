package wire

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/racing"
	"github.com/drover-batch/drover/jobs"
)

// paused waits until a batch is.
func (w *world) paused(batch string) {
	w.Helper()
	w.wait(func() bool { // not by its progress, for which the broker counts
		b, err := w.client.Queue.Batch(w.ctx, batch)
		w.must(err)
		return b.State == jobs.Paused
	})
}

// limiting is a fleet with these budgets.
func limiting(budgets ...config.Budget) scene {
	s := second
	s.tune = func(c *config.Config) { c.Budgets = budgets }
	return s
}

func TestRaisedLimitGoesOnByItself(t *testing.T) {
	for name, raise := range map[string]func(w *world){
		"of the batch": func(w *world) { w.must(w.client.Queue.SetBudget(w.ctx, "contracts", jobs.Dollar)) },
		"of the tenant, while workers run": func(w *world) {
			w.must(w.client.Ledger.SetLimit(w.ctx, w.client.Redis, "budget:acme", jobs.Dollar))
		},
		"of the tenant, in drover.yaml": func(w *world) {
			w.stop("a", "b") // they read the configuration
			w.config.Budgets[0].Limit = jobs.Dollar
			w.start("a", "b")
		},
		"of the tenant, and the model is called otherwise by now": func(w *world) {
			w.stop("a", "b")
			w.config.Budgets[0].Limit = jobs.Dollar
			m := w.config.Models["small"]
			m.Name = "tiny"
			w.config.Models = map[string]jobs.Model{"tiny": m}
			w.config.Chains = map[string]config.Chain{"default": {Models: []string{"tiny"}}}
			w.start("a", "b")
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, limiting(config.Budget{Name: "acme", Tenant: "acme", Limit: jobs.Dollars(0.004)}), func(w *world) {
				b := jobs.Batch{ID: "contracts"}
				if name == "of the batch" {
					b.Tenant, b.Budget = "other", jobs.Dollars(0.004)
				}
				w.submit(b, short(60)...)
				w.start("a", "b")
				w.paused("contracts")
				time.Sleep(time.Minute)
				if p := w.progress("contracts"); p.State != jobs.Paused || !strings.Contains(p.Reason, "$0.004") {
					t.Fatalf("without more money: %+v", p)
				}
				raise(w)
				if took := w.untilOver("contracts"); took > 30*time.Second {
					t.Errorf("it took %v after the limit was raised", took)
				}
				w.answered("contracts")
			})
		})
	}
}

func TestLimitThatIsRaisedAtOnceGoesOnAtOnce(t *testing.T) {
	inWorld(t, second, func(w *world) {
		w.submit(jobs.Batch{ID: "contracts", Budget: jobs.Dollars(0.004)}, short(60)...)
		w.start("a", "b")
		w.paused("contracts")
		w.must(w.client.Queue.SetBudget(w.ctx, "contracts", jobs.Dollar))
		done := w.progress("contracts").Done()
		time.Sleep(10 * time.Second)
		if p := w.progress("contracts"); p.Done() == done || p.State == jobs.Paused {
			t.Errorf("after 10 s: %+v", p)
		}
		w.untilOver("contracts")
		w.answered("contracts")
	})
}

// What waits for the next day looked again a minute after the limit was raised.
func TestRaisedLimitOfADayWasNoticedLate(t *testing.T) {
	inWorld(t, limiting(config.Budget{Name: "acme", Tenant: "acme", Window: "day", Limit: jobs.Dollars(0.004)}), func(w *world) {
		w.submit(jobs.Batch{ID: "contracts"}, short(60)...)
		w.start("a", "b")
		time.Sleep(5*time.Minute + 20*time.Second) // it looks every minute
		w.must(w.client.SetLimit(w.ctx, "acme", jobs.Dollar))
		if took := w.untilOver("contracts"); took > 15*time.Second {
			t.Errorf("it took %v after the limit was raised", took)
		}
		w.answered("contracts")
	})
}

func TestWhatSomebodyPausedStaysPaused(t *testing.T) {
	inWorld(t, second, func(w *world) {
		w.submit(jobs.Batch{ID: "contracts", Budget: jobs.Dollars(0.004)}, short(60)...)
		w.submit(jobs.Batch{ID: "lunch", Budget: jobs.Dollars(0.004)}, short(60)...)
		w.start("a")
		time.Sleep(1500 * time.Millisecond)
		w.must(w.client.Queue.Pause(w.ctx, "lunch", "lunch")) // before the money is gone
		w.paused("contracts")
		w.must(w.client.Queue.Pause(w.ctx, "contracts", "audit")) // after
		time.Sleep(time.Minute)
		for batch, reason := range map[string]string{"contracts": "audit", "lunch": "lunch"} {
			w.must(w.client.Queue.SetBudget(w.ctx, batch, jobs.Dollar))
			time.Sleep(time.Minute)
			if p := w.progress(batch); p.State != jobs.Paused || p.Reason != reason {
				t.Errorf("%s is %s: %s", batch, p.State, p.Reason)
			}
			w.must(w.client.Queue.Resume(w.ctx, batch))
			w.untilOver(batch)
			w.answered(batch)
		}
	})
}

func TestNextDayGoesOnByItself(t *testing.T) {
	limit := jobs.Dollars(0.004)
	place, err := time.LoadLocation("Atlantic/Azores") // where it is an hour to midnight when a world begins
	if err != nil {
		t.Skip(err)
	}
	s := second
	s.tune = func(c *config.Config) {
		path := filepath.Join(t.TempDir(), "drover.yaml")
		if err := os.WriteFile(path, []byte(models+"budgets: [{name: acme, tenant: acme, window: day, zone: Atlantic/Azores, limit: 0.004}]\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		read, err := config.Load(config.Source{Path: path, Environ: []string{}})
		if err != nil {
			t.Fatal(err)
		}
		c.Budgets = read.Budgets
	}
	inWorld(t, s, func(w *world) {
		w.submit(jobs.Batch{ID: "contracts"}, short(40)...)
		w.start("a")
		time.Sleep(5 * time.Minute)
		first := w.progress("contracts").Done()
		if first == 0 || first == 40 {
			t.Fatalf("%d of 40 are done on the first day", first)
		}
		now := time.Now().In(place)
		midnight := time.Date(now.Year(), now.Month(), now.Day()+1, 0, 0, 0, 0, place)
		w.stop("a") // the hour until then is long
		time.Sleep(time.Until(midnight) - 2*time.Minute)
		w.start("a")
		time.Sleep(2*time.Minute - time.Second)
		if done := w.progress("contracts").Done(); done != first {
			t.Errorf("%d were done before midnight, %d before the money was gone", done, first)
		}
		time.Sleep(90 * time.Second)
		if done := w.progress("contracts").Done(); done <= first {
			t.Errorf("%d are done a minute after midnight", done)
		}
		w.must(w.client.Ledger.SetLimit(w.ctx, w.client.Redis, "budget:acme", jobs.Dollar))
		w.untilOver("contracts")
		w.answered("contracts")
		sums, err := w.client.Ledger.Sums(w.ctx, w.client.Redis, "budget:acme")
		w.must(err)
		if len(sums) != 2 || sums[0].Spent > limit || !sums[0].End.Equal(midnight) {
			t.Errorf("the days come to %+v", sums)
		}
	})
}

func TestSpentBudgetExpiresTheRestIfAsked(t *testing.T) {
	inWorld(t, limiting(config.Budget{Name: "acme", Tenant: "acme", Limit: jobs.Dollars(0.004), WhenSpent: jobs.ExpireWhenSpent}), func(w *world) {
		w.submit(jobs.Batch{ID: "budget"}, short(60)...)
		w.submit(jobs.Batch{ID: "own", Tenant: "other", Budget: jobs.Dollars(0.004), WhenSpent: jobs.ExpireWhenSpent}, short(60)...)
		w.start("a", "b")
		for batch, named := range map[string]string{"budget": "of acme is spent", "own": "of batch own is spent"} {
			w.untilOver(batch)
			answered := w.count(batch, func(o *jobs.Outcome) bool { return o.Status == jobs.Answered })
			expired := w.count(batch, func(o *jobs.Outcome) bool {
				return o.Status == jobs.Expired && o.Kind == jobs.OverBudget && strings.Contains(o.Reason, named)
			})
			if answered == 0 || expired == 0 || answered+expired != 60 {
				t.Errorf("%s: %d answered and %d expired of 60", batch, answered, expired)
			}
		}
	})
}

func TestBatchMovesToItsCheaperModelBeforeTheMoneyIsGone(t *testing.T) {
	s := second
	s.tune = func(c *config.Config) { c.Chains["default"] = chain("large", "small") }
	inWorld(t, s, func(w *world) {
		w.submit(jobs.Batch{ID: "contracts", Budget: jobs.Dollars(0.2), CheaperAt: 0.25, AlertAt: []float64{0.25}}, short(300)...)
		w.start("a", "b")
		w.untilOver("contracts")
		w.answered("contracts")
		moved := w.count("contracts", func(o *jobs.Outcome) bool {
			return o.Model == "small" && o.Degraded == jobs.Partial && strings.Contains(o.Reason, "large was spared: from 25 % on cheaper models come first")
		})
		first := w.count("contracts", func(o *jobs.Outcome) bool { return o.Model == "large" && o.Degraded == "" })
		if moved == 0 || first == 0 || moved+first != 300 {
			t.Errorf("%d by large, then %d by small, of 300", first, moved)
		}
		w.wait(func() bool { return w.log.says("of the budget of $0.20 of batch contracts is spent: 25 % or more") })
	})
}

func TestCallThatNeverFitsIsDeadAtOnce(t *testing.T) {
	inWorld(t, limiting(config.Budget{Name: "tiny", Tenant: "acme", Limit: 300}), func(w *world) {
		w.submit(jobs.Batch{ID: "contracts", Chain: "cheap"}, short(5)...)
		w.start("a")
		if took := w.untilOver("contracts"); took > 5*time.Second {
			t.Errorf("it took %v", took)
		}
		for id, o := range w.outcomes("contracts") {
			if o.Status != jobs.Dead || o.Kind != jobs.OverBudget || len(o.Attempts) > 0 ||
				!strings.Contains(o.Reason, "can never fit: the budget of tiny is $0.0003, and ") || !strings.Contains(o.Reason, "up to 100 out at $4.00 a million make $0.0004") {
				t.Errorf("%s is %s of %s: %s", id, o.Status, o.Kind, o.Reason)
			}
		}
	})
}

func TestEightWorkersAndSeveralLimitsNeverOverspendThoughKilled(t *testing.T) {
	racing.Spare(t, "schedules of faults kill workers under budgets")
	limits := map[string]jobs.USD{
		"acme": jobs.Dollars(0.03), "large": jobs.Dollars(0.02), "today": jobs.Dollars(0.05), "all": jobs.Dollars(0.06),
	}
	s := four
	s.tune = func(c *config.Config) {
		c.Budgets = []config.Budget{
			{Name: "acme", Tenant: "acme", Limit: limits["acme"]},
			{Name: "large", Model: "large", Limit: limits["large"]},
			{Name: "today", Window: "day", Limit: limits["today"], WhenSpent: jobs.ExpireWhenSpent},
			{Name: "all", Limit: limits["all"], WhenSpent: jobs.BuryWhenSpent},
		}
	}
	inWorld(t, s, func(w *world) {
		for i := range 3 {
			docs := short(120)
			for n := range 20 {
				docs[n] = long()
			}
			tenant := []string{"acme", "acme", "other"}[i]
			w.submit(jobs.Batch{ID: fmt.Sprint("batch", i), Tenant: tenant, Budget: jobs.Dollars(0.025), WhenSpent: jobs.ExpireWhenSpent}, docs...)
		}
		w.start(crew(8)...)
		for _, name := range crew(8)[:5] {
			time.Sleep(2 * time.Second)
			w.kill(name)
			w.start(name)
		}
		time.Sleep(time.Minute)
		binding := 0
		for account, sum := range w.look().sums {
			if sum.Limit > 0 && sum.Spent+sum.Held > sum.Limit {
				t.Errorf("%s: %s spent and %s held of %s", account, sum.Spent, sum.Held, sum.Limit)
			}
			if sum.Limit > 0 && sum.Spent > sum.Limit*8/10 {
				binding++
			}
			t.Logf("%s: %s of %s, %s presumed", account, sum.Spent, sum.Limit, sum.Presumed)
		}
		if binding < 2 {
			t.Errorf("only %d limits bound", binding)
		}
		w.must(w.client.Ledger.SetLimit(w.ctx, w.client.Redis, "budget:acme", jobs.Dollar))
		for i := range 3 {
			w.untilOver(fmt.Sprint("batch", i))
		}
	})
}

func TestLimitThatWasSetOutlivesRedis(t *testing.T) {
	inWorld(t, limiting(config.Budget{Name: "acme", Tenant: "acme", Limit: jobs.Dollar}), func(w *world) {
		w.must(w.client.SetLimit(w.ctx, "acme", jobs.Dollars(0.004)))
		w.submit(jobs.Batch{ID: "contracts"}, short(60)...)
		w.start("a", "b")
		w.paused("contracts")
		w.flushRedis()
		time.Sleep(5 * time.Minute)
		if p := w.progress("contracts"); p.State != jobs.Paused {
			t.Errorf("with the limit that drover.yaml has: %+v", p)
		}
		for account, sum := range w.look().sums {
			if account == "budget:acme" && (sum.Limit != jobs.Dollars(0.004) || sum.Spent+sum.Held > sum.Limit) {
				t.Errorf("%s spent and %s held of %s", sum.Spent, sum.Held, sum.Limit)
			}
		}
		w.must(w.client.SetLimit(w.ctx, "acme", 0))
		w.untilOver("contracts")
	})
}

func TestEachShareIsToldOnceForTheWholeFleet(t *testing.T) {
	hook, posted := listener(t, http.StatusNoContent)
	s := limiting(config.Budget{Name: "acme", Tenant: "acme", Limit: jobs.Dollars(0.02), AlertAt: []float64{0.25, 0.5, 0.99}})
	usual := s.tune
	s.tune = func(c *config.Config) {
		usual(c)
		c.Alerts.Webhook = hook.url
	}
	inWorld(t, s, func(w *world) {
		events, err := w.client.NATS.SubscribeSync("drover.events.budget")
		w.must(err)
		w.submit(jobs.Batch{ID: "contracts"}, short(120)...)
		w.start(crew(4)...)
		w.untilOver("contracts")
		time.Sleep(2 * time.Minute)
		var shares []float64
		told := map[string]bool{}
		for {
			patience, cancel := context.WithTimeout(w.ctx, time.Second) // NextMsg shares timers between bubbles
			msg, err := events.NextMsgWithContext(patience)
			cancel()
			if err != nil {
				break
			}
			var a Alerted
			w.must(json.Unmarshal(msg.Data, &a))
			shares = append(shares, a.Share)
			told["POST application/json  "+string(msg.Data)] = true
			if !w.log.says(a.Text) {
				t.Errorf("no log says %q", a.Text)
			}
			if a.Type != "budget_alert" || a.Account != "budget:acme" || a.Limit != 0.02 || a.Spent < a.Limit*a.Share {
				t.Errorf("got %s", msg.Data)
			}
		}
		slices.Sort(shares)
		if !slices.Equal(shares, []float64{0.25, 0.5}) {
			t.Errorf("told at %v", shares)
		}
		if len(posted) != len(shares) {
			t.Errorf("%d alerts were posted to the webhook, %d told on NATS", len(posted), len(shares))
		}
		for range len(posted) {
			if sent := <-posted; !told[sent] {
				t.Errorf("posted %s, of which NATS was not told", sent)
			}
		}
	})
}
