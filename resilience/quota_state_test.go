package resilience

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"
)

// quotaState is how a quota stands.
type quotaState struct {
	Name     string
	Quota    Quota
	InFlight int64         // calls of the whole fleet
	Ahead    time.Duration // how far ahead start times are reserved
	Paused   time.Duration // how long the provider's pause still lasts
	Share    float64       // part of the limit that 429s have left us, 1 at best

	// What was found a minute where no limit is known, 0 so far.
	FoundRequests, FoundTokens float64
}

// state tells how the configured quotas stand, by name.
func (l *Limiter) state(ctx context.Context, rdb redis.Cmdable) ([]quotaState, error) {
	names := slices.Sorted(maps.Keys(l.config.Quotas))
	answers := make([]*redis.SliceCmd, len(names))
	var clock *redis.TimeCmd
	_, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		clock = p.Time(ctx)
		for i, name := range names {
			answers[i] = p.HMGet(ctx, l.key(name), "live", "rnext", "tnext", "pause", "share", "rfound", "tfound")
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("reading the quotas: %w", err)
	}
	states := make([]quotaState, len(names))
	for i, name := range names {
		field := numbers(answers[i].Val())
		left := func(at float64) time.Duration {
			return max(0, time.UnixMicro(int64(at)).Sub(clock.Val()))
		}
		states[i] = quotaState{
			Name: name, Quota: l.config.Quotas[name], InFlight: int64(field[0]),
			Ahead: left(max(field[1], field[2])), Paused: left(field[3]),
			Share: cmp.Or(field[4], 1), FoundRequests: field[5], FoundTokens: field[6],
		}
	}
	return states, nil
}

// numbers reads the fields of a hash, 0 for those that are not there.
func numbers(values []any) []float64 {
	out := make([]float64, len(values))
	for i, v := range values {
		if s, ok := v.(string); ok {
			out[i], _ = strconv.ParseFloat(s, 64)
		}
	}
	return out
}
