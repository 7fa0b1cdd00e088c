package queue

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/drover-batch/drover/jobs"
)

// settle stores the outcome of a job, and its dead letter if it is dead,
// without letting go of any delivery: outcomes that wait in a spool outlive
// theirs. Storing the same outcome again, also by another process, succeeds and
// changes nothing. ErrSettled means that another outcome stands; what the
// attempts of this one cost is then on record as waste.
func (q *Queue) settle(ctx context.Context, j *jobs.Job, o *jobs.Outcome, patience time.Duration) error {
	m, err := q.encodeOutcome(o, j.Replaces)
	if err != nil {
		return fmt.Errorf("storing the outcome of job %s: %w", j.ID, err)
	}
	var won bool
	err = q.insist(ctx, string(j.ID), patience, func() (err error) {
		if o.CostUnknown() {
			if err = q.unpriced(ctx, j.Batch); err != nil {
				return err
			}
		}
		if err = q.stow(ctx, m); err == nil {
			won, err = q.compete(ctx, m, j)
		}
		return err
	})
	switch {
	case err != nil:
		return fmt.Errorf("storing the outcome of job %s: %w", j.ID, err)
	case !won:
		return q.lost(ctx, j, o, patience)
	}
	q.dropSteps(ctx, o)
	switch {
	case o.Status == jobs.Dead:
		return q.insist(ctx, string(j.ID), patience, func() error { return q.ensureLetter(ctx, j, o) })
	case j.Run > 1:
		return q.insist(ctx, string(j.ID), patience, func() error { return q.withdraw(ctx, j.Batch, j.ID, j.Run) })
	}
	return nil
}

// lost records as waste what an outcome cost that came second. What it shares
// with the one that stands, the steps of a checkpoint, is no waste.
func (q *Queue) lost(ctx context.Context, j *jobs.Job, o *jobs.Outcome, patience time.Duration) error {
	attempts := ownAttempts(o)
	if stepped(o) {
		err := q.insist(ctx, string(j.ID), patience, func() error {
			there, err := q.Outcome(ctx, j.Batch, j.ID)
			if err == nil {
				attempts = without(attempts, there.Attempts)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("storing the outcome of job %s: %w", j.ID, err)
		}
	}
	if err := q.recordWaste(ctx, j.Batch, j.ID, "another outcome was stored first", attempts, patience); err != nil {
		return err
	}
	q.dropSteps(ctx, o)
	return jobs.ErrSettled
}

// ownAttempts are those of the outcome's own run: those of earlier runs are on
// record with the outcome it meant to replace.
func ownAttempts(o *jobs.Outcome) []jobs.Attempt {
	var own []jobs.Attempt
	for _, a := range o.Attempts {
		if a.Run == o.Run {
			own = append(own, a)
		}
	}
	return own
}

// compete stores the outcome unless there is one already, and reports whether
// the one that stands is this one. Its own earlier try, whose reply was lost,
// counts as this one.
func (q *Queue) compete(ctx context.Context, m *nats.Msg, j *jobs.Job) (bool, error) {
	err := q.outcomes.put(ctx, m)
	if !conflict(err) {
		return err == nil, err
	}
	there, lookup := lastOn(ctx, q.outcomes, m.Subject)
	switch {
	case lookup != nil:
		return false, lookup
	case newest(there) == j.Replaces:
		return false, err // a write that is still on its way
	}
	return there != nil && there.Header.Get(idHeader) == m.Header.Get(idHeader), nil
}

func newest(m *jetstream.RawStreamMsg) uint64 {
	if m == nil {
		return 0
	}
	return m.Sequence
}

// ensureLetter stores the dead letter that belongs to a stored dead outcome,
// unless it was replayed or dropped already.
func (q *Queue) ensureLetter(ctx context.Context, j *jobs.Job, o *jobs.Outcome) error {
	gone, err := lastOn(ctx, q.dead, q.gone(j.Batch, j.ID))
	if err != nil {
		return err
	}
	if gone != nil && runOf(gone.Header) >= j.Run {
		return nil
	}
	there, err := lastOn(ctx, q.outcomes, q.outcome(j.Batch, j.ID))
	if err != nil {
		return err
	}
	if there == nil || runOf(there.Header) != j.Run {
		return nil // a later run has its outcome
	}
	m, err := q.letterMsg(ctx, &jobs.DeadLetter{Job: j, Outcome: o, Sequence: there.Sequence})
	if err != nil {
		return err
	}
	expectOn(m, q.gone(j.Batch, j.ID), newest(gone)) // whoever takes it away meanwhile wins
	return q.dead.put(ctx, m)
}

// withdraw removes the letter of any run before the given one. Its mark comes
// first and keeps a late redelivery of those runs from writing the letter
// again.
func (q *Queue) withdraw(ctx context.Context, batch string, id jobs.ID, before int) error {
	letter, err := lastOn(ctx, q.dead, q.names.dead(batch, id))
	if err != nil {
		return err
	}
	if letter == nil || runOf(letter.Header) >= before {
		return nil
	}
	mark := newMsg(q.gone(batch, id), nil)
	mark.Header.Set(runHeader, strconv.Itoa(before-1))
	if err := q.dead.put(ctx, mark); err != nil {
		return err
	}
	return q.dead.Purge(ctx, jetstream.WithPurgeSubject(letter.Subject), jetstream.WithPurgeSequence(letter.Sequence+1))
}
