package resilience

import (
	"time"

	"golang.org/x/time/rate"

	"github.com/drover-batch/drover/jobs"
)

const (
	looksBack  = 6 // spans of time that a pace remembers
	span       = 10 * time.Second
	mostBad    = 3 // bad results in a row after which a model is not asked
	paceAhead  = 2 * time.Second
	untilPlace = time.Second // before a call looks again that found too many in flight
)

// pace is how fast this worker calls the models of a quota. While nobody can
// be asked it goes on at most as it did in the last minute, so that the fleet
// together stays within the quota.
type pace struct {
	spans  [looksBack]passed
	flying int

	limit *rate.Limiter // nil while Redis is there
	most  int           // at once
	until time.Time     // the provider asked for a pause
	bad   map[string]int
}

// passed is what was seen in one span of time.
type passed struct {
	number   int64 // of the span
	admitted int
	most     int // in flight
}

func newPace() *pace { return &pace{bad: map[string]int{}} }

// admitted counts a call that the fleet's limiter let in.
func (p *pace) admitted(now time.Time) {
	p.flying++
	n := now.UnixNano() / int64(span)
	s := &p.spans[n%looksBack]
	if s.number != n {
		*s = passed{number: n}
	}
	s.admitted++
	s.most = max(s.most, p.flying)
}

// left takes note of what became of a call.
func (p *pace) left(model string, a *jobs.Attempt) {
	p.flying--
	if p.limit == nil {
		return
	}
	switch v := a.Kind.Verdict(); {
	case a.Kind == jobs.RateLimited:
		p.until = latest(p.until, time.Now().Add(max(a.RetryAfter, time.Second)))
		p.bad[model]++
	case v == jobs.Good:
		p.bad[model] = 0
	case v == jobs.Bad, v == jobs.Broken:
		p.bad[model]++
	}
}

// begin goes on without the limiter.
func (p *pace) begin(now time.Time) {
	n, admitted := now.UnixNano()/int64(span), 0
	for _, s := range p.spans {
		if n-s.number < looksBack {
			admitted += s.admitted
			p.most = max(p.most, s.most)
		}
	}
	p.limit = rate.NewLimiter(rate.Limit(float64(admitted)/(looksBack*span).Seconds()), 1)
}

// end leaves the pace to the limiter again.
func (p *pace) end() { p.limit, p.most, p.until, p.bad = nil, 0, time.Time{}, map[string]int{} }

// stopped reports whether the model is not asked until Redis is back.
func (p *pace) stopped(model string) bool {
	return p.limit == nil || p.limit.Limit() == 0 || p.bad[model] >= mostBad
}

// reserve tells how long a call has to wait before it is sent, or that it has
// to ask again later.
func (p *pace) reserve(now time.Time) (time.Duration, *Refusal) {
	later := func(why string, wait time.Duration) *Refusal {
		return &Refusal{Guard: LimiterGuard, Reason: why, Wait: max(wait, time.Millisecond)}
	}
	if wait := p.until.Sub(now); wait > 0 {
		return 0, later("the provider asked for a pause", wait)
	}
	if p.flying >= p.most {
		return 0, later("as many calls are in flight as before Redis went away", untilPlace)
	}
	turn := p.limit.ReserveN(now, 1)
	wait := turn.DelayFrom(now)
	if wait > paceAhead {
		turn.CancelAt(now)
		return 0, later("calls go on no faster than before Redis went away", wait-paceAhead)
	}
	p.flying++
	return wait, nil
}
