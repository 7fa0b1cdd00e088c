package lua_test

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/internal/redistest"
)

// purse takes an amount for somebody; who and the amount differ from call to
// call. What warm was handed is kept for the test to see.
var purse = lua.Module{Name: "purse", Source: `

return {
  warm = function(K, list, first, last)
    for i = first, last do redis.call('RPUSH', K[1] .. ':warm', list[i]) end
  end,
  check = function(K, A) if A[3] ~= 'coins' then return {why = 'not a purse', wait = 0} end end,
  apply = function(K, A, ctx) redis.call('HINCRBY', K[1], A[2], A[1]); return A[1], 0 end,
  leave = function(K, A, ctx, memo) redis.call('HINCRBY', K[1], A[2], '-' .. memo) end,
  lapse = function(K, A, ctx, memo) redis.call('HINCRBY', K[1], A[2] .. ' lapsed', A[1]) end,
}`}

var coins = &lua.Form{
	Module: "purse", Keys: []string{ks.Key("purse")},
	Args: []string{"", "", "coins"}, Vary: []int{0, 1}, Warm: true,
}

func take(call, amount, whose string) lua.Op {
	return lua.Op{Kind: lua.Enter, Call: call, Lease: time.Minute, Steps: []lua.Step{
		lua.Once("seats", []string{ks.Key("seats")}, "9"), coins.Step(amount, whose),
	}}
}

func giveBack(call, amount, whose string) lua.Op {
	return lua.Op{Kind: lua.Leave, Call: call, Steps: []lua.Step{coins.Step(amount, whose)}}
}

func purses(t *testing.T, test func(t *testing.T, b *bench)) {
	onEach(t, func(t *testing.T, b *bench) {
		b.Script = lua.Compose(ks, seats, purse)
		b.open(t)
		test(t, b)
	})
}

func (b *bench) purse(t *testing.T) map[string]string {
	t.Helper()
	return b.rdb.HGetAll(t.Context(), ks.Key("purse")).Val()
}

func TestFormsAreFilledInForEachCall(t *testing.T) {
	t.Parallel()
	purses(t, func(t *testing.T, b *bench) {
		b.run(t, take("1", "5", "ann"), take("2", "7", "bob"), giveBack("1", "0", "ann"), take("3", "1", "ann"))
		if got, want := b.purse(t), map[string]string{"ann": "1", "bob": "7"}; !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		warm := b.rdb.LRange(t.Context(), ks.Key("purse")+":warm", 0, -1).Val()
		if want := []string{"ann", "bob", "ann", "ann"}; !reflect.DeepEqual(warm, want) {
			t.Errorf("warm was handed %q, want %q", warm, want)
		}
	})
}

func TestLapseKnowsWhatVaried(t *testing.T) {
	t.Parallel()
	purses(t, func(t *testing.T, b *bench) {
		if b.pass == nil {
			t.Skip("a real server's clock cannot be moved")
		}
		b.run(t, take("1", "5", "ann"), take("2", "7", "bob"))
		b.pass(2 * time.Minute)
		b.run(t, lua.Op{Kind: lua.Beat})
		want := map[string]string{"ann": "5", "ann lapsed": "5", "bob": "7", "bob lapsed": "7"}
		if got := b.purse(t); !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestCallsThatLeftAreRememberedForMinutes(t *testing.T) {
	t.Parallel()
	addr, pass := startMini(t)
	b := &bench{lua.Compose(ks, seats, table), redistest.Client(t, addr), pass}
	b.open(t)
	again := func(call string) bool { return b.run(t, leave(call))[0].Left }
	for i := range 40 { // some leave all the time
		call := fmt.Sprint("call", i)
		b.run(t, enter(call, "99"), leave(call))
		pass(29 * time.Second)
	}
	for i := 34; i < 40; i++ {
		if call := fmt.Sprint("call", i); !again(call) || !b.run(t, enter(call, "99"))[0].Left {
			t.Errorf("%s left less than three minutes ago and is forgotten", call)
		}
	}
	if again("call0") {
		t.Error("a call that left long ago is remembered")
	}
	if n := b.rdb.SCard(t.Context(), ks.Key("left:0")).Val() + b.rdb.SCard(t.Context(), ks.Key("left:1")).Val(); n > 16 {
		t.Errorf("%d calls are remembered", n)
	}
	if n := b.rdb.HLen(t.Context(), ks.Key("records")).Val(); n != 0 {
		t.Errorf("%d records are left", n)
	}
}

func TestClockPutBackForgetsNothing(t *testing.T) {
	t.Parallel()
	addr, pass := startMini(t)
	b := &bench{lua.Compose(ks, seats, table), redistest.Client(t, addr), pass}
	b.open(t)
	b.run(t, enter("a", "9"), leave("a"))
	pass(-time.Hour)
	b.run(t, enter("b", "9"), leave("b"))
	pass(time.Minute)
	if r := b.run(t, enter("c", "9"), leave("c"), leave("a"), leave("b")); !r[2].Left || !r[3].Left {
		t.Errorf("got %+v", r)
	}
}

func TestCallThatLapsedADayAgoIsForgotten(t *testing.T) {
	t.Parallel()
	addr, pass := startMini(t)
	b := &bench{lua.Compose(ks, seats, table), redistest.Client(t, addr), pass}
	b.open(t)
	b.run(t, enter("a", "9"))
	pass(2 * time.Minute)
	b.run(t, enter("b", "9"))
	known := func() int64 { return b.rdb.HLen(t.Context(), ks.Key("records")).Val() }
	if n := known(); n != 2 {
		t.Fatalf("%d calls are known, want the dead one and the living", n)
	}
	pass(25 * time.Hour)
	b.run(t, lua.Op{Kind: lua.Beat}) // b lapses, and a is forgotten
	if n := known(); n != 1 {
		t.Errorf("%d calls are known, want the one that lapsed last", n)
	}
	if s, err := b.rdb.ZRange(t.Context(), ks.Key("lapsed"), 0, -1).Result(); err != nil && !errors.Is(err, redis.Nil) || !reflect.DeepEqual(s, []string{"b"}) {
		t.Errorf("lapsed are %q, %v", s, err)
	}
}
