package queue

import (
	"context"
	"errors"

	"github.com/drover-batch/drover/jobs"
)

// Pause keeps the batch's waiting jobs from being lent, within about a second
// for all workers. What is lent already goes on. Pausing a batch that has
// ended is an error.
func (q *Queue) Pause(ctx context.Context, id, reason string) error {
	_, err := q.update(ctx, id, func(m *manifest) error {
		if err := q.notice(ctx, m); err != nil {
			return err
		}
		if m.State == jobs.Paused && m.Reason == reason && m.Needs == nil {
			return errUnchanged
		}
		return m.pause(reason, nil)
	})
	return err
}

// notice takes a batch for finished that is, though no worker has noticed: the
// last one may have stopped before.
func (q *Queue) notice(ctx context.Context, m *manifest) error {
	at, err := q.standing(ctx, m.ID)
	if err == nil && m.complete(at) {
		m.State = jobs.Finished
	}
	return err
}

// PauseLent pauses a batch for want of money, as it was found with the batch as
// it was lent. One that is paused already stays as it is: what somebody paused
// does not go on by itself. If its budget has changed since then, nothing is
// done either: whoever raised it does not want the batch paused by a job that
// was lent before.
func (q *Queue) PauseLent(ctx context.Context, lent *jobs.Batch, short *jobs.Shortage) error {
	_, err := q.update(ctx, lent.ID, func(m *manifest) error {
		if m.Budget != lent.Budget || m.State == jobs.Paused {
			return errUnchanged
		}
		return m.pause(short.Reason, short.Needs)
	})
	return err
}

func (m *manifest) pause(reason string, needs map[string]jobs.USD) error {
	switch m.State {
	case jobs.Cancelled:
		return ErrCancelled
	case jobs.Finished:
		return errors.New("it is finished; there is nothing to pause")
	}
	m.State, m.Reason, m.Needs = jobs.Paused, reason, needs
	return nil
}

// GoOn ends a pause for want of money, and no other. It reports whether there
// was one.
func (q *Queue) GoOn(ctx context.Context, id string) (ended bool, err error) {
	_, err = q.update(ctx, id, func(m *manifest) error {
		if ended = m.State == jobs.Paused && m.Needs != nil; !ended {
			return errUnchanged
		}
		m.State, m.Reason, m.Needs = m.active(), "", nil
		return nil
	})
	return ended && err == nil, err
}

// Resume ends a pause. It does nothing to a batch that is not paused.
func (q *Queue) Resume(ctx context.Context, id string) error {
	_, err := q.update(ctx, id, func(m *manifest) error {
		switch m.State {
		case jobs.Cancelled:
			return ErrCancelled
		case jobs.Paused:
			m.State, m.Reason, m.Needs = m.active(), "", nil
			return nil
		}
		return errUnchanged
	})
	return err
}
