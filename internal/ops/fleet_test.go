package ops_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/drover-batch/drover/budget"
	"github.com/drover-batch/drover/internal/ops"
	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/resilience"
)

func TestMetricsTellWhatAllWorkersShare(t *testing.T) {
	t.Parallel()
	shared := resilience.QuotaState{
		Name: "acme", InFlight: 7, Paused: 1500 * time.Millisecond, Share: 0.9,
		Requests: resilience.Flow{Asked: 480, Said: 500}, Tokens: resilience.Flow{Asked: 9000},
	}
	m := ops.NewMetrics()
	m.Fleet(func(context.Context) (wire.Fleet, error) {
		return wire.Fleet{
			Models: []wire.ModelState{
				{Name: "large", Circuit: resilience.Circuit{State: resilience.Closed, Apart: 1}, Configured: resilience.Quota{RequestsPerMinute: 600}, Quota: shared},
				{Name: "small", Circuit: resilience.Circuit{State: resilience.HalfOpen}, Configured: resilience.Quota{RequestsPerMinute: 600}, Quota: shared},
			},
			Budgets: []budget.Sum{{Account: "budget:acme-day", Limit: 50 * jobs.Dollar, Spent: jobs.Dollar / 4, Held: jobs.Dollar}},
		}, nil
	})
	s := listen(t, m, nil)
	status, body := get(t, s, "/metrics")
	for _, want := range []string{
		"drover_redis_up 1",
		`drover_circuit{model="large",state="closed"} 1`, `drover_circuit{model="large",state="open"} 0`,
		`drover_circuit{model="small",state="half-open"} 1`,
		`drover_circuit_workers_apart{model="large"} 1`,
		`drover_quota_in_flight{quota="acme"} 7`, `drover_quota_paused_seconds{quota="acme"} 1.5`, `drover_quota_share{quota="acme"} 0.9`,
		`drover_quota_asked_per_minute{of="requests",quota="acme"} 480`, `drover_quota_limit_per_minute{of="requests",quota="acme"} 500`,
		`drover_quota_asked_per_minute{of="tokens",quota="acme"} 9000`,
		`drover_budget_spent_usd{budget="acme-day"} 0.25`, `drover_budget_held_usd{budget="acme-day"} 1`, `drover_budget_limit_usd{budget="acme-day"} 50`,
	} {
		if !strings.Contains(body, want+"\n") {
			t.Errorf("%d: lacks %s", status, want)
		}
	}
	if strings.Contains(body, `drover_quota_limit_per_minute{of="tokens"`) {
		t.Error("tells a limit that nobody knows")
	}
}

func TestMetricsLeaveOutWhatRedisCannotTell(t *testing.T) {
	t.Parallel()
	m := ops.NewMetrics()
	looks := 0
	m.Fleet(func(ctx context.Context) (wire.Fleet, error) {
		if _, bounded := ctx.Deadline(); !bounded {
			t.Error("a scrape may wait for ever")
		}
		looks++
		return wire.Fleet{Models: []wire.ModelState{{Name: "canary"}}}, errors.New("redis is away")
	})
	s := listen(t, m, nil)
	for range 3 {
		if status, body := get(t, s, "/metrics"); status != 200 || !strings.Contains(body, "drover_redis_up 0\n") || strings.Contains(body, "canary") {
			t.Errorf("%d %s", status, body)
		}
	}
	if looks != 1 {
		t.Errorf("asked Redis %d times at once", looks)
	}
}
