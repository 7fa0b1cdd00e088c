package main

import (
	"fmt"
	"time"

	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/jobs"
)

// load is what falls to a model.
type load struct {
	calls, tokens int64
	busy          time.Duration // of all calls, one after the other
}

// schedule works out how long calls take under the limits of the quotas they
// share and of one worker's slots.
type schedule struct {
	cfg    *config.Config
	quotas map[string]load
	all    load
}

func (s *schedule) add(m *jobs.Model, l load) {
	if s.quotas == nil {
		s.quotas = map[string]load{}
	}
	q := s.quotas[m.Quota]
	s.quotas[m.Quota] = load{q.calls + l.calls, q.tokens + l.tokens, q.busy + l.busy}
	s.all = load{s.all.calls + l.calls, s.all.tokens + l.tokens, s.all.busy + l.busy}
}

// duration is how long it takes, and what it is that takes so long.
func (s *schedule) duration() (took time.Duration, bound string) {
	longer := func(d time.Duration, format string, args ...any) {
		if d > took {
			took, bound = d, fmt.Sprintf(format, args...)
		}
	}
	slots := int64(s.cfg.Worker.Slots)
	longer(share(s.all.busy, min(slots, s.all.calls)), "the time of an answer, %d at once", slots)
	for name, l := range s.quotas {
		q := s.cfg.Quotas[name]
		if q.Requests > 0 {
			longer(minutes(l.calls, q.Requests), "%s a minute", jobs.Counted(q.Requests, "request"))
		}
		if q.Tokens > 0 {
			longer(minutes(l.tokens, q.Tokens), "%s a minute", jobs.Counted(q.Tokens, "token"))
		}
		if q.Concurrent > 0 {
			longer(share(l.busy, min(q.Concurrent, l.calls)), "the time of an answer, %d at once", q.Concurrent)
		}
	}
	return took, bound
}

func share(busy time.Duration, ways int64) time.Duration { return busy / time.Duration(max(1, ways)) }

func minutes(n, perMinute int64) time.Duration {
	return time.Duration(float64(n) / float64(perMinute) * float64(time.Minute))
}
