package resilience

import (
	"time"

	"github.com/drover-batch/drover/internal/lua"
)

// Asking for each of many calls on its own is dear, and a moment more is nothing
// against the time that a model takes. So where calls come in crowds a group
// lingers until it is worth while. A call alone never waits, nor do few.
const (
	crowd        = 16                     // calls in flight from which on there is one
	worthwhile   = 20                     // operations, of ten calls
	leastRate    = 200                    // operations a second from which on it is worth while
	shortLinger  = 2 * time.Millisecond   // however short the calls
	longLinger   = 100 * time.Millisecond // however long
	lingerPart   = 50                     // otherwise this part of the time that a call takes
	rateMeasured = 100 * time.Millisecond
)

// tempo measures how many operations there are in a second.
type tempo struct {
	since time.Time
	ops   int
	rate  float64
}

func (p *tempo) count(n int) {
	p.ops += n
	if took := time.Since(p.since); took >= rateMeasured {
		p.rate = float64(p.ops) / took.Seconds()
		p.since, p.ops = time.Now(), 0
	}
}

// linger waits for a group to become worth while, no longer than it would take
// at the present pace, or until everybody waits who could.
func (c *committer) linger() {
	if c.crowd == nil {
		return
	}
	calls, took := c.crowd()
	c.mu.Lock()
	for _, e := range c.waiting {
		if e.op.Kind == lua.Enter {
			calls++
		}
	}
	if c.tempo.rate < leastRate || calls < crowd || len(c.waiting) == 0 {
		c.mu.Unlock()
		return
	}
	most := min(max(took/lingerPart, shortLinger), longLinger)
	wait := min(time.Duration(worthwhile/c.tempo.rate*float64(time.Second)), most)
	c.enough = min(calls, c.limit)
	full := c.full
	ready := len(c.waiting) >= c.enough
	c.mu.Unlock()
	if ready {
		return
	}
	late := time.NewTimer(wait)
	defer late.Stop()
	select {
	case <-full:
	case <-late.C:
	}
}
