package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// strandedAfter is how long a batch with jobs gives none before anybody looks
// whether they are stranded.
const strandedAfter = 15 * time.Second

// rescue finds jobs that the broker keeps and will never deliver: their
// consumer believes that they were acknowledged, and the stream does not. That
// is what a full disk leaves behind, where acknowledging a job fails to remove
// it. A new consumer delivers them, and the batch counts as resumed: they have
// their outcomes, as a rule, and are only let go of.
func (s *Source) rescue(ctx context.Context) error {
	now := time.Now()
	for _, l := range s.live {
		switch {
		case !l.bound || l.gave.IsZero() || l.restUntil.After(now):
			l.gave = now
			continue
		case now.Sub(l.gave) < strandedAfter:
			continue
		}
		l.gave = now // and look again after as long
		c, err := s.q.js.Consumer(ctx, s.q.stream("JOBS"), l.Name)
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			l.bound = false
			continue
		}
		if err != nil {
			return fmt.Errorf("looking for stranded jobs of batch %s: %w", l.Name, err)
		}
		if i := c.CachedInfo(); i.NumPending > 0 || i.NumAckPending > 0 {
			continue // it is only busy elsewhere, or deferred
		}
		err = s.q.js.DeleteConsumer(ctx, s.q.stream("JOBS"), l.Name)
		if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return fmt.Errorf("freeing stranded jobs of batch %s: %w", l.Name, err)
		}
		l.bound = false
	}
	return nil
}
