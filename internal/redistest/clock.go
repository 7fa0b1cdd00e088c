package redistest

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// Clock has the scripts of the clients it is added to, and who asks for the time
// in a pipeline, see another time than the server's: that of a synctest bubble,
// or one that a test moves. Keys still expire by the server's own.
func Clock(now func() time.Time) redis.Hook { return &clock{now: now} }

type clock struct {
	now  func() time.Time
	told sync.Map // by a script's hash, that of the one which is given the time
}

// take is put in front of a script that is given the time as its last arguments.
const take = "local told = {ARGV[#ARGV - 1], ARGV[#ARGV]} ARGV[#ARGV] = nil ARGV[#ARGV] = nil "

// unknownScript has go-redis send the text of a script.
type unknownScript struct{}

func (unknownScript) Error() string { return "NOSCRIPT the clock needs the text" }
func (unknownScript) RedisError()   {}

// DialHook, ProcessHook and ProcessPipelineHook implement redis.Hook.
func (c *clock) DialHook(next redis.DialHook) redis.DialHook { return next }

func (c *clock) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		switch cmd.Name() {
		case "evalsha":
			told, known := c.told.Load(cmd.Args()[1])
			if !known {
				cmd.SetErr(unknownScript{})
				return unknownScript{}
			}
			return c.run(ctx, cmd.(*redis.Cmd), told, next)
		case "eval":
			text := cmd.Args()[1].(string)
			telling := take + strings.ReplaceAll(text, "redis.call('TIME')", "told")
			err := c.run(ctx, cmd.(*redis.Cmd), telling, next)
			if err == nil {
				c.told.Store(redis.NewScript(text).Hash(), redis.NewScript(telling).Hash())
			}
			return err
		}
		return next(ctx, cmd)
	}
}

// run gives the script the time as its last arguments.
func (c *clock) run(ctx context.Context, cmd *redis.Cmd, script any, next redis.ProcessHook) error {
	args := append([]any(nil), cmd.Args()...)
	args[1] = script
	now := c.now()
	args = append(args, now.Unix(), now.Nanosecond()/1000)
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
				t.SetVal(c.now())
			}
		}
		return err
	}
}
