package budget

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/jobs"
)

// Lapsed returns the calls whose worker died and that nobody has said to be in
// the book yet. Until they are, what they were presumed to cost is known to the
// shared state alone, and is lost with it. The oldest call comes first.
func (l *Ledger) Lapsed(ctx context.Context, rdb redis.Cmdable) ([]jobs.Spend, error) {
	found, err := rdb.HGetAll(ctx, l.unbooked).Result()
	if err != nil {
		return nil, fmt.Errorf("looking for calls whose worker died: %w", err)
	}
	list := make([]jobs.Spend, 0, len(found))
	for call, text := range found {
		f := strings.Split(text, separator)
		if len(f) != 5 {
			return nil, fmt.Errorf("reading the lapsed call %s: %q has %d parts", call, text, len(f))
		}
		worst, err := strconv.ParseInt(f[1], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("reading the lapsed call %s: %w", call, err)
		}
		at, err := strconv.ParseInt(f[4], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("reading the lapsed call %s: %w", call, err)
		}
		list = append(list, jobs.Spend{
			Call: call, Job: jobs.ID(f[0]), Model: f[2], Batch: f[3],
			At: time.UnixMicro(at).UTC(), Cost: jobs.USD(worst), Billing: jobs.Presumed,
		})
	}
	slices.SortFunc(list, func(a, b jobs.Spend) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Call, b.Call)) })
	return list, nil
}

// Booked says that the book has a call that Lapsed returned.
func (l *Ledger) Booked(ctx context.Context, rdb redis.Cmdable, call string) error {
	if err := rdb.HDel(ctx, l.unbooked, call).Err(); err != nil {
		return fmt.Errorf("noting that the book has call %s: %w", call, err)
	}
	return nil
}
