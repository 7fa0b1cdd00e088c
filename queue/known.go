package queue

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/drover-batch/drover/jobs"
)

// Known returns the ids of all jobs of the batch that the broker has ever
// accepted: those still queued or lent, and those with an outcome. It reads
// them all, which takes a while; it is for an input that changed since
// enqueueing was interrupted, where Position no longer tells what is in.
func (w *Writer) Known(ctx context.Context) (map[jobs.ID]struct{}, error) {
	known := make(map[jobs.ID]struct{}, w.stored.Count)
	// The queue first: a job that leaves it meanwhile has its outcome by then.
	if err := w.q.queued(ctx, w.batch.ID, known); err != nil {
		return nil, fmt.Errorf("listing the jobs of batch %s: %w", w.batch.ID, err)
	}
	subject := w.q.subject("outcomes", w.batch.ID, "*")
	for m, err := range w.q.read(ctx, w.q.outcomes, subject, true) {
		if err != nil {
			return nil, fmt.Errorf("listing the jobs of batch %s: %w", w.batch.ID, err)
		}
		known[jobOf(m.Subject())] = struct{}{}
	}
	return known, nil
}

// queued adds the ids of the jobs in the queue. Those that have their outcome
// and were not taken away yet are among them.
func (q *Queue) queued(ctx context.Context, batch string, known map[jobs.ID]struct{}) error {
	for seq := uint64(1); ; {
		m, err := q.jobs.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(q.names.jobs(batch)))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		known[jobs.ID(m.Header.Get(jobHeader))] = struct{}{}
		seq = m.Sequence + 1
	}
}
