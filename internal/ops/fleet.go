package ops

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/resilience"
)

// Fleet registers what all workers share: circuits, quotas and budgets, the
// same from every worker. It is read when somebody looks, within two seconds
// and once in five at the most; while it cannot be, all of it is left out and
// drover_redis_up is 0.
func (m *Metrics) Fleet(read func(context.Context) (wire.Fleet, error)) {
	m.registry.MustRegister(&fleet{read: read})
}

type fleet struct {
	read func(context.Context) (wire.Fleet, error)

	mu     sync.Mutex
	looked time.Time
	last   wire.Fleet
	err    error
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("drover_"+name, help, labels, nil)
}

var (
	redisUp  = describe("redis_up", "1 while Redis answers.")
	circuit  = describe("circuit", "1 for the state that the model's circuit is in: closed, open or half-open.", "model", "state")
	apart    = describe("circuit_workers_apart", "Workers that cannot reach the model while others can.", "model")
	inFlight = describe("quota_in_flight", "Calls of the whole fleet, those that wait for their start among them.", "quota")
	paused   = describe("quota_paused_seconds", "How long the pause still lasts that the provider asked for.", "quota")
	share    = describe("quota_share", "Part of the quota's limits that 429s have left, 1 at best.", "quota")
	asked    = describe("quota_asked_per_minute", "Requests or tokens asked for a minute, over the last ten seconds.", "quota", "of")
	limit    = describe("quota_limit_per_minute", "What there may be of them: by the configuration, the provider's headers or its 429s; absent while nobody knows.", "quota", "of")
	spent    = describe("budget_spent_usd", "Spent of the budget in its present day, week or month.", "budget")
	held     = describe("budget_held_usd", "At most this much more will have been spent by calls in flight.", "budget")
	allowed  = describe("budget_limit_usd", "The budget's limit, as it is set now.", "budget")
)

// Describe tells of every metric that Collect may have.
func (f *fleet) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{redisUp, circuit, apart, inFlight, paused, share, asked, limit, spent, held, allowed} {
		to <- d
	}
}

// Collect reads what there is.
func (f *fleet) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	all, err := f.look()
	if err != nil {
		gauge(redisUp, 0)
		return
	}
	gauge(redisUp, 1)
	quotas := map[string]bool{} // which several models share
	for _, m := range all.Models {
		for _, state := range []string{resilience.Closed, resilience.Open, resilience.HalfOpen} {
			gauge(circuit, truth(m.Circuit.State == state), m.Name, state)
		}
		gauge(apart, float64(m.Circuit.Apart), m.Name)
		if q := m.Quota; !quotas[q.Name] {
			quotas[q.Name] = true
			gauge(inFlight, float64(q.InFlight), q.Name)
			gauge(paused, q.Paused.Seconds(), q.Name)
			gauge(share, q.Share, q.Name)
			flow(gauge, q.Requests, m.Configured.RequestsPerMinute, q.Name, "requests")
			flow(gauge, q.Tokens, m.Configured.TokensPerMinute, q.Name, "tokens")
		}
	}
	for _, s := range all.Budgets {
		name, _ := s.Budget()
		gauge(spent, dollars(s.Spent), name)
		gauge(held, dollars(s.Held), name)
		gauge(allowed, dollars(s.Limit), name)
	}
}

func flow(gauge func(*prometheus.Desc, float64, ...string), f resilience.Flow, configured int64, quota, of string) {
	gauge(asked, f.Asked, quota, of)
	if most, _ := f.Limit(configured); most > 0 {
		gauge(limit, float64(most), quota, of)
	}
}

func (f *fleet) look() (wire.Fleet, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Since(f.looked) >= 5*time.Second {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		f.last, f.err = f.read(ctx)
		f.looked = time.Now()
	}
	return f.last, f.err
}
