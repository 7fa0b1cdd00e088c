package simulator

import (
	"cmp"
	"sync"
	"time"
)

// limits holds each model's quota.
type limits struct {
	mu     sync.Mutex
	script map[string]Limit
	model  map[string]*allowance
}

// allowance is what is left of a model's quota: two token buckets.
type allowance struct {
	requests, tokens bucket
}

// quota is what the headers of a response say.
type quota struct {
	requests, tokens gauge
	short            string // what is used up, in a provider's words
}

// gauge is the state of one bucket; a limit of 0 means there is none.
type gauge struct {
	limit, left int64
	reset       time.Duration // until it is full again
}

func newLimits(script map[string]Limit) *limits {
	return &limits{script: script, model: make(map[string]*allowance)}
}

// take takes one request and that many tokens, or nothing and says how long to
// wait. The quota is nil for a model without one.
func (l *limits) take(model string, tokens int64, now time.Time) (*quota, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	limit := l.of(model)
	if limit.RequestsPerMinute == 0 && limit.TokensPerMinute == 0 {
		return nil, 0
	}
	count := float64(tokens) * cmp.Or(limit.Counts, 1)
	a := l.model[model]
	if a == nil {
		a = newAllowance(limit, now)
		l.model[model] = a
	}
	a.requests.refill(now)
	a.tokens.refill(now)
	wait := max(a.requests.lacks(1), a.tokens.lacks(count))
	if wait == 0 {
		a.requests.level--
		a.tokens.level -= count
	}
	if limit.Silent {
		return nil, wait
	}
	q := &quota{requests: a.requests.gauge(), tokens: a.tokens.gauge()}
	switch {
	case wait > 0 && a.requests.lacks(1) == wait:
		q.short = " on requests per min (RPM)"
	case wait > 0:
		q.short = " on tokens per min (TPM)"
	}
	return q, wait
}

// SetLimits replaces the quotas from now on. What a model had saved up is gone.
func (s *Server) SetLimits(limits map[string]Limit) error {
	if err := validateLimits(limits); err != nil {
		return err
	}
	s.limits.set(limits)
	return nil
}

func (l *limits) set(script map[string]Limit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.script = script
	for model := range l.model {
		a := newAllowance(l.of(model), now)
		a.requests.level, a.tokens.level = 0, 0
		l.model[model] = a
	}
}

func (l *limits) of(model string) Limit {
	limit, ok := l.script[model]
	if !ok {
		limit = l.script["*"]
	}
	return limit
}

func newAllowance(limit Limit, now time.Time) *allowance {
	return &allowance{
		requests: newBucket(limit.RequestsPerMinute, limit.Burst, now),
		tokens:   newBucket(limit.TokensPerMinute, limit.Burst, now),
	}
}

// bucket refills steadily up to its size.
type bucket struct {
	perMinute   int
	size, level float64
	at          time.Time
}

func newBucket(perMinute int, burst time.Duration, now time.Time) bucket {
	if burst == 0 {
		burst = time.Minute
	}
	size := max(1, float64(perMinute)*burst.Minutes())
	return bucket{perMinute: perMinute, size: size, level: size, at: now}
}

func (b *bucket) refill(now time.Time) {
	if passed := now.Sub(b.at); passed > 0 {
		b.level = min(b.size, b.level+passed.Minutes()*float64(b.perMinute))
		b.at = now
	}
}

// lacks is how long it takes until n can be taken. More than the bucket holds
// can be taken when it is full.
func (b *bucket) lacks(n float64) time.Duration {
	missing := min(n, b.size) - b.level
	if b.perMinute == 0 || missing <= 0 {
		return 0
	}
	return max(1, b.time(missing))
}

func (b *bucket) time(n float64) time.Duration {
	return time.Duration(n / float64(b.perMinute) * float64(time.Minute))
}

func (b *bucket) gauge() gauge {
	if b.perMinute == 0 {
		return gauge{}
	}
	return gauge{int64(b.perMinute), int64(max(0, b.level)), b.time(b.size - b.level)}
}
