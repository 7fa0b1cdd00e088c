package queue

import (
	"maps"
	"sync/atomic"
	"time"
)

// calm is how long nothing has moved, as in an outage or where all batches are
// paused. A Source then looks less often: news and jobs that come back reach it
// anyway. It belongs to the goroutine that looks, but for stir.
type calm struct {
	looks     int // in a row that found everything as it was, at most three
	stood     map[string]*standing
	manifests uint64
	stirred   atomic.Bool
}

// stir says that something has moved here since the last look.
func (c *calm) stir() { c.stirred.Store(true) }

// compare notes what a look found.
func (c *calm) compare(all map[string]*standing, manifests uint64) {
	c.looks = min(c.looks+1, 3)
	if c.stirred.Swap(false) || c.manifests != manifests || !maps.EqualFunc(c.stood, all, (*standing).as) {
		c.looks = 0
	}
	c.stood, c.manifests = all, manifests
}

// every is how long to leave until the next look: twice as long after two that
// found nothing new, and four times as long after three.
func (c *calm) every() time.Duration {
	if c.looks < 2 || c.stirred.Load() {
		return refreshEvery
	}
	return refreshEvery << (c.looks - 1)
}

// as reports whether the jobs of a batch stand as they did.
func (s *standing) as(t *standing) bool {
	return s.queued == t.queued && s.running == t.running && s.floor == t.floor
}

// submitting reports whether a batch lacks jobs that may come at any moment.
func (s *Source) submitting() bool {
	for _, l := range s.known {
		if !l.m.Sealed && !l.m.ended() {
			return true
		}
	}
	return false
}
