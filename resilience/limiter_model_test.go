package resilience

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/jobs"
)

// limiterModel is a quota as one would write it down without Redis, and the
// one in Redis, going the same steps. Steering by headers and lines of several
// workers are left to the other tests.
type limiterModel struct {
	*desk
	quota          Quota
	now            time.Duration
	request, token time.Duration // when the next may start
	pause, shift   time.Duration
	share          float64
	cut            time.Duration
	calls          []*reserved
	started        []time.Duration // of all requests that were not given back
}

type reserved struct {
	*jobs.Call
	start, dies time.Duration
	shift       time.Duration // when it was admitted
}

func (m *limiterModel) gap(perMinute int64) float64 {
	if perMinute == 0 {
		return 0
	}
	return float64(time.Minute) / (float64(perMinute) * m.shareNow())
}

func (m *limiterModel) shareNow() float64 {
	return min(1, m.share+0.003*(m.now-m.cut).Seconds())
}

// fits is when a call of so many tokens may start, or that it may not yet.
func (m *limiterModel) fits() (start time.Duration, ok bool) {
	if m.quota.Concurrent > 0 && int64(len(m.calls)) >= m.quota.Concurrent {
		return 0, false
	}
	start = max(m.now, m.request, m.token, m.pause)
	return start, start <= m.now+time.Second
}

func (m *limiterModel) Enter(t *rapid.T) {
	c := newCall("a")
	c.Input = rapid.Int64Range(1, 3000).Draw(t, "tokens")
	start, ok := m.fits()
	r := m.enter(c)
	if near := start - m.now - time.Second; near.Abs() < time.Millisecond {
		ok = !r.Refused // too close to call: times are rounded
	}
	if r.Refused == ok {
		t.Fatalf("admitted is %v, want %v (%s); %+v", !r.Refused, ok, r.Why, m)
	}
	if !ok {
		return
	}
	if off := r.Wait - (start - m.now); off.Abs() > time.Millisecond {
		t.Fatalf("waits %v, want %v", r.Wait, start-m.now)
	}
	if m.quota.RequestsPerMinute > 0 {
		m.request = start + time.Duration(m.gap(m.quota.RequestsPerMinute))
	}
	m.token = max(m.token, start-time.Second) + time.Duration(float64(c.Input)*m.gap(m.quota.TokensPerMinute))
	m.calls = append(m.calls, &reserved{c, start, start + lease, m.shift})
	m.started = append(m.started, start)
}

func (m *limiterModel) Leave(t *rapid.T) {
	if len(m.calls) == 0 {
		t.Skip("nobody is in")
	}
	i := rapid.IntRange(0, len(m.calls)-1).Draw(t, "call")
	c := m.calls[i]
	m.calls = append(m.calls[:i], m.calls[i+1:]...)
	switch rapid.IntRange(0, 9).Draw(t, "outcome") {
	case 0:
		m.limited(c, time.Duration(rapid.IntRange(1, 20).Draw(t, "seconds"))*time.Second)
	case 1:
		m.leave(c.Call, jobs.Attempt{Kind: jobs.Timeout, Billing: jobs.Presumed})
	default:
		used := rapid.Int64Range(1, 6000).Draw(t, "used")
		m.leave(c.Call, jobs.Attempt{Usage: jobs.Usage{Input: used}})
		m.settle(used - c.Input)
	}
}

func (m *limiterModel) settle(more int64) {
	more *= int64(m.gap(m.quota.TokensPerMinute))
	m.token = max(m.token+time.Duration(more), min(m.token, m.now-time.Second))
}

func (m *limiterModel) limited(c *reserved, retry time.Duration) {
	m.leave(c.Call, jobs.Attempt{Kind: jobs.RateLimited, RetryAfter: retry})
	m.settle(-c.Input)
	start := c.start + m.shift - c.shift
	fresh, taught := start >= m.pause, start < m.cut+time.Second
	m.putOff(m.now + retry)
	if fresh && !taught {
		m.share, m.cut = max(0.05, 0.97*m.shareNow()), m.now
	}
}

// putOff pauses the quota, and moves those who wait for their time.
func (m *limiterModel) putOff(till time.Duration) {
	more := till - max(m.now, m.pause)
	if more <= 0 {
		return
	}
	if m.now >= m.pause {
		m.shift -= time.Microsecond // whose time is this very moment has started
	}
	m.pause, m.shift = till, m.shift+more
	for _, at := range append(m.waiting(), &m.request, &m.token) {
		if *at > m.now {
			*at += more
		}
	}
}

func (m *limiterModel) waiting() (all []*time.Duration) {
	for i := range m.started {
		all = append(all, &m.started[i])
	}
	return all
}

// Ask is what an admitted call does when its time should have come.
func (m *limiterModel) Ask(t *rapid.T) {
	if len(m.calls) == 0 {
		t.Skip("nobody is in")
	}
	c := rapid.SampledFrom(m.calls).Draw(t, "call")
	r := m.run(lua.Op{Kind: lua.Due, Call: c.ID, Steps: []lua.Step{m.guard.(*Limiter).due(c.Call)}})[0]
	if want := max(0, c.start+m.shift-c.shift-m.now); (r.Wait - want).Abs() > time.Millisecond {
		t.Fatalf("waits on for %v, want %v", r.Wait, want)
	}
}

// Wait lets time pass; calls that have been in for a lease are dead.
func (m *limiterModel) Wait(t *rapid.T) {
	d := time.Duration(rapid.SampledFrom([]int{50, 300, 1000, 7000, 31000}).Draw(t, "ms")) * time.Millisecond
	m.pass(d)
	m.now += d
	m.run(lua.Op{Kind: lua.Beat, Lease: lease})
	var alive []*reserved
	for _, c := range m.calls {
		if c.dies > m.now+time.Millisecond {
			alive = append(alive, c)
		} else {
			m.leave(c.Call, jobs.Attempt{Kind: jobs.Timeout, Billing: jobs.Presumed}) // too late to matter
		}
	}
	m.calls = alive
}

func (m *limiterModel) check(t *rapid.T) {
	q := m.desk.quota()
	if q.InFlight != int64(len(m.calls)) {
		t.Fatalf("%d in flight, want %d", q.InFlight, len(m.calls))
	}
	if off := q.Paused - max(0, m.pause-m.now); off.Abs() > time.Millisecond {
		t.Fatalf("paused for %v, want %v", q.Paused, m.pause-m.now)
	}
	// What all this is for: no more requests in any minute than there may be.
	if n := len(m.started); m.quota.RequestsPerMinute > 0 && n > int(m.quota.RequestsPerMinute) {
		if took := m.started[n-1] - m.started[n-1-int(m.quota.RequestsPerMinute)]; took < time.Minute-time.Millisecond {
			t.Fatalf("%d requests in %v", m.quota.RequestsPerMinute+1, took)
		}
	}
}

func TestLimiterDoesAsItsModel(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store) {
		run := 0
		rapid.Check(t, func(t *rapid.T) {
			run++
			keys := lua.Keyspace(fmt.Sprint("run", run))
			m := &limiterModel{share: 1, cut: -time.Hour, token: -time.Hour, request: -time.Hour, pause: -time.Hour, quota: Quota{
				RequestsPerMinute: rapid.SampledFrom([]int64{0, 5, 240}).Draw(t, "requests"),
				TokensPerMinute:   60_000,
				Concurrent:        rapid.SampledFrom([]int64{0, 2, 10}).Draw(t, "places"),
			}}
			m.desk = s.desk(t, NewLimiter(LimiterConfig{Keys: keys, Quotas: map[string]Quota{"small": m.quota}}), keys)
			t.Repeat(map[string]func(*rapid.T){"": m.check, "enter": m.Enter, "leave": m.Leave, "ask": m.Ask, "wait": m.Wait})
		})
	})
}
