package queue

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/drover-batch/drover/jobs"
)

// Shortages follows which batches are paused for want of money. It is not safe
// for concurrent use.
type Shortages struct {
	q     *Queue
	seen  uint64 // of the manifests' stream
	short map[string]*jobs.Batch
}

// Shortages begins to follow them.
func (q *Queue) Shortages() *Shortages {
	return &Shortages{q: q, short: map[string]*jobs.Batch{}}
}

// List returns them as they stand now. It reads the manifests that changed
// since the last time.
func (s *Shortages) List(ctx context.Context) ([]*jobs.Batch, error) {
	for m, err := range s.q.manifestsSince(ctx, &s.seen) {
		if err != nil {
			return nil, fmt.Errorf("looking for batches that lack money: %w", err)
		}
		if m.State == jobs.Paused && m.Needs != nil && m.known() == nil {
			s.short[m.ID] = &m.Batch
		} else {
			delete(s.short, m.ID)
		}
	}
	return slices.Collect(maps.Values(s.short)), nil
}
