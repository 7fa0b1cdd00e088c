package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/drover-batch/drover/jobs"
)

// stepPatience is how long a checkpoint is tried to be stored while NATS is
// away. The job goes on without it.
const stepPatience = 2 * time.Second

// steps is what a delivery knows of its job's checkpoint.
type steps struct {
	mu    sync.Mutex
	read  bool
	last  uint64   // sequence of the newest checkpoint, whoever stored it
	meant []string // ids of those behind it that we meant to store
	kept  map[string]bool
	old   []jobs.Attempt // of an earlier run's checkpoint, on no other record
}

// Resume reads how far this run of the job has come.
func (d *delivery) Resume(ctx context.Context) (*jobs.Checkpoint, error) {
	d.steps.mu.Lock()
	defer d.steps.mu.Unlock()
	if d.untouched() {
		return nil, nil
	}
	c, err := d.resume(ctx)
	if err != nil {
		return nil, fmt.Errorf("looking how far job %s has come: %w", d.job.ID, err)
	}
	return c, nil
}

// untouched reports whether nobody can have stored a checkpoint of the job yet.
func (d *delivery) untouched() bool { return d.Fresh() && d.job.Run == 1 }

func (d *delivery) resume(ctx context.Context) (*jobs.Checkpoint, error) {
	m, err := lastOn(ctx, d.q.steps, d.q.step(d.job.Batch, d.job.ID))
	if err != nil {
		return nil, err
	}
	s := &d.steps
	s.read, s.last, s.old = true, newest(m), nil
	if m == nil {
		return nil, nil
	}
	c, err := d.q.decodeCheckpoint(ctx, m.Header, m.Data)
	if err != nil {
		return nil, err
	}
	if runOf(m.Header) != d.job.Run {
		s.old = without(c.Attempts, d.job.Earlier)
		return nil, nil
	}
	s.keep(c.Attempts)
	return c, nil
}

func (s *steps) keep(attempts []jobs.Attempt) {
	if s.kept == nil {
		s.kept = map[string]bool{}
	}
	for i := range attempts {
		s.kept[attempts[i].Call] = true
	}
}

// unkept are the attempts that are on no checkpoint.
func (s *steps) unkept(attempts []jobs.Attempt) []jobs.Attempt {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.kept) == 0 {
		return attempts
	}
	var rest []jobs.Attempt
	for i := range attempts {
		if !s.kept[attempts[i].Call] {
			rest = append(rest, attempts[i])
		}
	}
	return rest
}

// Checkpoint stores how far the job has come. Each expects to follow the last
// one that its delivery knows of, so of two that have the same job only one
// goes on.
func (d *delivery) Checkpoint(ctx context.Context, c *jobs.Checkpoint) error {
	d.steps.mu.Lock()
	defer d.steps.mu.Unlock()
	if !d.held() {
		return jobs.ErrLeaseLost
	}
	if err := d.checkpoint(ctx, c); err != nil {
		return fmt.Errorf("recording how far job %s has come: %w", d.job.ID, err)
	}
	d.steps.keep(c.Attempts)
	return nil
}

func (d *delivery) checkpoint(ctx context.Context, c *jobs.Checkpoint) error {
	s := &d.steps
	if !s.read && !d.untouched() {
		if _, err := d.resume(ctx); err != nil {
			return err
		}
	}
	if err := d.q.recordWaste(ctx, d.job.Batch, d.job.ID, unfinished, s.old, stepPatience); err != nil {
		return err
	}
	s.read, s.old = true, nil
	m, err := d.q.checkpointMsg(d.job, d.batch.Tenant, c)
	if err != nil {
		return err
	}
	id, lost := m.Header.Get(idHeader), false
	s.meant = append(s.meant, id)
	err = d.q.insist(ctx, string(d.job.ID), stepPatience, func() error {
		if err := d.q.stow(ctx, m); err != nil {
			return err
		}
		expect(m, s.last)
		seq, err := publishAll(ctx, d.q.js, []*nats.Msg{m})
		if err == nil {
			s.last, s.meant = seq, nil
		}
		if !conflict(err) {
			return err
		}
		there, lookup := lastOn(ctx, d.q.steps, m.Subject)
		switch {
		case lookup != nil || there == nil:
			return err
		case there.Header.Get(idHeader) == id: // the reply was lost
			s.last, s.meant = there.Sequence, nil
			return nil
		case slices.Contains(s.meant, there.Header.Get(idHeader)): // that reply was lost
			s.last = there.Sequence
			return err
		}
		lost = true
		return nil
	})
	if lost {
		return jobs.ErrLeaseLost
	}
	return err
}

func (q *Queue) checkpointMsg(j *jobs.Job, tenant string, c *jobs.Checkpoint) (*nats.Msg, error) {
	data, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encoding it: %w", err)
	}
	m := newMsg(q.step(j.Batch, j.ID), data)
	m.Header.Set(idHeader, nuid.Next())
	m.Header.Set(runHeader, strconv.Itoa(j.Run))
	setSpends(m, tenant, c.Attempts)
	return m, nil
}

func (q *Queue) decodeCheckpoint(ctx context.Context, h nats.Header, data []byte) (*jobs.Checkpoint, error) {
	data, err := q.body(ctx, h, data)
	if err != nil {
		return nil, err
	}
	c := new(jobs.Checkpoint)
	if err := json.Unmarshal(data, c); err != nil {
		return nil, fmt.Errorf("decoding a checkpoint: %w", err)
	}
	return c, nil
}

// unfinished is the reason on record for the steps of a job that ended without
// them: it expired, was cancelled, or began anew.
const unfinished = "a step of a job that was not finished"

// dropSteps removes the checkpoint of a job whose outcome has all its attempts.
// At worst it stays, and the book passes it over.
func (q *Queue) dropSteps(ctx context.Context, o *jobs.Outcome) {
	if !stepped(o) {
		return
	}
	subject := q.step(o.Batch, o.Job)
	m, err := lastOn(ctx, q.steps, subject)
	if err != nil || m == nil {
		return
	}
	c, err := q.decodeCheckpoint(ctx, m.Header, m.Data)
	if err != nil || len(without(c.Attempts, o.Attempts)) > 0 {
		return
	}
	_ = q.steps.Purge(ctx, jetstream.WithPurgeSubject(subject), jetstream.WithPurgeSequence(m.Sequence+1))
}

// stepped reports whether the job was one of several calls.
func stepped(o *jobs.Outcome) bool {
	return slices.ContainsFunc(o.Attempts, func(a jobs.Attempt) bool { return a.Step != "" })
}

// without are the attempts that are not among the others.
func without(attempts, others []jobs.Attempt) []jobs.Attempt {
	var rest []jobs.Attempt
	for _, a := range attempts {
		if !slices.ContainsFunc(others, func(o jobs.Attempt) bool { return o.Call == a.Call }) {
			rest = append(rest, a)
		}
	}
	return rest
}

// leftSteps yields what is left on checkpoints of jobs that ended without them.
func (q *Queue) leftSteps(ctx context.Context, batch, job string) iter.Seq2[*Waste, error] {
	return decoded(q.read(ctx, q.steps, q.subject("steps", batch, job), false), func(m jetstream.Msg) (*Waste, error) {
		c, err := q.decodeCheckpoint(ctx, m.Headers(), m.Data())
		if err != nil {
			return nil, err
		}
		w := &Waste{
			Job: jobOf(m.Subject()), Batch: batch, Tenant: m.Headers().Get(tenantHeader), Reason: unfinished, Attempts: paidFor(c.Attempts),
		}
		if meta, err := m.Metadata(); err == nil {
			w.At = meta.Timestamp.UTC()
		}
		return w, nil
	})
}
