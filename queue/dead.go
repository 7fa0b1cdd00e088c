package queue

import (
	"cmp"
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

// ErrReplayedOtherwise says that a dead letter was replayed by somebody else, with
// another document, chain or prompt.
var ErrReplayedOtherwise = errors.New("replayed by somebody else meanwhile, with another document, chain or prompt: that run stands")

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
// be asked about. Its document may have been edited, and its Instead set. If
// somebody else has replayed the letter with another document or Instead, theirs
// stands, and it is ErrReplayedOtherwise.
func (q *Queue) Replay(ctx context.Context, l *jobs.DeadLetter) error {
	if err := q.revive(ctx, l.Job); err != nil {
		return fmt.Errorf("replaying job %s: %w", l.Job.ID, err)
	}
	otherwise := q.requeue(ctx, l)
	if otherwise != nil {
		otherwise = fmt.Errorf("replaying job %s: %w", l.Job.ID, otherwise)
	}
	if otherwise != nil && !errors.Is(otherwise, ErrReplayedOtherwise) {
		return otherwise
	}
	if err := q.revive(ctx, l.Job); err != nil { // it may have been finished in between
		return fmt.Errorf("replaying job %s: %w", l.Job.ID, err)
	}
	return cmp.Or(q.Drop(ctx, l), otherwise) // which whoever was faster may not have come to
}

// revive makes a job's finished batch live again, and one whose builds know what
// the job asks for. A cancelled one stays so, and one past its deadline.
func (q *Queue) revive(ctx context.Context, j *jobs.Job) error {
	_, err := q.update(ctx, j.Batch, func(m *manifest) error {
		switch {
		case m.State == jobs.Cancelled:
			return ErrCancelled
		case !m.Deadline.IsZero() && time.Now().After(m.Deadline):
			return ErrPastDeadline
		}
		changed := m.State == jobs.Finished
		if changed {
			m.State, m.Over = jobs.Live, false
		}
		if j.Instead != nil && m.Format < replayedOtherwise {
			m.Format, changed = replayedOtherwise, true
		}
		if j.Instead.Reroutes() && !m.Knows(j.Instead.Chain) {
			m.Chains, changed = append(m.Chains, j.Instead.Chain), true
		}
		if !changed {
			return errUnchanged
		}
		return nil
	})
	return err
}

// requeue publishes the next run together with a mark that says so, and what it
// is like. The mark expects to follow the one before, so the run is queued once.
func (q *Queue) requeue(ctx context.Context, l *jobs.DeadLetter) error {
	j := *l.Job
	j.Run, j.Replaces, j.Earlier = l.Job.Run+1, l.Sequence, l.Outcome.Attempts
	job, err := q.jobMsg(ctx, &j, replayedPart)
	if err != nil {
		return err
	}
	mark := newMsg(q.replayed(j.Batch, j.ID), nil)
	mark.Header.Set(runHeader, strconv.Itoa(j.Run))
	mark.Header.Set(idHeader, fingerprint(job))
	mark.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	otherwise := false
	err = q.insist(ctx, string(j.ID), q.cfg.StorePatience, func() error {
		before, err := lastOn(ctx, q.jobs, mark.Subject)
		if err != nil {
			return err
		}
		if before != nil && runOf(before.Header) >= j.Run {
			otherwise = !sameReplay(before.Header, mark.Header, &j)
			return nil
		}
		there, err := lastOn(ctx, q.outcomes, q.outcome(j.Batch, j.ID))
		if err != nil || there == nil {
			return err
		}
		if there.Sequence != j.Replaces { // the replay is over already
			o, err := q.decodeOutcome(ctx, there.Header, there.Data)
			otherwise = err == nil && !o.AskedLike(j.Instead)
			return err
		}
		expect(mark, newest(before))
		return q.runs.put(ctx, job, mark)
	})
	if err == nil && otherwise {
		return ErrReplayedOtherwise
	}
	return err
}

// sameReplay reports by their marks whether the replay of job j that came first
// is like this one. Marks of earlier builds do not say what theirs is like.
func sameReplay(first, mark nats.Header, j *jobs.Job) bool {
	id := first.Get(idHeader)
	return id == mark.Get(idHeader) || j.Instead == nil && (id == "" || runOf(first) > j.Run)
}

// fingerprint tells messages apart by their bodies.
func fingerprint(m *nats.Msg) string {
	return cmp.Or(m.Header.Get(docHeader), checksum(m.Data))
}
