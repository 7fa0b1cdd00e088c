package resilience

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/jobs"
)

// Turns deals out at an even pace, to all replicas together, when something may
// be begun, such as a call of a tool. A second's worth may begin at once. It may
// be used from any goroutine.
type Turns struct {
	Redis redis.Scripter
	Keys  lua.Keyspace // default "drover"; one for all replicas
}

// turnOf reserves the next turn of a name.
//
//	KEYS[1]  when the turn after the last is, in microseconds
//	ARGV[1]  between two turns, in microseconds
//	ARGV[2]  how far turns that nobody took are kept
//	ARGV[3]  how long the caller can wait
//	ARGV[4]  how long anybody can: what is further ahead is from a clock that
//	         has jumped
//
// It returns how long to wait, or -1 if that is too long; nothing is reserved
// then.
var turnOf = redis.NewScript(`
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local gap, kept, most, longest = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local at = tonumber(redis.call('GET', KEYS[1]) or 0)
at = math.max(math.min(at, now + longest + gap), now - kept)
if at - now > most then return -1 end
redis.call('SET', KEYS[1], string.format('%.0f', at + gap), 'PX', math.ceil((math.max(at - now, 0) + gap + kept) / 1000) + 1000)
return math.max(math.ceil(at - now), 0)`)

// turnsRetry is how soon Redis is asked again that could not be reached.
const turnsRetry = 500 * time.Millisecond

// Wait blocks until the next of perMinute turns of the name, which has to come
// before ctx ends: jobs.ErrNoTurn at once if it does not. longest is the most that
// anybody waits for a turn of this name. While Redis is away nobody's turn
// comes; the error, once ctx ends, says so. A turn that was waited for in vain
// is lost.
func (t *Turns) Wait(ctx context.Context, name string, perMinute int, longest time.Duration) error {
	most := longest
	if end, ok := ctx.Deadline(); ok {
		most = min(most, time.Until(end))
	}
	wait, err := t.reserve(ctx, name, perMinute, most, longest)
	switch {
	case err != nil:
		return err
	case wait < 0:
		return jobs.ErrNoTurn
	case wait == 0:
		return nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// reserve asks Redis until it answers or ctx ends.
func (t *Turns) reserve(ctx context.Context, name string, perMinute int, most, longest time.Duration) (time.Duration, error) {
	key := cmp.Or(t.Keys, "drover").Key("turns", name)
	gap := float64(time.Minute.Microseconds()) / float64(perMinute)
	kept := math.Max(0, float64(time.Second.Microseconds())-gap)
	for {
		wait, err := turnOf.Run(ctx, t.Redis, []string{key}, gap, kept, most.Microseconds(), longest.Microseconds()).Int64()
		if err == nil {
			return time.Duration(wait) * time.Microsecond, nil
		}
		select {
		case <-time.After(turnsRetry):
		case <-ctx.Done():
			return 0, fmt.Errorf("asking for a turn of %s: %w", name, errors.Join(err, context.Cause(ctx)))
		}
	}
}
