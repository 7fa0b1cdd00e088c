package queue

import (
	"maps"
	"slices"
	"time"
)

// later is a job that was handed back for a while: nobody is lent it before.
type later struct {
	ack   string
	until time.Time
}

// soonAnyway is the rest of a wait for which a job is not recalled: by the time
// the broker hears of it, another worker may have been lent the job.
const soonAnyway = 5 * time.Second

// defers notes that a job comes back later, so that it can be recalled, as when
// its batch is cancelled.
func (s *Source) defers(d *delivery, wait time.Duration) {
	if wait <= soonAnyway {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if now.Sub(s.thinned) > time.Minute {
		s.thinned = now
		maps.DeleteFunc(s.later, func(batch string, list []later) bool {
			s.later[batch] = slices.DeleteFunc(list, func(l later) bool { return l.until.Before(now) })
			return len(s.later[batch]) == 0
		})
	}
	s.later[d.job.Batch] = append(s.later[d.job.Batch], later{d.ack, now.Add(wait)})
}

// Wake ends the rests of all batches, and has the jobs come back that this worker
// handed back for later: what they wait for may be there. It may be called from
// any goroutine.
func (s *Source) Wake() {
	s.mu.Lock()
	clear(s.rests)
	batches := slices.Collect(maps.Keys(s.later))
	s.mu.Unlock()
	for _, b := range batches {
		s.recall(b)
	}
}

// recall has the jobs of a batch come back now that this worker handed back for
// later.
func (s *Source) recall(batch string) {
	s.mu.Lock()
	list := s.later[batch]
	delete(s.later, batch)
	s.mu.Unlock()
	for _, l := range list {
		if time.Until(l.until) > soonAnyway {
			s.pulls.refuseFor(l.ack, 1)
		}
	}
}
