package ops

import (
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/drover-batch/drover/budget"
	"github.com/drover-batch/drover/jobs"
)

// Metrics counts what a worker does. Labels are names from the configuration
// and fixed words only, never anything a job brought along.
type Metrics struct {
	registry *prometheus.Registry

	outcomes *prometheus.CounterVec
	attempts *prometheus.CounterVec
	calls    *prometheus.HistogramVec
	tokens   *prometheus.CounterVec
	cost     *prometheus.CounterVec
	deferred prometheus.Counter
	alerts   *prometheus.CounterVec
}

// NewMetrics registers all metrics, each of which begins with drover_.
func NewMetrics() *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		outcomes: counters("outcomes_total", "Jobs that ended, by status and degradation.", "status", "degraded"),
		attempts: counters("attempts_total", "Calls to models, by what became of them; kind is ok for an answer.", "model", "kind"),
		tokens:   counters("tokens_total", "Tokens as the providers counted them.", "model", "direction"),
		cost:     counters("cost_usd_total", "Money spent, by how certain it is.", "model", "billing"),
		alerts:   counters("budget_alerts_total", "Shares of limits that were reached, each counted by one worker of the fleet; budget is batch for a batch's own.", "budget", "share"),
		calls: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "drover_call_seconds", Help: "How long calls took, whatever became of them.",
			Buckets: []float64{.05, .1, .25, .5, 1, 2, 4, 8, 15, 30, 60, 120, 300},
		}, []string{"model"}),
		deferred: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "drover_deferred_total", Help: "Deliveries handed back because nobody could take them then.",
		}),
	}
	m.registry.MustRegister(m.outcomes, m.attempts, m.tokens, m.cost, m.calls, m.deferred, m.alerts,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func counters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "drover_" + name, Help: help}, labels)
}

// Gauge registers a value that is read whenever somebody looks.
func (m *Metrics) Gauge(name, help string, read func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "drover_" + name, Help: help}, read))
}

// Truth registers a gauge that is 1 for what is true whenever somebody looks,
// and else 0.
func (m *Metrics) Truth(name, help string, read func() bool) {
	m.Gauge(name, help, func() float64 { return truth(read()) })
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func dollars(u jobs.USD) float64 { return float64(u) / float64(jobs.Dollar) }

// Counter registers a count that is read whenever somebody looks.
func (m *Metrics) Counter(name, help string, read func() float64) {
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "drover_" + name, Help: help}, read))
}

// Outcome counts the end of a job and the attempts of its last run.
func (m *Metrics) Outcome(o *jobs.Outcome) {
	m.outcomes.WithLabelValues(string(o.Status), string(o.Degraded)).Inc()
	for i := range o.Attempts {
		if o.Attempts[i].Run == o.Run {
			m.attempt(&o.Attempts[i])
		}
	}
}

// Deferred counts a delivery that was handed back, with the attempts made.
func (m *Metrics) Deferred(attempts []jobs.Attempt) {
	m.deferred.Inc()
	for i := range attempts {
		m.attempt(&attempts[i])
	}
}

// Alert counts an alert of a soft limit. Batches come and go, so all of theirs
// are one.
func (m *Metrics) Alert(a budget.Alert) {
	name, ok := strings.CutPrefix(a.Account, budget.Account(""))
	if !ok {
		name = "batch"
	}
	m.alerts.WithLabelValues(name, strconv.FormatFloat(a.Share, 'f', -1, 64)).Inc()
}

func (m *Metrics) attempt(a *jobs.Attempt) {
	kind := string(a.Kind)
	if kind == "" {
		kind = "ok"
	}
	m.attempts.WithLabelValues(a.Model, kind).Inc()
	m.calls.WithLabelValues(a.Model).Observe(a.Took.Seconds())
	m.tokens.WithLabelValues(a.Model, "input").Add(float64(a.Usage.Input))
	m.tokens.WithLabelValues(a.Model, "output").Add(float64(a.Usage.Output))
	m.cost.WithLabelValues(a.Model, string(a.Billing)).Add(dollars(a.Cost))
}
