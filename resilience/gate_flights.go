package resilience

import (
	"time"

	"github.com/drover-batch/drover/jobs"
)

// flight is a call that has entered and whose result the guards do not know.
type flight struct {
	call   *jobs.Call
	since  time.Time
	booked bool // see Booked
}

// keep puts a call on the list of those to keep alive.
func (g *Gate) keep(call *jobs.Call) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.live[call.ID] = &flight{call: new(*call), since: time.Now()}
}

// crowd is how many calls are in flight, and how long one takes.
func (g *Gate) crowd() (calls int, took time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.live), g.took
}

// ended takes note of how long a call took.
func (g *Gate) ended(call *jobs.Call) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if f := g.live[call.ID]; f != nil {
		g.took += (time.Since(f.since) - g.took) / 16
	}
}

// left takes a call off the list once the guards know its result: there is room
// for another, and Redis is there to hear of results that it is owed.
func (g *Gate) left(call *jobs.Call) {
	g.mu.Lock()
	delete(g.live, call.ID)
	g.mu.Unlock()
	if g.limiter != nil {
		g.limiter.line(call.Model).freed()
	}
	g.pay()
}
