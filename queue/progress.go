package queue

import (
	"context"
	"errors"

	"github.com/drover-batch/drover/jobs"
)

// Progress tells how far the batch has come. Its numbers are the broker's own
// counts, exact at the moment each was taken.
func (q *Queue) Progress(ctx context.Context, id string) (jobs.Progress, error) {
	m, err := q.manifest(ctx, id)
	if err != nil {
		return jobs.Progress{}, err
	}
	p := jobs.Progress{State: m.State, Reason: m.Reason, Total: m.Total, Unpriced: m.Unpriced}
	if !m.Sealed {
		cursor, _, err := q.cursorOf(ctx, id)
		if err != nil && !errors.Is(err, errCursor) {
			return p, err
		}
		p.Total = cursor.Count
	}
	at, err := q.standing(ctx, id)
	if err != nil {
		return p, err
	}
	p.Queued, p.Running = at.queued, at.running
	if at.again {
		ended, err := q.Ended(ctx, id)
		if err != nil {
			return p, err
		}
		p.Queued = min(p.Queued, max(1, p.Total-ended-p.Running))
	}
	if m.complete(at) {
		p.State, p.Reason = jobs.Finished, "" // whether or not a worker has noticed yet
	}
	p.Dead, err = q.count(ctx, q.dead, q.subject("dead", id, "*"))
	return p, err
}

// Backlog is how many jobs of all batches have no outcome yet, waiting and
// lent ones: what an autoscaler should read.
func (q *Queue) Backlog(ctx context.Context) (int64, error) {
	all, _, err := q.standings(ctx)
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, at := range all {
		sum += at.left()
	}
	return sum, nil
}
