package resilience

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/jobs"
)

// diary is a guard that notes what it is told, in the store, so that it is lost
// with it.
type diary struct {
	mu    sync.Mutex
	lines []string
}

func (d *diary) note(what string, c *jobs.Call) lua.Step {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, what)
	return lua.Once("diary", []string{keyspace.Key("diary")}, what+" "+c.ID)
}

func (d *diary) Module() lua.Module {
	return lua.Module{Name: "diary", Source: `
local function write(K, A) redis.call('RPUSH', K[1], A[1]) end
return {
  check = function() end,
  apply = function(K, A) write(K, A) return '', 0 end,
  leave = function(K, A) write(K, A) end,
  lapse = function(K, A) redis.call('RPUSH', K[1], 'lapse of ' .. A[1]) end,
}`}
}

func (d *diary) Enter(c *jobs.Call) lua.Step                  { return d.note("enter", c) }
func (d *diary) Resume(c *jobs.Call) lua.Step                 { return d.note("resume", c) }
func (d *diary) Leave(c *jobs.Call, _ *jobs.Attempt) lua.Step { return d.note("leave", c) }

func (s *store) diary(t testing.TB) []string {
	t.Helper()
	lines, err := s.rdb.LRange(t.Context(), keyspace.Key("diary"), 0, -1).Result()
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(lines)
	return lines
}

// withDiary makes a replica whose sums another one can rebuild.
func (s *store) withDiary(t testing.TB, name string) *replica {
	return s.replica(t, name, Quota{}, func(c *GateConfig) {
		c.Guards = append(c.Guards, &diary{})
		c.Rebuild = func(ctx context.Context) error { return s.rdb.Set(ctx, keyspace.Key("epoch"), "by "+name, 0).Err() }
	})
}

func TestWhatTheStoreLostIsToldAgain(t *testing.T) {
	bubble(t, func(t *testing.T, s *store) {
		s.open(t)
		a, b := s.withDiary(t, "a"), s.withDiary(t, "b")
		time.Sleep(time.Second)
		inFlight, booked, unbooked, free := a.admit(t), a.admit(t), a.admit(t), a.admit(t)
		a.settle(t, booked, jobs.Attempt{Billing: jobs.Billed})
		a.settle(t, unbooked, jobs.Attempt{Billing: jobs.Presumed})
		a.settle(t, free, jobs.Attempt{Billing: jobs.Free})
		a.Booked(booked.ID)
		time.Sleep(a.config.Lease / 3) // and is not lost before a's next look

		s.rdb.FlushAll(t.Context())
		other := b.admit(t) // which has the sums rebuilt
		time.Sleep(a.config.Lease/3 + time.Second)
		want := []string{"enter " + other.ID, "leave " + unbooked.ID, "leave " + free.ID, "resume " + inFlight.ID}
		slices.Sort(want)
		if got := s.diary(t); !slices.Equal(got, want) {
			t.Errorf("the diary says %q, want %q", got, want)
		}
		time.Sleep(2 * a.config.Lease)
		if got := s.diary(t); !slices.Equal(got, want) {
			t.Errorf("later, the diary says %q", got)
		}
		a.settle(t, inFlight, jobs.Attempt{Billing: jobs.Billed})
		if got := s.diary(t); !slices.Contains(got, "leave "+inFlight.ID) {
			t.Errorf("at the end, the diary says %q", got)
		}
	})
}

func TestReplicaThatIsAloneAndInFlightFindsThatTheSumsAreLost(t *testing.T) {
	bubble(t, func(t *testing.T, s *store) {
		s.open(t)
		a := s.withDiary(t, "a")
		c := a.admit(t)
		s.rdb.FlushAll(t.Context())
		time.Sleep(a.config.Lease/3 + time.Second)
		if got := s.diary(t); !slices.Equal(got, []string{"resume " + c.ID}) {
			t.Errorf("the diary says %q", got)
		}
	})
}

func TestIdleReplicaClearsAwayTheCallsOfADeadOne(t *testing.T) {
	bubble(t, func(t *testing.T, s *store) {
		s.open(t)
		s.withDiary(t, "idle")
		dead := NewGate(GateConfig{Redis: s.rdb, Worker: "dead", Guards: []Guard{
			NewBreaker(BreakerConfig{}), NewLimiter(LimiterConfig{}), &diary{},
		}}) // nobody runs it
		c := newCall("dead")
		if pass, err := dead.Enter(t.Context(), c); err != nil || pass.Refusal != nil {
			t.Fatal(pass, err)
		}
		time.Sleep(dead.config.Lease * 3 / 2)
		if got := s.diary(t); !slices.Contains(got, "lapse of enter "+c.ID) {
			t.Errorf("the diary says %q", got)
		}
	})
}

func TestResultThatWaitedForTheStoreIsToldOnce(t *testing.T) {
	bubble(t, func(t *testing.T, s *store) {
		s.open(t)
		var away atomic.Bool
		s.rdb.AddHook(hook(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
			if away.Load() {
				return &net.OpError{Op: "dial", Err: errors.New("no route to host")}
			}
			return next(ctx, cmd)
		}))
		a := s.withDiary(t, "a")
		c := a.admit(t)
		away.Store(true)
		a.settle(t, c, jobs.Attempt{Billing: jobs.Billed})
		a.Booked(c.ID)
		time.Sleep(10 * time.Minute)
		for range 3 {
			away.Store(false)
			time.Sleep(10 * time.Minute)
			away.Store(true)
			time.Sleep(10 * time.Minute)
		}
		away.Store(false)
		if got, want := s.diary(t), []string{"enter " + c.ID, "lapse of enter " + c.ID, "leave " + c.ID}; !slices.Equal(got, want) {
			t.Errorf("the diary says %q, want %q", got, want)
		}
		s.rdb.FlushAll(t.Context())
		time.Sleep(time.Minute)
		if got := s.diary(t); len(got) != 0 {
			t.Errorf("after a flush, the diary says %q of a call that is in the book", got)
		}
	})
}

func TestResultToldAfterTheSumsCameBackIsNotToldAgain(t *testing.T) {
	bubble(t, func(t *testing.T, s *store) {
		s.open(t)
		a, b := s.withDiary(t, "a"), s.withDiary(t, "b")
		time.Sleep(time.Second)
		c, late := a.admit(t), a.admit(t)
		a.settle(t, late, jobs.Attempt{Billing: jobs.Billed})
		s.rdb.FlushAll(t.Context())
		other := b.admit(t) // which has the sums rebuilt
		a.settle(t, c, jobs.Attempt{Billing: jobs.Billed})
		a.Booked(late.ID) // too late to be in what was rebuilt
		time.Sleep(a.config.Lease)
		want := []string{"enter " + other.ID, "leave " + c.ID, "leave " + late.ID}
		slices.Sort(want)
		if got := s.diary(t); !slices.Equal(got, want) {
			t.Errorf("the diary says %q, want %q", got, want)
		}
	})
}
