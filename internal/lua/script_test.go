package lua_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/internal/redistest"
)

// seats admits as many calls as its first argument says; each holds a seat.
var seats = lua.Module{Name: "seats", Source: `
return {
  check = function(K, A, ctx)
    local taken = redis.call('SCARD', K[1])
    if taken >= tonumber(A[1]) then return {why = 'no seat', wait = 1500000, final = A[1] == '0'} end
    return nil, {wait = taken}
  end,
  apply = function(K, A, ctx, plan)
    redis.call('SADD', K[1], ctx.call)
    return 'seat' .. plan.wait, plan.wait * 1000
  end,
  leave = function(K, A, ctx, memo)
    redis.call('SREM', K[1], ctx.call)
    redis.call('RPUSH', K[2], ctx.call .. ' ' .. (memo or '-') .. (ctx.lapsed and ' lapsed' or '') .. (ctx.unknown and ' unknown' or ''))
  end,
  lapse = function(K, A, ctx, memo)
    redis.call('SREM', K[1], ctx.call)
    redis.call('RPUSH', K[1] .. ':lapsed', ctx.call .. ' ' .. memo .. ' ' .. A[1])
  end,
}`}

// table counts what it applied, to show that a refusal by another guard
// leaves it alone.
var table = lua.Module{Name: "table", Source: `
return {
  check = function(K, A, ctx) return nil, nil end,
  apply = function(K, A, ctx) redis.call('INCR', K[1]); return '', 0 end,
  leave = function(K, A, ctx) end,
  lapse = function(K, A, ctx) redis.call('DECR', K[1]) end,
}`}

const ks = lua.Keyspace("test")

func enter(call, seats string) lua.Op {
	return lua.Op{Kind: lua.Enter, Call: call, Lease: time.Minute, Steps: []lua.Step{
		lua.Once("table", []string{ks.Key("table")}),
		lua.Once("seats", []string{ks.Key("seats")}, seats),
	}}
}

func leave(call string) lua.Op {
	return lua.Op{Kind: lua.Leave, Call: call, Steps: []lua.Step{
		lua.Once("seats", []string{ks.Key("seats"), ks.Key("log")}),
	}}
}

// bench is a script on one of the servers it has to work on.
type bench struct {
	*lua.Script
	rdb  redis.UniversalClient
	pass func(time.Duration) // lets time pass in the store
}

func (b *bench) run(t *testing.T, ops ...lua.Op) []lua.Reply {
	t.Helper()
	replies, err := b.Run(t.Context(), b.rdb, ops)
	if err != nil {
		t.Fatal(err)
	}
	return replies
}

// onEach runs the test on the embedded server and, where they are installed,
// on real ones.
func onEach(t *testing.T, test func(t *testing.T, b *bench)) {
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		addr, pass := startMini(t)
		test(t, &bench{lua.Compose(ks, seats, table), redistest.Client(t, addr), pass})
	})
	redistest.Each(t, func(t *testing.T, rdb redis.UniversalClient) {
		test(t, &bench{lua.Compose(ks, seats, table), rdb, nil})
	})
}

func startMini(t *testing.T) (string, func(time.Duration)) {
	m := miniredis.RunT(t)
	now := time.Now()
	m.SetTime(now)
	return m.Addr(), func(d time.Duration) {
		now = now.Add(d)
		m.SetTime(now)
	}
}

func TestNothingIsDoneWithoutAnEpoch(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		for _, r := range b.run(t, enter("a", "1"), leave("a")) {
			if !r.NoEpoch {
				t.Errorf("got %+v, want no epoch", r)
			}
		}
		err := redistest.OnAll(b.rdb, func(node redis.UniversalClient) error {
			keys, err := node.Keys(t.Context(), "*").Result()
			if len(keys) != 0 {
				t.Errorf("wrote %v", keys)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func TestOneRefusalLeavesEveryGuardUntouched(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		b.open(t)
		got := b.run(t, enter("a", "2"), enter("b", "2"), enter("c", "2"), enter("d", "0"))
		want := []lua.Reply{
			{},
			{Wait: time.Millisecond},
			{Refused: true, Module: "seats", Why: "no seat", Wait: 1500 * time.Millisecond},
			{Refused: true, Module: "seats", Why: "no seat", Wait: 1500 * time.Millisecond, Final: true},
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v", got)
		}
		if n := b.rdb.Get(t.Context(), ks.Key("table")).Val(); n != "2" {
			t.Errorf("the other guard applied %s calls, want 2", n)
		}
	})
}

func TestRepeatsChangeNothing(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		b.open(t)
		b.run(t, enter("x", "9"))
		first := b.run(t, enter("a", "9"))
		again := b.run(t, enter("a", "9"), leave("a"), leave("a"), enter("a", "9"))
		if again[0].Wait != first[0].Wait || again[0].Refused || again[1].Left || !again[2].Left || !again[3].Left {
			t.Errorf("got %+v after %+v", again, first)
		}
		if n := b.rdb.Get(t.Context(), ks.Key("table")).Val(); n != "2" {
			t.Errorf("applied %s times, want 2", n)
		}
		if log := b.rdb.LRange(t.Context(), ks.Key("log"), 0, -1).Val(); !reflect.DeepEqual(log, []string{"a seat1"}) {
			t.Errorf("left %q", log)
		}
	})
}

func TestCallThatNeverLeavesLapses(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		if b.pass == nil {
			t.Skip("a real server's clock cannot be moved")
		}
		b.open(t)
		b.run(t, enter("dead", "9"), enter("alive", "9"))
		b.pass(50 * time.Second)
		beat := b.run(t, lua.Op{Kind: lua.Beat, Lease: time.Minute, Calls: []string{"alive", "unheard"}})
		if !reflect.DeepEqual(beat[0].Lapsed, []string{"unheard"}) {
			t.Errorf("beat: %+v", beat[0])
		}
		b.pass(20 * time.Second)
		b.run(t, leave("dead"), leave("alive"), leave("unheard"))
		want := []string{"dead seat0 lapsed", "alive seat1", "unheard - unknown"}
		if log := b.rdb.LRange(t.Context(), ks.Key("log"), 0, -1).Val(); !reflect.DeepEqual(log, want) {
			t.Errorf("left %q, want %q", log, want)
		}
		if l := b.rdb.LRange(t.Context(), ks.Key("seats")+":lapsed", 0, -1).Val(); !reflect.DeepEqual(l, []string{"dead seat0 9"}) {
			t.Errorf("lapsed %q", l)
		}
	})
}

func TestOpeningSettlesWhatTheSumsHold(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b *bench) {
		left := make([]string, 2500)
		for i := range left {
			left[i] = fmt.Sprint("call", i)
		}
		b.open(t, left...)
		if r := b.run(t, leave("call2499")); !r[0].Left {
			t.Errorf("a settled call left again: %+v", r)
		}
	})
}

func (b *bench) open(t *testing.T, left ...string) {
	t.Helper()
	epoch, err := b.NewEpoch(t.Context(), b.rdb)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Open(t.Context(), b.rdb, epoch, left); err != nil {
		t.Fatal(err)
	}
}
