package queue

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// kept is how finely sums remember when their calls were made: budgets begin
// their turns at midnight, in zones a quarter of an hour apart.
const kept = 15 * time.Minute

// Totals are the costs in the book of one batch, or of all if it is empty. Those
// of one batch, tenant, model and billing, of calls that began in the same
// quarter of an hour, are one: no budget tells them apart.
func (q *Queue) Totals(ctx context.Context, batch string) ([]jobs.Spend, error) {
	which := ">"
	if batch != "" {
		which = batch + ".>"
	}
	return together(q.book(ctx, which))
}

func together(book iter.Seq2[jobs.Spend, error]) ([]jobs.Spend, error) {
	var totals []jobs.Spend
	places := map[jobs.Spend]int{}
	for s, err := range book {
		if err != nil {
			return nil, err
		}
		key := jobs.Spend{Batch: s.Batch, Tenant: s.Tenant, Model: s.Model, Billing: s.Billing, At: s.At.UTC().Truncate(kept)}
		i, ok := places[key]
		if !ok {
			i = len(totals)
			places[key] = i
			totals = append(totals, key)
		}
		totals[i].Cost += s.Cost
	}
	return totals, nil
}

// BookMark tells one state of the book from another: as long as it is the same,
// the book is. Whatever is stored is behind what was stored before, and whatever
// is taken away is not there any more; when the last was stored tells a folder
// that was put back from a backup, and went on from there, from what it was.
func (q *Queue) BookMark(ctx context.Context) (string, error) {
	var b strings.Builder
	for _, j := range []*journal{q.outcomes, q.waste, q.steps} {
		info, err := j.Info(ctx)
		if err != nil {
			return "", fmt.Errorf("looking how far the book has come: %w", err)
		}
		s := info.State
		_, _ = fmt.Fprintf(&b, "%s %d: %d %d %d %d %d %d\n", info.Config.Name, info.Created.UnixNano(),
			s.FirstSeq, s.LastSeq, s.LastTime.UnixNano(), s.Msgs, s.NumDeleted, s.Bytes)
	}
	return b.String(), nil
}
