package queue

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/drover-batch/drover/jobs"
)

// ErrNoDeadLetter says that a job has no dead letter, or no longer.
var ErrNoDeadLetter = errors.New("no such dead letter")

// DeadFilter chooses dead letters. An empty field leaves it open.
type DeadFilter struct {
	Batch  string
	Kind   jobs.Kind // why the job died
	Model  string    // one that was tried
	Tenant string
}

func (f DeadFilter) takes(h nats.Header) bool {
	return (f.Kind == "" || h.Get(kindHeader) == string(f.Kind)) &&
		(f.Tenant == "" || h.Get(tenantHeader) == headerSafe(f.Tenant)) &&
		(f.Model == "" || slices.Contains(h.Values(modelHeader), headerSafe(f.Model)))
}

// Dead yields the dead letters there are that the filter takes, the oldest
// first. Those that come meanwhile are not among them: a job that is replayed
// and dies again at once is not met a second time.
func (q *Queue) Dead(ctx context.Context, f DeadFilter) iter.Seq2[*jobs.DeadLetter, error] {
	batch := f.Batch
	if batch == "" {
		batch = "*"
	}
	taken := func(yield func(jetstream.Msg, error) bool) {
		info, err := q.dead.Info(ctx)
		if err != nil {
			yield(nil, fmt.Errorf("reading the dead letters: %w", err))
			return
		}
		for m, err := range q.read(ctx, q.dead, q.subject("dead", batch, "*"), false) {
			if err == nil && after(m, info.State.LastSeq) {
				return
			}
			if (err != nil || f.takes(m.Headers())) && !yield(m, err) {
				return
			}
		}
	}
	return decoded(taken, func(m jetstream.Msg) (*jobs.DeadLetter, error) {
		return q.decodeLetter(ctx, m.Headers(), m.Data())
	})
}

// Letters is how many dead letters there are, of all batches.
func (q *Queue) Letters(ctx context.Context) (int64, error) {
	return q.count(ctx, q.dead, q.subject("dead", "*", "*"))
}

// after reports whether a message came after the one with a sequence.
func after(m jetstream.Msg, seq uint64) bool {
	meta, err := m.Metadata()
	return err == nil && meta.Sequence.Stream > seq
}

// DeadLetter returns the dead letter of one job, or ErrNoDeadLetter.
func (q *Queue) DeadLetter(ctx context.Context, batch string, id jobs.ID) (*jobs.DeadLetter, error) {
	m, err := lastOn(ctx, q.dead, q.names.dead(batch, id))
	if err != nil {
		return nil, err
	}
	if m == nil {
		return nil, fmt.Errorf("job %s of batch %s: %w", id, batch, ErrNoDeadLetter)
	}
	return q.decodeLetter(ctx, m.Header, m.Data)
}

// Drop takes the dead letter away. The job's dead outcome stands.
func (q *Queue) Drop(ctx context.Context, l *jobs.DeadLetter) error {
	if err := q.withdraw(ctx, l.Job.Batch, l.Job.ID, l.Job.Run+1); err != nil {
		return fmt.Errorf("dropping the dead letter of job %s: %w", l.Job.ID, err)
	}
	return nil
}

// Replay queues the job again, as its next run, and takes the dead letter
// away. Its outcome will replace the dead one. Replaying the same letter
// again, even at the same time, queues nothing more. The job's document may
// have been edited. A letter of a batch that was cancelled, ErrCancelled, or
// whose deadline has gone by, ErrPastDeadline, stays as it is: its job would not
// be asked about.
func (q *Queue) Replay(ctx context.Context, l *jobs.DeadLetter) error {
	if err := q.revive(ctx, l.Job.Batch); err != nil {
		return fmt.Errorf("replaying job %s: %w", l.Job.ID, err)
	}
	if err := q.requeue(ctx, l); err != nil {
		return fmt.Errorf("replaying job %s: %w", l.Job.ID, err)
	}
	if err := q.revive(ctx, l.Job.Batch); err != nil { // it may have been finished in between
		return fmt.Errorf("replaying job %s: %w", l.Job.ID, err)
	}
	return q.Drop(ctx, l)
}

// revive makes a finished batch live again. A cancelled one stays so, and one
// past its deadline.
func (q *Queue) revive(ctx context.Context, batch string) error {
	_, err := q.update(ctx, batch, func(m *manifest) error {
		switch {
		case m.State == jobs.Cancelled:
			return ErrCancelled
		case !m.Deadline.IsZero() && time.Now().After(m.Deadline):
			return ErrPastDeadline
		case m.State == jobs.Finished:
			m.State, m.Over = jobs.Live, false
			return nil
		}
		return errUnchanged
	})
	return err
}

// requeue publishes the next run together with a mark that says so. The mark
// expects to follow the one before, so the run is queued once.
func (q *Queue) requeue(ctx context.Context, l *jobs.DeadLetter) error {
	j := *l.Job
	j.Run, j.Replaces, j.Earlier = l.Job.Run+1, l.Sequence, l.Outcome.Attempts
	job, err := q.jobMsg(ctx, &j, replayedPart)
	if err != nil {
		return err
	}
	mark := newMsg(q.replayed(j.Batch, j.ID), nil)
	mark.Header.Set(runHeader, strconv.Itoa(j.Run))
	mark.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	return q.insist(ctx, string(j.ID), q.cfg.StorePatience, func() error {
		before, err := lastOn(ctx, q.jobs, mark.Subject)
		if err != nil || before != nil && runOf(before.Header) >= j.Run {
			return err
		}
		there, err := lastOn(ctx, q.outcomes, q.outcome(j.Batch, j.ID))
		if err != nil || newest(there) != j.Replaces {
			return err // the replay is over already
		}
		expect(mark, newest(before))
		return q.runs.put(ctx, job, mark)
	})
}
