package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/queue"
)

// rungs counts how answers came to pass their checks. Dead are the documents
// of which no model's answer did.
type rungs struct {
	Valid     int64 `json:"valid"`
	Extracted int64 `json:"extracted"`
	Repaired  int64 `json:"repaired"`
	Escalated int64 `json:"escalated"`
	Dead      int64 `json:"dead"`
}

func (r *rungs) add(o *jobs.Outcome) {
	switch {
	case o.Checked == jobs.AtOnce:
		r.Valid++
	case o.Checked == jobs.Extracted:
		r.Extracted++
	case o.Checked == jobs.Repaired:
		r.Repaired++
	case o.Checked == jobs.Escalated:
		r.Escalated++
	case o.Status == jobs.Dead && len(o.Rejected) > 0:
		r.Dead++
	}
}

func (r rungs) total() int64 { return r.Valid + r.Extracted + r.Repaired + r.Escalated + r.Dead }
func (r rungs) any() bool    { return r.total() > 0 }

// String tells the shares: 44 valid at once (94 %), 2 extracted (4 %), 1 dead
// (2 %).
func (r rungs) String() string {
	var parts []string
	for _, rung := range []struct {
		n    int64
		what string
	}{
		{r.Valid, "valid at once"}, {r.Extracted, "extracted"}, {r.Repaired, "repaired"}, {r.Escalated, "by a stronger model"}, {r.Dead, "dead"},
	} {
		if rung.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s (%.0f %%)", rung.n, rung.what, 100*float64(rung.n)/float64(r.total())))
		}
	}
	return strings.Join(parts, ", ")
}

// rungsOf counts those of a batch, for which it reads all outcomes; nil if its
// answers are not checked.
func rungsOf(ctx context.Context, q *queue.Queue, b *jobs.Batch) (*rungs, error) {
	if !b.Answer.Any() {
		return nil, nil
	}
	r := new(rungs)
	for o, err := range q.Outcomes(ctx, b.ID) {
		if err != nil {
			return nil, fmt.Errorf("reading the outcomes of batch %s: %w", b.ID, err)
		}
		r.add(o)
	}
	return r, nil
}
