package queue

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/drover-batch/drover/jobs"
)

// ErrNoOutcome says that a job has no outcome yet.
var ErrNoOutcome = errors.New("no outcome yet")

// Outcomes yields the outcomes of a batch in the order they were stored, as
// many as there are when it gets to the end, and each job once: one that was
// dead when it was read stays so, though a replay has ended meanwhile.
func (q *Queue) Outcomes(ctx context.Context, batch string) iter.Seq2[*jobs.Outcome, error] {
	all := q.read(ctx, q.outcomes, q.subject("outcomes", batch, "*"), false)
	once := func(yield func(jetstream.Msg, error) bool) {
		dead := map[jobs.ID]bool{}
		for m, err := range all {
			if err == nil && runOf(m.Headers()) > 1 && dead[jobOf(m.Subject())] {
				continue
			}
			if err == nil && isDead(m.Headers()) {
				dead[jobOf(m.Subject())] = true
			}
			if !yield(m, err) {
				return
			}
		}
	}
	return decoded(once, func(m jetstream.Msg) (*jobs.Outcome, error) {
		return q.decodeOutcome(ctx, m.Headers(), m.Data())
	})
}

// Ended counts the jobs of a batch that have an outcome, but for those that are
// replayed. With millions of them that takes the broker a second; Progress is
// for asking often.
func (q *Queue) Ended(ctx context.Context, batch string) (int64, error) {
	n, err := q.count(ctx, q.outcomes, q.subject("outcomes", batch, "*"))
	if err != nil {
		return 0, err
	}
	there, _, err := q.present(ctx, q.names.job(batch, replayedPart))
	if err != nil {
		return 0, fmt.Errorf("counting the replayed jobs of batch %s: %w", batch, err)
	}
	if s := there[batch]; s != nil { // some may be done already, and have not been taken away
		n = max(0, n-s.parts[replayedPart])
	}
	return n, nil
}

// Ends counts the outcomes of a batch by how their jobs ended. It reads the
// heads of all, which takes a while where there are many.
func (q *Queue) Ends(ctx context.Context, batch string) (map[jobs.Status]int64, error) {
	ends := map[jobs.Status]int64{}
	for m, err := range q.read(ctx, q.outcomes, q.subject("outcomes", batch, "*"), true) {
		if err != nil {
			return nil, fmt.Errorf("counting the outcomes of batch %s: %w", batch, err)
		}
		ends[jobs.Status(m.Headers().Get(statusHeader))]++
	}
	return ends, nil
}

// Outcome returns the outcome of one job, or ErrNoOutcome.
func (q *Queue) Outcome(ctx context.Context, batch string, id jobs.ID) (*jobs.Outcome, error) {
	m, err := lastOn(ctx, q.outcomes, q.outcome(batch, id))
	if err != nil {
		return nil, err
	}
	if m == nil {
		return nil, fmt.Errorf("job %s of batch %s: %w", id, batch, ErrNoOutcome)
	}
	return q.decodeOutcome(ctx, m.Header, m.Data)
}
