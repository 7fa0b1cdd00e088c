package resilience

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/jobs"
)

// modelCircuit is a circuit as one would write it down without Redis. The
// rate of failures is left to the other tests.
type modelCircuit struct {
	state        string
	gen          int
	since, until time.Duration
	fails        int
	probes       int
	passed       int
	closed       time.Duration // when it closed last, for the ramp; -1: never
	ramping      int
	seen         time.Duration
}

func newModelCircuit() *modelCircuit {
	return &modelCircuit{state: Closed, closed: -1, since: -1, seen: -1}
}

func (c *modelCircuit) turn(now time.Duration) {
	if c.state == Open && now >= c.until {
		c.state, c.since, c.probes, c.passed = HalfOpen, now, 0, 0
	}
}

func (c *modelCircuit) ramp(now time.Duration) bool {
	return c.state == Closed && c.closed >= 0 && now-c.closed < 10*time.Second
}

func (c *modelCircuit) lets(now time.Duration) bool {
	switch {
	case c.state == Open:
		return false
	case c.state == HalfOpen:
		return c.probes < 3
	case c.ramp(now):
		return c.ramping < 3<<int((now-c.closed)/time.Second)
	}
	return true
}

func (c *modelCircuit) admit(now time.Duration) ticket {
	switch {
	case c.state == HalfOpen:
		c.probes++
		return ticket{c.gen, "probe"}
	case c.ramp(now):
		c.ramping++
		return ticket{c.gen, "ramp"}
	}
	return ticket{c.gen, ""}
}

func (c *modelCircuit) release(t ticket) {
	if t.gen == c.gen && t.as == "probe" && c.state == HalfOpen {
		c.probes--
	}
	if t.gen == c.gen && t.as == "ramp" {
		c.ramping--
	}
}

func (c *modelCircuit) good(now time.Duration) {
	if c.state == Closed {
		c.fails = 0
	} else if c.passed++; c.passed == 3 {
		c.state, c.since, c.fails, c.closed, c.ramping = Closed, now, 0, now, 0
	}
}

func (c *modelCircuit) bad(now time.Duration, broken bool, agreed func() bool) {
	c.fails++
	if c.state == HalfOpen || (broken || c.fails >= 5) && agreed() {
		c.state, c.gen, c.since, c.until = Open, c.gen+1, now, now+30*time.Second
		c.probes, c.passed, c.ramping, c.closed = 0, 0, 0, -1
	}
}

// ticket is how a call passed a circuit.
type ticket struct {
	gen int
	as  string
}

type modelCall struct {
	*jobs.Call
	fleet, own ticket
	dies       time.Duration
}

// breakerModel runs the same steps on the model and on Redis.
type breakerModel struct {
	*desk
	now     time.Duration
	fleet   *modelCircuit
	workers map[string]*modelCircuit
	calls   []*modelCall
}

func (m *breakerModel) worker(name string) *modelCircuit {
	if m.workers[name] == nil {
		m.workers[name] = newModelCircuit()
	}
	own := m.workers[name]
	m.fleet.turn(m.now)
	if own.state != Closed && own.since <= m.fleet.since {
		own.state, own.fails, own.closed = Closed, 0, -1
		own.gen++
	}
	own.turn(m.now)
	return own
}

func (m *breakerModel) quorum() bool {
	live, failing := 0, 0
	for name := range m.workers {
		c := m.worker(name)
		if c.seen >= 0 && m.now-c.seen <= time.Minute {
			live++
			if c.fails > 0 || c.state != Closed {
				failing++
			}
		}
	}
	return 2*failing > live
}

func (m *breakerModel) Enter(t *rapid.T) {
	c := newCall(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "worker"))
	own := m.worker(c.Worker)
	want := m.fleet.lets(m.now) && own.lets(m.now)
	if got := m.enter(c); got.Refused == want {
		t.Fatalf("worker %s: admitted is %v, want %v (%s); fleet %+v, own %+v", c.Worker, !got.Refused, want, got.Why, *m.fleet, *own)
	}
	if want {
		m.calls = append(m.calls, &modelCall{c, m.fleet.admit(m.now), own.admit(m.now), m.now + lease})
	}
}

func (m *breakerModel) Leave(t *rapid.T) {
	if len(m.calls) == 0 {
		t.Skip("nobody is in")
	}
	i := rapid.IntRange(0, len(m.calls)-1).Draw(t, "call")
	kind := rapid.SampledFrom([]jobs.Kind{"", "", jobs.Timeout, jobs.ServerError, jobs.RateLimited, jobs.NoQuota}).Draw(t, "kind")
	c := m.calls[i]
	m.calls = append(m.calls[:i], m.calls[i+1:]...)
	m.leave(c.Call, jobs.Attempt{Kind: kind})

	own := m.worker(c.Worker)
	m.fleet.release(c.fleet)
	own.release(c.own)
	verdict := kind.Verdict()
	if verdict == jobs.Neutral || c.fleet.gen != m.fleet.gen {
		return
	}
	own.seen = m.now
	mine := c.own.gen == own.gen
	if verdict == jobs.Good {
		if mine {
			own.good(m.now)
		}
		m.fleet.good(m.now)
		return
	}
	if mine {
		own.bad(m.now, verdict == jobs.Broken, func() bool { return true })
	}
	m.fleet.bad(m.now, verdict == jobs.Broken, m.quorum)
	if mine && own.state == Open && m.fleet.state == Closed {
		m.fleet.fails = max(0, m.fleet.fails-own.fails)
	}
}

// Wait lets time pass; calls that have been in for a lease are dead.
func (m *breakerModel) Wait(t *rapid.T) {
	d := time.Duration(rapid.SampledFrom([]int{1, 5, 14, 31}).Draw(t, "seconds")) * time.Second
	m.pass(d)
	m.now += d
	m.run(lua.Op{Kind: lua.Beat, Lease: lease}) // clears them away
	var alive []*modelCall
	for _, c := range m.calls {
		if c.dies > m.now {
			alive = append(alive, c)
			continue
		}
		own := m.worker(c.Worker)
		m.fleet.release(c.fleet)
		own.release(c.own)
	}
	m.calls = alive
}

func (m *breakerModel) check(t *rapid.T) {
	m.fleet.turn(m.now)
	if got := m.circuit(); got.State != m.fleet.state || got.Failures != m.fleet.fails {
		t.Fatalf("the circuit is %+v, want %+v", got, *m.fleet)
	}
}

func TestBreakerDoesAsItsModel(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store) {
		run := 0
		rapid.Check(t, func(t *rapid.T) {
			run++
			keys := lua.Keyspace(fmt.Sprint("run", run))
			m := &breakerModel{fleet: newModelCircuit(), workers: make(map[string]*modelCircuit)}
			m.desk = s.desk(t, NewBreaker(BreakerConfig{Keys: keys, Volume: 1 << 20}), keys)
			t.Repeat(map[string]func(*rapid.T){"": m.check, "enter": m.Enter, "leave": m.Leave, "wait": m.Wait})
		})
	})
}
