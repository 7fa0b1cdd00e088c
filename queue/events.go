package queue

import (
	"context"
	"fmt"
	"time"
)

// Announce publishes an event on <prefix>.events.<kind>, for whoever listens
// right then; it is not kept. It blocks until the broker has it, at most two
// seconds.
func (q *Queue) Announce(ctx context.Context, kind string, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	subject := q.subject("events", kind)
	err := q.nc.Publish(subject, data)
	if err == nil {
		err = q.nc.FlushWithContext(ctx)
	}
	if err != nil {
		return fmt.Errorf("publishing on %s: %w", subject, err)
	}
	return nil
}
