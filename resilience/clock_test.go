package resilience

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// onBoth runs the test on the embedded server and, where there is one, on a
// real one whose clock can be moved as well.
func onBoth(t *testing.T, test func(t *testing.T, s *store)) {
	t.Parallel()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(t, onMini(t))
	})
	t.Run("redis", func(t *testing.T) {
		t.Parallel()
		s := onReal(t)
		c := &clock{now: time.UnixMicro(time.Now().UnixMicro())}
		s.rdb.AddHook(c)
		s.pass = func(d time.Duration) { c.now = c.now.Add(d) }
		test(t, s)
	})
}

// clock has scripts, and who asks for the time in a pipeline, see another time
// than the server's. It is for one client that is used by one goroutine.
type clock struct{ now time.Time }

// unknownScript has go-redis send the text of a script.
type unknownScript struct{}

func (unknownScript) Error() string { return "NOSCRIPT the clock needs the text" }
func (unknownScript) RedisError()   {}

func (c *clock) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *clock) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		switch cmd.Name() {
		case "evalsha":
			cmd.SetErr(unknownScript{})
			return unknownScript{}
		case "eval":
			return c.eval(ctx, cmd.(*redis.Cmd), next)
		}
		return next(ctx, cmd)
	}
}

// eval gives the script the time as its last arguments.
func (c *clock) eval(ctx context.Context, cmd *redis.Cmd, next redis.ProcessHook) error {
	args := append([]any(nil), cmd.Args()...)
	args[1] = strings.ReplaceAll(args[1].(string), "redis.call('TIME')", "{ARGV[#ARGV - 1], ARGV[#ARGV]}")
	args = append(args, c.now.Unix(), c.now.Nanosecond()/1000)
	told := redis.NewCmd(ctx, args...)
	err := next(ctx, told)
	cmd.SetVal(told.Val())
	cmd.SetErr(told.Err())
	return err
}

func (c *clock) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		for _, cmd := range cmds {
			if t, ok := cmd.(*redis.TimeCmd); ok {
				t.SetVal(c.now)
			}
		}
		return err
	}
}

func TestMovedClockIsWhatScriptsSee(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store) {
		d := s.desk(t, NewBreaker(BreakerConfig{Redis: s.rdb}), keyspace)
		d.ends(5, "a", bad)
		d.pass(29 * time.Second)
		d.stands(Open)
		d.refuse(newCall("a"))
		d.pass(time.Second)
		d.stands(HalfOpen)
		d.admit(newCall("a"))
	})
}
