package resilience

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/internal/redistest"
	"github.com/drover-batch/drover/jobs"
)

// till is a guard that holds money, as plain as can be: one account an hour,
// and a limit for each.
type till struct{ limit jobs.USD }

const tillLua = `
local function move(key, held, spent)
  redis.call('HINCRBY', key, 'held', held)
  redis.call('HINCRBY', key, 'spent', spent)
end
local function sum(key, field) return tonumber(redis.call('HGET', key, field) or 0) end
return {
  check = function(K, A)
    local limit = tonumber(A[2])
    if A[3] ~= 'resume' and limit > 0 and sum(K[1], 'spent') + sum(K[1], 'held') + tonumber(A[1]) > limit then
      return {why = 'no money', wait = 500000}
    end
  end,
  apply = function(K, A, ctx)
    move(K[1], A[1], 0)
    redis.call('RPUSH', K[2], 'enter ' .. ctx.call)
    return K[1] .. ' ' .. A[1], 0
  end,
  leave = function(K, A, ctx, memo)
    local key, worst = string.match(memo or '', '^(.*) (%d+)$')
    if not key then move(K[1], 0, A[1])
    elseif ctx.lapsed then move(key, 0, A[1] - worst)
    else move(key, -worst, A[1]) end
    redis.call('RPUSH', K[2], 'leave ' .. ctx.call)
  end,
  lapse = function(K, A, ctx, memo)
    local key, worst = string.match(memo, '^(.*) (%d+)$')
    move(key, -worst, worst)
    redis.call('RPUSH', K[2], 'lapse ' .. ctx.call)
  end,
}`

func (t *till) Module() lua.Module { return lua.Module{Name: LedgerGuard, Source: tillLua} }

func (t *till) step(c *jobs.Call, at time.Time, amount jobs.USD, mode string) lua.Step {
	return lua.Once(LedgerGuard, []string{t.Accounts(c, at)[0], keyspace.Key("till", "log")},
		strconv.FormatInt(int64(amount), 10), strconv.FormatInt(int64(t.limit), 10), mode)
}

func (t *till) Accounts(_ *jobs.Call, at time.Time) []string {
	return []string{keyspace.Key("till", at.UTC().Format(hour))}
}

func (t *till) Enter(c *jobs.Call) lua.Step  { return t.step(c, time.Now(), c.Worst, "") }
func (t *till) Resume(c *jobs.Call) lua.Step { return t.step(c, time.Now(), c.Worst, "resume") }
func (t *till) Leave(c *jobs.Call, a *jobs.Attempt) lua.Step {
	at := a.Started
	if at.IsZero() {
		at = time.Now()
	}
	return t.step(c, at, charged(c, a), "")
}

// hour is the layout of an account's name.
const hour = "2006-01-02T15"

// sums are what the till says of this hour.
func (s *store) sums(t tester) (spent, held jobs.USD) {
	t.Helper()
	f, err := s.rdb.HGetAll(t.Context(), keyspace.Key("till", time.Now().UTC().Format(hour))).Result()
	if err != nil {
		t.Fatal(err)
	}
	number := func(name string) jobs.USD { n, _ := strconv.ParseInt(f[name], 10, 64); return jobs.USD(n) }
	return number("spent"), number("held")
}

// told is what the till was told, in order.
func (s *store) told(t testing.TB) []string {
	t.Helper()
	lines, err := s.rdb.LRange(t.Context(), keyspace.Key("till", "log"), 0, -1).Result()
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// register is a record of calls.
type register struct {
	mu   sync.Mutex
	open map[string]bool
}

func (r *register) Generation() uint64 { return 0 }

func (r *register) Begin(_ context.Context, c *jobs.Call, _ uint64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open[c.ID] = true
	return nil
}

func (r *register) End(calls ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, call := range calls {
		delete(r.open, call)
	}
}

// saver is a replica with an allowance, that can be cut off from Redis.
type saver struct {
	*replica
	allowance *Allowance
	record    *register
	away      atomic.Bool
	stop      func()
	said      []bool // what it was told of Redis
	mu        sync.Mutex
}

// saver makes a replica of its own connection, whose scripts fail while it is
// away.
func (s *store) saver(t testing.TB, name string, limit, amount jobs.USD, change ...func(*GateConfig)) *saver {
	own := &store{rdb: redistest.Client(t, s.addr)}
	own.rdb.AddHook(s.clock)
	v := &saver{record: &register{open: map[string]bool{}}}
	own.onScript(func(run func() error) error {
		if v.away.Load() {
			return &net.OpError{Op: "dial", Err: fmt.Errorf("away")}
		}
		return run()
	})
	change = append(change, func(c *GateConfig) { c.Guards = append(c.Guards, &till{limit}) })
	v.replica = own.idle(name, Quota{}, change...)
	v.allowance = NewAllowance(v.Gate, AllowanceConfig{Amount: amount, Record: v.record, OnAway: func(away bool) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.said = append(v.said, away)
	}})
	v.replica.start(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		v.allowance.Run(ctx)
	}()
	v.stop = func() {
		cancel()
		<-done
	}
	t.Cleanup(v.stop)
	return v
}

const worst = 10

// priced is a call that costs up to ten millionths.
func (v *saver) priced() *jobs.Call {
	c := newCall(v.config.Worker)
	c.Batch, c.Worst = "contracts", worst
	return c
}

// enters admits a call that has to be, by whatever means.
func (v *saver) enters(t testing.TB) *jobs.Call {
	t.Helper()
	for {
		c := v.priced()
		pass, err := v.allowance.Enter(t.Context(), c)
		switch {
		case err != nil:
			t.Fatal(err)
		case pass.Refusal == nil:
			return c
		case pass.Refusal.Wait > time.Minute:
			t.Fatal(pass.Refusal)
		}
		time.Sleep(pass.Refusal.Wait)
	}
}

func (v *saver) leaves(t testing.TB, c *jobs.Call, cost jobs.USD, kind jobs.Kind) {
	t.Helper()
	if err := v.allowance.Leave(t.Context(), c, &jobs.Attempt{Started: time.Now(), Billing: jobs.Billed, Cost: cost, Kind: kind}); err != nil {
		t.Fatal(err)
	}
}

// warmUp makes n calls that cost nothing, all at once, so that the replica has
// a hold and a pace.
func (v *saver) warmUp(t testing.TB, n int) {
	t.Helper()
	var all []*jobs.Call
	for range n {
		all = append(all, v.enters(t))
	}
	for _, c := range all {
		v.leaves(t, c, 0, "")
	}
	time.Sleep(time.Second)
}
