package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/drover-batch/drover/internal/fair"
	"github.com/drover-batch/drover/jobs"
)

// mostDrained is how many batches have a group settled before jobs are lent
// again.
const mostDrained = 4

// drain settles a group of jobs of the first batches that are cancelled or past
// their deadline, without lending them, and takes all such batches off the
// list. It returns how many jobs there were. One that fails is left for a moment.
func (s *Source) drain(ctx context.Context, ready *[]*live) (sum int, err error) {
	now, batches := time.Now(), 0
	for _, l := range *ready {
		if !l.draining(now) {
			continue
		}
		if batches++; batches > mostDrained {
			break
		}
		s.recall(l.Name)
		var n int
		n, err = s.drainGroup(ctx, l)
		s.found(l, n, time.Now())
		if sum += n; err != nil {
			break
		}
	}
	*ready = slices.DeleteFunc(*ready, func(l *live) bool { return l.draining(now) })
	return sum, err
}

// drainGroup settles up to a group of the batch's jobs and returns how many
// got their outcome or turned out to have one.
func (s *Source) drainGroup(ctx context.Context, l *live) (int, error) {
	if err := s.bind(ctx, l); err != nil || !l.bound {
		return 0, err
	}
	if err := s.pulls.ask(l, groupMessages, 0); err != nil {
		return 0, err
	}
	got, err := s.pulls.collect(ctx, 0)
	if err != nil {
		return 0, err
	}
	entries := make([]*entry, 0, len(got))
	ended := make([]*delivery, 0, len(got))
	outcomes := make([]*jobs.Outcome, 0, len(got))
	for _, p := range got {
		d, err := s.open(ctx, p)
		if err != nil {
			s.spoiled(ctx, p, err)
			continue
		}
		o := s.unanswered(d, l)
		if o.Status == jobs.Dead {
			s.q.ended(d, o, d.end(ctx, o)) // with a letter; if it fails, the lease ends and the job comes again
			continue
		}
		m, err := s.q.outcomeMsg(ctx, o, d.job.Replaces)
		if err != nil {
			return 0, err
		}
		entries, ended, outcomes = append(entries, &entry{msgs: []*nats.Msg{m}}), append(ended, d), append(outcomes, o)
	}
	if len(entries) == 0 {
		return len(got), nil
	}
	s.q.outcomes.commit(ctx, entries)
	for i, e := range entries {
		s.q.ended(ended[i], outcomes[i], e.err)
		settled := e.err == nil
		if conflict(e.err) { // somebody answered it, or an earlier try of ours got through
			settled, _ = ended[i].Settled(ctx)
		}
		if settled {
			_ = ended[i].letGo()
		} else if !errors.Is(e.err, nats.ErrDisconnected) {
			s.giveBack(ended[i])
		}
	}
	return len(got), nil
}

// unanswered is the outcome of a job that nobody was asked about.
func (s *Source) unanswered(d *delivery, l *live) *jobs.Outcome {
	status, why := d.job.Unasked(), "the deadline of the batch has gone by"
	if l.m.State == jobs.Cancelled {
		status, why = jobs.WasCancelled, "the batch was cancelled"
	}
	o := jobs.NewOutcome(d.job, d.batch, status, nil)
	o.Reason, o.Worker, o.Finished = why, s.worker, time.Now().UTC()
	if status != jobs.WasCancelled {
		o.Kind = jobs.PastDeadline
	}
	return o
}

// Cancel ends the batch for good: it takes no more jobs, and those that wait
// get the outcome cancelled, here and by every Source. It returns how many it
// settled itself. Jobs that are lent may still be answered; deferred ones are
// recalled by the workers that deferred them, and those of workers that are gone
// follow when their wait is over. A user of NATS that may not write outcomes gets
// a Denied, and nothing is cancelled.
func (q *Queue) Cancel(ctx context.Context, id string) (int, error) {
	if err := q.may(ctx, q.outcome(id, nobody)); err != nil {
		return 0, fmt.Errorf("cancelling batch %s: %w", id, err)
	}
	m, err := q.update(ctx, id, func(m *manifest) error {
		if err := q.notice(ctx, m); err != nil {
			return err
		}
		switch m.State {
		case jobs.Finished:
			return errors.New("it is finished; there is nothing to cancel")
		case jobs.Cancelled:
			return errUnchanged
		}
		m.State, m.Reason = jobs.Cancelled, ""
		return nil
	})
	if err != nil {
		return 0, err
	}
	if !m.Sealed {
		if m, err = q.sealCancelled(ctx, id); err != nil {
			return 0, err
		}
	}
	n, err := q.drainAll(ctx, m)
	if err != nil {
		return n, fmt.Errorf("cancelling batch %s: %w", id, err)
	}
	if _, err := q.finish(ctx, id); err != nil {
		return n, err
	}
	return n, nil
}

// sealCancelled moves the cursor from under whoever is enqueueing, so that the
// broker refuses their next group and the total is final.
func (q *Queue) sealCancelled(ctx context.Context, id string) (*manifest, error) {
	var final Position
	err := q.insist(ctx, id, q.cfg.StorePatience, func() error {
		at, seq, err := q.cursorOf(ctx, id)
		if err != nil && !errors.Is(err, errCursor) { // a batch must be cancellable whatever stands there
			return err
		}
		final = at.Position
		_, err = publishAll(ctx, q.js, []*nats.Msg{q.cursorMsg(id, cursor{final, "cancel"}, seq)})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cancelling batch %s: %w", id, err)
	}
	return q.update(ctx, id, func(m *manifest) error {
		m.Sealed, m.Final, m.Total = true, final, final.Count
		return nil
	})
}

// drainAll settles the cancelled batch's jobs until no more come.
func (q *Queue) drainAll(ctx context.Context, m *manifest) (int, error) {
	at, err := q.standing(ctx, m.ID)
	if err != nil || at.left() == 0 {
		return 0, err
	}
	s, err := q.Source("cancel")
	if err != nil {
		return 0, err
	}
	defer func() { _ = s.Close() }()
	l := &live{m: m, Lane: fair.Lane{Name: m.ID, Tenant: m.Tenant, Created: m.Created}}
	sum := 0
	for {
		n, err := s.drainGroup(ctx, l)
		if sum += n; err != nil || n == 0 {
			return sum, err
		}
		for s.acks.behind() >= mostBehind {
			if err := sleep(ctx, lastWait); err != nil {
				return sum, err
			}
		}
	}
}
