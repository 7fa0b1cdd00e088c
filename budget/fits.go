package budget

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/jobs"
)

// Fits reports whether every limit that applies to the call has room for its
// worst case now. Nothing is reserved: the call itself may find it otherwise.
func (l *Ledger) Fits(ctx context.Context, rdb redis.Cmdable, c *jobs.Call) (bool, error) {
	accounts := l.accountsOf(l.entryOf(c, c.Worst, "", time.Now()))
	names := make([]string, len(accounts))
	for i, a := range accounts {
		names[i] = a.name
	}
	var set *redis.SliceCmd
	sums := make([]*redis.SliceCmd, len(accounts))
	_, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		set = p.HMGet(ctx, l.settings, names...)
		for i, a := range accounts {
			sums[i] = p.HMGet(ctx, a.key, "spent", "held")
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("looking whether a call fits its budgets: %w", err)
	}
	for i, a := range accounts {
		limit := cmp.Or(amount(set.Val()[i]), a.limit)
		used := amount(sums[i].Val()[0]) + amount(sums[i].Val()[1])
		if limit > 0 && c.Worst > limit-used {
			return false, nil
		}
	}
	return true, nil
}

// amount reads what HMGET returned: nil for what is not there.
func amount(v any) jobs.USD {
	text, _ := v.(string)
	n, _ := strconv.ParseInt(text, 10, 64)
	return jobs.USD(n)
}
