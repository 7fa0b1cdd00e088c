package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// strandedAfter is how long a batch with jobs gives none before anybody looks
// whether they are stranded.
const strandedAfter = 15 * time.Second

// mostRescued is how many batches are looked into at a time.
const mostRescued = 8

// rescue finds jobs that the broker keeps and will never deliver: their
// consumer believes that they were acknowledged, and the stream does not. That
// is what a full disk leaves behind, where acknowledging a job fails to remove
// it. A new consumer delivers them, and the batch counts as resumed: they have
// their outcomes, as a rule, and are only let go of.
func (s *Source) rescue(ctx context.Context) error {
	now := time.Now()
	var silent []*live
	for _, l := range s.live {
		switch {
		case !l.bound || l.dry == 0 || l.gave.IsZero() || l.restUntil.After(now):
			l.gave = now
		case now.Sub(l.gave) >= strandedAfter:
			silent = append(silent, l)
		}
	}
	slices.SortFunc(silent, func(a, b *live) int { return a.gave.Compare(b.gave) })
	for _, l := range silent[:min(len(silent), mostRescued)] {
		l.gave = now // and look again after as long
		if err := s.rescueFrom(ctx, l); err != nil {
			return err
		}
	}
	return nil
}

// rescueFrom takes away a batch's consumer if it has nothing to deliver.
func (s *Source) rescueFrom(ctx context.Context, l *live) error {
	c, err := s.q.js.Consumer(ctx, s.q.stream("JOBS"), l.Name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		l.bound = false
		return nil
	}
	if err != nil {
		return fmt.Errorf("looking for stranded jobs of batch %s: %w", l.Name, err)
	}
	if i := c.CachedInfo(); i.NumPending > 0 || i.NumAckPending > 0 {
		return nil // it is only busy elsewhere, or deferred
	}
	err = s.q.js.DeleteConsumer(ctx, s.q.stream("JOBS"), l.Name)
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("freeing stranded jobs of batch %s: %w", l.Name, err)
	}
	l.bound = false
	return nil
}
