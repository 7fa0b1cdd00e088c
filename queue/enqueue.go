package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/drover-batch/drover/jobs"
)

// ErrEnqueuedElsewhere says that another process took over enqueueing the
// batch. Nothing of the refused group was stored.
var ErrEnqueuedElsewhere = errors.New("the batch is being enqueued by another process")

// ErrSealed says that the batch is complete and takes no more jobs.
var ErrSealed = errors.New("all jobs of the batch are already enqueued")

// Enqueue registers the batch in state Enqueueing and returns a Writer for its
// jobs. If it was registered before, the Writer goes on where enqueueing
// stopped, and the given batch's other fields are ignored; see
// Writer.Position. A cancelled batch gives ErrCancelled.
func (q *Queue) Enqueue(ctx context.Context, b *jobs.Batch) (*Writer, error) {
	m := &manifest{Batch: *b, Format: plain}
	if m.Tenant == "" {
		m.Tenant = "default"
	}
	if m.Created.IsZero() {
		m.Created = time.Now().UTC()
	}
	m.State, m.Reason, m.Total, m.Resumed = jobs.Enqueueing, "", 0, false
	if err := m.Validate(); err != nil {
		return nil, err
	}
	data, err := json.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encoding batch %s: %w", b.ID, err)
	}
	_, err = q.batches.Create(ctx, b.ID, data)
	if errors.Is(err, jetstream.ErrKeyExists) {
		return q.takeUp(ctx, b.ID)
	}
	if err != nil {
		return nil, fmt.Errorf("registering batch %s: %w", b.ID, err)
	}
	return &Writer{q: q, id: nuid.Next(), batch: m.Batch}, nil
}

// takeUp goes on with a batch that is registered already.
func (q *Queue) takeUp(ctx context.Context, id string) (*Writer, error) {
	m, err := q.manifest(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := m.known(); err != nil {
		return nil, fmt.Errorf("batch %s: %w", id, err)
	}
	w := &Writer{q: q, id: nuid.Next(), batch: m.Batch}
	switch {
	case m.State == jobs.Cancelled:
		return nil, fmt.Errorf("batch %s: %w", id, ErrCancelled)
	case m.Sealed:
		w.sealed, w.stored, w.at = true, m.Final, m.Final
		return w, nil
	}
	if err := w.takeOver(ctx); err != nil {
		return nil, err
	}
	m, err = q.update(ctx, id, func(m *manifest) error {
		switch {
		case m.State == jobs.Cancelled:
			return ErrCancelled
		case m.Sealed, m.Resumed, w.stored.Count == 0:
			return errUnchanged
		}
		m.Resumed = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	w.batch, w.sealed = m.Batch, m.Sealed
	return w, nil
}

// takeOver reads where the batch ends and puts the Writer's name there. From
// then on no group of another Writer gets in, also none that a killed process
// had on its way.
func (w *Writer) takeOver(ctx context.Context) error {
	for {
		at, seq, err := w.q.cursorOf(ctx, w.batch.ID)
		if err != nil {
			return err
		}
		w.stored, w.at, w.cursor = at.Position, at.Position, seq
		ack, err := w.q.js.PublishMsg(ctx, w.q.cursorMsg(w.batch.ID, cursor{at.Position, w.id}, seq))
		switch {
		case err == nil:
			w.cursor = ack.Sequence
			return nil
		case full(err): // nor is there room for a group of another
			return nil
		case !conflict(err):
			return fmt.Errorf("taking up batch %s: %w", w.batch.ID, err)
		}
		if err := sleep(ctx, firstWait); err != nil {
			return fmt.Errorf("taking up batch %s: %w", w.batch.ID, err)
		}
	}
}

// Reopen lets a sealed batch take jobs again, for an input that has grown since:
// what Add is given then comes behind what is in. Known tells what that is.
func (w *Writer) Reopen(ctx context.Context) error {
	_, err := w.q.update(ctx, w.batch.ID, func(m *manifest) error {
		if m.State == jobs.Cancelled {
			return ErrCancelled
		}
		m.Sealed, m.Resumed, m.Over = false, true, false
		if m.State != jobs.Paused {
			m.State = jobs.Enqueueing
		}
		return nil
	})
	if err != nil {
		return err
	}
	w.sealed = false
	return w.takeOver(ctx)
}
