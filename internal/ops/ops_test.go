package ops_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/drover-batch/drover/budget"
	"github.com/drover-batch/drover/internal/ops"
	"github.com/drover-batch/drover/jobs"
)

func get(t *testing.T, s *ops.Server, path string) (int, string) {
	t.Helper()
	resp, err := http.Get("http://" + s.Addr() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func listen(t *testing.T, m *ops.Metrics, ready func(context.Context) error) *ops.Server {
	t.Helper()
	s, err := ops.Listen("127.0.0.1:0", m, ready)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestReadinessSaysWhyNot(t *testing.T) {
	t.Parallel()
	s := listen(t, ops.NewMetrics(), func(context.Context) error { return errors.New("redis is away") })
	if code, body := get(t, s, "/readyz"); code != 503 || !strings.Contains(body, "redis is away") {
		t.Errorf("readyz: %d %s", code, body)
	}
	if code, _ := get(t, s, "/healthz"); code != 200 {
		t.Errorf("healthz: %d, but the process is alive", code)
	}
}

func TestMetricsCountAttemptsOfTheLastRunOnly(t *testing.T) {
	t.Parallel()
	m := ops.NewMetrics()
	m.Gauge("running", "Deliveries on loan.", func() float64 { return 3 })
	m.Outcome(&jobs.Outcome{
		Status: jobs.Answered, Degraded: jobs.Partial, Run: 2, Answer: "canary",
		Attempts: []jobs.Attempt{
			{Run: 1, Model: "small", Kind: jobs.Timeout, Billing: jobs.Presumed, Cost: 500},
			{Run: 2, Model: "large", Billing: jobs.Billed, Cost: jobs.Dollar / 2, Took: time.Second, Usage: jobs.Usage{Input: 10, Output: 4}},
		},
	})
	m.Deferred([]jobs.Attempt{{Run: 1, Model: "slow", Kind: jobs.Timeout, Billing: jobs.Presumed, Cost: jobs.Dollar / 4}})
	m.Alert(budget.Alert{Account: "budget:acme/day", Share: 0.8})
	m.Alert(budget.Alert{Account: "batch:canary", Share: 0.5})
	s := listen(t, m, func(context.Context) error { return nil })
	_, body := get(t, s, "/metrics")
	for _, want := range []string{
		`drover_outcomes_total{degraded="partial",status="answered"} 1`,
		`drover_attempts_total{kind="ok",model="large"} 1`,
		`drover_cost_usd_total{billing="billed",model="large"} 0.5`,
		`drover_cost_usd_total{billing="ambiguous",model="slow"} 0.25`,
		`drover_tokens_total{direction="input",model="large"} 10`,
		`drover_budget_alerts_total{budget="acme/day",share="0.8"} 1`,
		`drover_budget_alerts_total{budget="batch",share="0.5"} 1`,
		"drover_running 3", "drover_deferred_total 1",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("lacks %s", want)
		}
	}
	if strings.Contains(body, `model="small"`) || strings.Contains(body, "canary") {
		t.Error("counts what it should not")
	}
}

func TestAddressInUseSaysWhatToDo(t *testing.T) {
	t.Parallel()
	s := listen(t, ops.NewMetrics(), func(context.Context) error { return nil })
	if _, err := ops.Listen(s.Addr(), ops.NewMetrics(), nil); err == nil || !strings.Contains(err.Error(), "--http") {
		t.Errorf("got %v", err)
	}
}
