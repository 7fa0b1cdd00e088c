package pool

import (
	"maps"
	"sync"

	"github.com/drover-batch/drover/jobs"
)

// Stats is what a pool has done since it began.
type Stats struct {
	Slots   int // deliveries at once, at the most
	Running int // slots that are taken; a job whose model has answered may have left its own

	// Outcomes stored, by how they ended. Partial, Cached and Unavailable
	// answers are among the Answered.
	Answered, Partial, Cached, Unavailable int64
	Dead, Expired, Cancelled               int64

	Deferred int64 // handed back for a while
	Returned int64 // handed back at once
	Released int64 // had an outcome already
	Lost     int64 // leases lost before the job was handed back
	Wasted   int64 // outcomes that came second
	Unstored int64 // outcomes that could not be stored

	// Of all attempts made here, whatever became of their jobs.
	Cost   jobs.USD
	Usage  jobs.Usage
	Models map[string]ModelStats
}

// ModelStats is the part of Stats that is one model's.
type ModelStats struct {
	Calls, Failed int64
	Cost          jobs.USD
	Usage         jobs.Usage
}

// Stats returns what the pool has done up to now. It may be called at any
// time, from any goroutine.
func (p *Pool) Stats() Stats {
	p.stats.mu.Lock()
	defer p.stats.mu.Unlock()
	s := p.stats.Stats
	s.Models = maps.Clone(s.Models)
	return s
}

type stats struct {
	mu sync.Mutex
	Stats
}

func (s *stats) begin() { s.change(func() { s.Running++ }) }

func (s *stats) finish() { s.change(func() { s.Running-- }) }

func (s *stats) released() { s.change(func() { s.Released++ }) }

func (s *stats) wasted(o *jobs.Outcome) {
	s.change(func() {
		s.Wasted++
		s.count(o.Run, o.Attempts)
	})
}

func (s *stats) unstored(o *jobs.Outcome) {
	s.change(func() {
		s.Unstored++
		s.count(o.Run, o.Attempts)
	})
}

func (s *stats) stored(o *jobs.Outcome) {
	s.change(func() {
		switch o.Status {
		case jobs.Answered:
			s.Answered++
		case jobs.Dead:
			s.Dead++
		case jobs.Expired:
			s.Expired++
		case jobs.WasCancelled:
			s.Cancelled++
		}
		switch o.Degraded {
		case jobs.Partial:
			s.Partial++
		case jobs.Cached:
			s.Cached++
		case jobs.Unavailable:
			s.Unavailable++
		}
		s.count(o.Run, o.Attempts)
	})
}

func (s *stats) letGo(run int, made jobs.Decision, lost bool) {
	s.change(func() {
		switch {
		case lost:
			s.Lost++
		case made.Back:
			s.Returned++
		default:
			s.Deferred++
		}
		s.count(run, made.Attempts)
	})
}

func (s *stats) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// count adds the attempts of this run; an outcome repeats those of earlier
// ones.
func (s *stats) count(run int, attempts []jobs.Attempt) {
	for i := range attempts {
		a := &attempts[i]
		if a.Run != run {
			continue
		}
		if s.Models == nil {
			s.Models = make(map[string]ModelStats)
		}
		m := s.Models[a.Model]
		m.Calls++
		if a.Kind != "" {
			m.Failed++
		}
		m.Cost += a.Cost
		m.Usage = m.Usage.Add(a.Usage)
		s.Models[a.Model] = m
		s.Cost += a.Cost
		s.Usage = s.Usage.Add(a.Usage)
	}
}
