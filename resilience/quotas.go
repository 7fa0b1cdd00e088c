package resilience

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/internal/lua"
)

// QuotaState is how a quota stands for the fleet, for people to look at.
type QuotaState struct {
	Name     string
	InFlight int64         // calls of the whole fleet, those that wait for their start among them
	Ahead    time.Duration // how far ahead start times are reserved
	Paused   time.Duration // how long the provider's pause still lasts
	Share    float64       // part of the limit that 429s have left, 1 at best; it grows again with time

	Requests, Tokens Flow
}

// Flow is how much of its requests or tokens a quota lets through.
type Flow struct {
	Said  int64   // limit a minute by the provider's headers, 0 if they tell none
	Found float64 // the same as 429s have shown it, where nobody tells, 0 so far
	Asked float64 // a minute, over the last ten seconds; of tokens about, by what calls take on average
	Sum   int64   // reserved in all, so that the difference of two looks is what came in between
}

// Limit is what holds a minute, given what is configured, 0 for nothing, and who
// says so: "configured", "headers", "429s", or nobody, and then it is 0.
func (f Flow) Limit(configured int64) (limit int64, by string) {
	switch believed := f.Said > 0 && (configured == 0 || f.Said <= 2*configured); {
	case believed && (configured == 0 || f.Said < configured):
		return f.Said, "headers"
	case configured > 0:
		return configured, "configured"
	case f.Found > 0:
		return int64(f.Found), "429s"
	}
	return 0, ""
}

// Quotas tells how the quotas stand, in the given order. keys is as in
// LimiterConfig. It blocks for one round trip to Redis.
func Quotas(ctx context.Context, rdb redis.Cmdable, keys lua.Keyspace, names ...string) ([]QuotaState, error) {
	keys = cmp.Or(keys, "drover")
	answers := make([]*redis.SliceCmd, len(names))
	var clock *redis.TimeCmd
	_, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		clock = p.Time(ctx)
		for i, name := range names {
			answers[i] = p.HMGet(ctx, quotaKey(keys, name), quotaFields...)
		}
		return nil
	})
	if err != nil && !errors.Is(err, redis.Nil) {
		return nil, fmt.Errorf("reading the quotas: %w", err)
	}
	states := make([]QuotaState, len(names))
	for i, name := range names {
		states[i] = parseQuota(name, answers[i].Val(), clock.Val())
	}
	return states, nil
}

// quotaFields are those that parseQuota reads of what limiter.lua writes.
var quotaFields = []string{
	"live", "pause", "share", "cut", "stretch", "starts", "before",
	"rnext", "rlimit", "rfound", "rsum", "tnext", "tlimit", "tfound", "tsum",
}

func parseQuota(name string, values []any, now time.Time) QuotaState {
	field := make(map[string]float64, len(quotaFields))
	for i, v := range values {
		text, _ := v.(string)
		field[quotaFields[i]], _ = strconv.ParseFloat(text, 64)
	}
	at := func(f string) time.Time { return time.UnixMicro(int64(field[f])) }
	flow := func(of string) Flow {
		return Flow{Said: int64(field[of+"limit"]), Found: field[of+"found"], Sum: int64(field[of+"sum"])}
	}
	s := QuotaState{
		Name: name, InFlight: int64(field["live"]), Share: 1, Requests: flow("r"), Tokens: flow("t"),
		Ahead:  max(0, at("rnext").Sub(now), at("tnext").Sub(now)),
		Paused: max(0, at("pause").Sub(now)),
	}
	if share := field["share"]; share > 0 {
		s.Share = min(1, share+shareGrowth*now.Sub(at("cut")).Seconds())
	}
	s.Requests.Asked = lately(field["starts"], field["before"], now.Sub(at("stretch")))
	s.Tokens.Asked = s.Requests.Asked * field["tsum"] / max(1, field["rsum"])
	return s
}

// shareGrowth is how much of the limit comes back in a second after 429s, as
// limiter_found.lua has it.
const shareGrowth = 0.003

// lately is how many calls a minute were started of late: those of a stretch of
// ten seconds that began some time ago, and of the one before it. A stretch ends
// when the first call comes after it.
func lately(starts, before float64, age time.Duration) float64 {
	const stretch = 10 * time.Second
	if age >= stretch {
		starts, before, age = 0, starts, age-stretch
	}
	old := max(0, 1-age.Seconds()/stretch.Seconds())
	return (starts + old*before) * time.Minute.Seconds() / stretch.Seconds()
}
