package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// Reclaim takes back everything that is lent or deferred, to be lent anew at
// once rather than when the leases are over, and puts the calls in flight into
// the book, presumed paid. It is for whoever has just started the server for
// itself: nobody who was lent anything before can get at it any more. What
// comes back is looked up before it is paid for.
func (q *Queue) Reclaim(ctx context.Context) error {
	names := q.jobs.ConsumerNames(ctx)
	for name := range names.Name() {
		err := q.jobs.DeleteConsumer(ctx, name)
		if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return fmt.Errorf("taking back the jobs of batch %s: %w", name, err)
		}
	}
	if err := names.Err(); err != nil {
		return fmt.Errorf("taking back what is lent: %w", err)
	}
	return q.presumeAll(ctx)
}
