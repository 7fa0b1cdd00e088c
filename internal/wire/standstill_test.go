package wire

import (
	"strings"
	"testing"
	"time"

	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/llm/simulator"
)

func TestABatchThatStandsStillTellsWhy(t *testing.T) {
	outage := second
	outage.provider.Outages = []simulator.Outage{{For: 10 * time.Minute}}
	for name, c := range map[string]struct {
		scene scene
		why   string
	}{
		"for want of money": {limiting(
			config.Budget{Name: "acme", Tenant: "acme", Window: "day", Limit: jobs.Dollars(0.004)},
			config.Budget{Name: "other", Tenant: "other", Limit: 1},
			config.Budget{Name: "all", Limit: 10 * jobs.Dollar},
		), "of the budget of $0.004 of acme on 2000-01-01, $0.00"},
		"for want of a model": {outage, "small does not answer: its circuit is "},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, c.scene, func(w *world) {
				b := jobs.Batch{ID: "contracts"}
				w.submit(b, short(60)...)
				w.start("a")
				time.Sleep(2 * time.Minute)
				batch, err := w.client.Queue.Batch(w.ctx, "contracts")
				w.must(err)
				why, err := w.client.Standstill(w.ctx, batch)
				w.must(err)
				if len(why) == 0 || !strings.HasPrefix(why[0], c.why) {
					t.Errorf("it tells %q", why)
				}
				if name == "for want of money" {
					w.must(w.client.Ledger.SetLimit(w.ctx, w.client.Redis, "budget:acme", jobs.Dollar))
				}
				w.untilOver("contracts")
				if why, err = w.client.Standstill(w.ctx, batch); err != nil || len(why) > 0 {
					t.Errorf("when it is over it tells %q, %v", why, err)
				}
			})
		})
	}
}

func TestABatchWasSaidToStandStillForMoneyOfAModelItDoesNotAsk(t *testing.T) {
	s := limiting(config.Budget{Model: "small", Name: "small", Window: "day", Limit: jobs.Dollars(0.004)})
	inWorld(t, s, func(w *world) {
		w.config.Chains["dear"] = config.Chain{Models: []string{"large"}}
		w.submit(jobs.Batch{ID: "contracts", Chain: "cheap"}, short(60)...)
		w.start("a")
		time.Sleep(2 * time.Minute)
		for chain, reasons := range map[string]int{"cheap": 1, "dear": 0} {
			why, err := w.client.Standstill(w.ctx, &jobs.Batch{ID: "contracts", Chain: chain})
			w.must(err)
			if len(why) != reasons {
				t.Errorf("of the chain %s it tells %q", chain, why)
			}
		}
		w.must(w.client.Ledger.SetLimit(w.ctx, w.client.Redis, "budget:small", jobs.Dollar))
		w.untilOver("contracts")
	})
}
