package resilience

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/internal/redistest"
	"github.com/drover-batch/drover/jobs"
)

const keyspace = lua.Keyspace("drover")

// store is one of the servers that hold the shared state.
type store struct {
	rdb  redis.UniversalClient
	pass func(time.Duration) // lets time pass on the server; nil on a real one

	clock redis.Hook // of a bubble: has the server see its time
	addr  string     // of a bubble's server
}

// onEach runs the test on the embedded server and, where they are installed,
// on real ones.
func onEach(t *testing.T, test func(t *testing.T, s *store)) {
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(t, onMini(t))
	})
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) { test(t, &store{rdb: rdb}) })
}

func onMini(t testing.TB) *store {
	m := miniredis.RunT(t)
	now := time.UnixMicro(time.Now().UnixMicro())
	m.SetTime(now)
	return &store{rdb: redistest.Client(t, m.Addr()), pass: func(d time.Duration) {
		now = now.Add(d)
		m.SetTime(now)
	}}
}

func onReal(t testing.TB) *store {
	return &store{rdb: redistest.Client(t, redistest.Start(t))}
}

// bubble runs the test in virtual time, which the server follows.
func bubble(t *testing.T, test func(t *testing.T, s *store)) {
	t.Parallel()
	m := miniredis.RunT(t)
	inBubble(t, m.Addr(), hook(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
		m.SetTime(time.Now())
		return next(ctx, cmd)
	}), test)
}

// longBubble is a bubble in which a real server, where there is one, runs the
// thousands of scripts of minutes of a fleet: it takes a tenth of the time.
func longBubble(t *testing.T, test func(t *testing.T, s *store)) {
	if !redistest.Installed() {
		bubble(t, test)
		return
	}
	t.Parallel()
	inBubble(t, redistest.Start(t), redistest.Clock(time.Now), test)
}

func inBubble(t *testing.T, addr string, clock redis.Hook, test func(t *testing.T, s *store)) {
	synctest.Test(t, func(t *testing.T) {
		rdb := redistest.Client(t, addr)
		rdb.AddHook(clock)
		test(t, &store{rdb: rdb, clock: clock, addr: addr})
	})
}

// hook stands between a client and its server.
type hook func(context.Context, redis.Cmder, redis.ProcessHook) error

func (h hook) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h hook) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error { return h(ctx, cmd, next) }
}

func (h hook) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// onScript calls f instead of each script of the gate. Smaller ones pass: they
// have one key.
func (s *store) onScript(f func(run func() error) error) {
	s.rdb.AddHook(hook(func(ctx context.Context, cmd redis.Cmder, next redis.ProcessHook) error {
		if !strings.HasPrefix(cmd.Name(), "eval") || cmd.Args()[2] == 1 {
			return next(ctx, cmd)
		}
		err := f(func() error { return next(ctx, cmd) })
		if err != nil {
			cmd.SetErr(err)
		}
		return err
	}))
}

func (s *store) open(t testing.TB) {
	t.Helper()
	if err := s.reopen(t.Context(), lua.Compose(keyspace)); err != nil {
		t.Fatal(err)
	}
}

// reopen opens the gate as after a rebuilding.
func (s *store) reopen(ctx context.Context, script *lua.Script) error {
	epoch, err := script.NewEpoch(ctx, s.rdb)
	if err != nil {
		return err
	}
	return script.Open(ctx, s.rdb, epoch, nil)
}

// tester is what *testing.T and *rapid.T have in common.
type tester interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
	Skip(...any)
	Context() context.Context
}

// desk asks one guard alone, call by call, as if by several workers.
type desk struct {
	*store
	t      tester
	guard  Guard
	script *lua.Script
	keys   lua.Keyspace
}

func (s *store) desk(t tester, g Guard, keys lua.Keyspace) *desk {
	d := &desk{s, t, g, lua.Compose(keys, g.Module()), keys}
	if err := s.reopen(t.Context(), d.script); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *desk) run(ops ...lua.Op) []lua.Reply {
	d.t.Helper()
	replies, err := d.script.Run(d.t.Context(), d.rdb, ops)
	if err != nil {
		d.t.Fatal(err)
	}
	return replies
}

func (d *desk) enter(c *jobs.Call) lua.Reply {
	d.t.Helper()
	return d.run(lua.Op{Kind: lua.Enter, Call: c.ID, Lease: lease, Steps: []lua.Step{d.guard.Enter(c)}})[0]
}

func (d *desk) leave(c *jobs.Call, a jobs.Attempt) {
	d.t.Helper()
	d.run(lua.Op{Kind: lua.Leave, Call: c.ID, Steps: []lua.Step{d.guard.Leave(c, &a)}})
}

// admit enters a call that has to be admitted.
func (d *desk) admit(c *jobs.Call) *jobs.Call {
	d.t.Helper()
	if r := d.enter(c); r.Refused {
		d.t.Fatalf("%s was refused: %s, wait %v", c.ID, r.Why, r.Wait)
	}
	return c
}

// refuse enters a call that has to be refused.
func (d *desk) refuse(c *jobs.Call) lua.Reply {
	d.t.Helper()
	r := d.enter(c)
	if !r.Refused {
		d.t.Fatalf("%s was admitted", c.ID)
	}
	return r
}

const lease = 30 * time.Second

var calls atomic.Int64

// newCall is a call of the worker to the model named small.
func newCall(worker string) *jobs.Call {
	return &jobs.Call{ID: fmt.Sprint("call", calls.Add(1)), Worker: worker, Model: &jobs.Model{Name: "small"}}
}

// bad is an attempt that failed as the model's fault.
var bad = jobs.Attempt{Kind: jobs.ServerError}

func within(t testing.TB, what string, got, low, high time.Duration) {
	t.Helper()
	if got < low || got > high {
		t.Errorf("%s: %v, want %v to %v", what, got, low, high)
	}
}
