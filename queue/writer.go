package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/drover-batch/drover/jobs"
)

// ErrEnqueuedElsewhere says that another process took over enqueueing the
// batch. Nothing of the refused group was stored.
var ErrEnqueuedElsewhere = errors.New("the batch is being enqueued by another process")

// ErrSealed says that the batch is complete and takes no more jobs.
var ErrSealed = errors.New("all jobs of the batch are already enqueued")

// Writer enqueues the jobs of one batch, in groups that the broker stores
// whole or not at all, each together with the position it leads to. Whatever
// interrupts it, a new Writer goes on from the last stored position. It is
// not safe for concurrent use.
type Writer struct {
	// Full, if set, is called before each wait for room in the queue, or for
	// NATS to store anything at all, with how long it has waited so far.
	Full func(waited time.Duration)

	// Mark, if set, makes of a document what the Position is to tell it apart by
	// besides its custom id.
	Mark func(*jobs.Document) string

	q     *Queue
	batch jobs.Batch
	id    string // tells this Writer's cursors from others'

	sealed bool
	stored Position // what the broker has
	cursor uint64   // sequence of the cursor that says so
	at     Position // stored, and what is buffered on top
	buffer []*nats.Msg
	bytes  int
}

// Enqueue registers the batch in state Enqueueing and returns a Writer for its
// jobs. If it was registered before, the Writer goes on where enqueueing
// stopped, and the given batch's other fields are ignored; see
// Writer.Position. A cancelled batch gives ErrCancelled.
func (q *Queue) Enqueue(ctx context.Context, b *jobs.Batch) (*Writer, error) {
	m := &manifest{Batch: *b, Format: format}
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
		if err := pause(ctx, firstWait); err != nil {
			return fmt.Errorf("taking up batch %s: %w", w.batch.ID, err)
		}
	}
}

// Batch is the batch as it is registered.
func (w *Writer) Batch() *jobs.Batch { return &w.batch }

// Position is where the broker's copy of the batch ends. A caller that
// enqueues the same input again skips that many jobs.
func (w *Writer) Position() Position { return w.stored }

// Sealed reports whether all jobs are in already: there is nothing to add.
func (w *Writer) Sealed() bool { return w.sealed }

// Add enqueues a job. It returns at once while a group fills up and otherwise
// stores the group, waiting for room as long as the queue is full. After an
// error the Writer is of no further use; Enqueue gives a new one.
func (w *Writer) Add(ctx context.Context, customID string, doc jobs.Document) error {
	if w.sealed {
		return fmt.Errorf("batch %s: %w", w.batch.ID, ErrSealed)
	}
	if len(doc.Body) > MaxBody {
		return fmt.Errorf("%s: %d bytes: %w", customID, len(doc.Body), ErrTooLarge)
	}
	m, err := w.q.jobMsg(ctx, &jobs.Job{
		ID: jobs.NewID(w.batch.ID, customID), Batch: w.batch.ID, CustomID: customID,
		Run: 1, Submitted: time.Now().UTC(), Document: doc,
	}, partOf(w.at.Count))
	if err != nil {
		return fmt.Errorf("enqueueing %s: %w", customID, err)
	}
	if w.bytes+len(m.Data) > w.q.groupBytes {
		if err := w.flush(ctx); err != nil {
			return err
		}
	}
	w.buffer = append(w.buffer, m)
	w.bytes += len(m.Data)
	w.at = w.at.Next(customID, w.mark(&doc))
	if len(w.buffer) == groupMessages-1 { // and the cursor
		return w.flush(ctx)
	}
	return nil
}

func (w *Writer) mark(doc *jobs.Document) string {
	if w.Mark == nil {
		return ""
	}
	return w.Mark(doc)
}

// Close stores what is left and seals the batch: its total is final, and it is
// Live. To leave a batch for later, do not close it.
func (w *Writer) Close(ctx context.Context) error {
	if w.sealed {
		return nil
	}
	if err := w.flush(ctx); err != nil {
		return err
	}
	_, err := w.q.update(ctx, w.batch.ID, func(m *manifest) error {
		switch {
		case m.State == jobs.Cancelled:
			return ErrCancelled
		case m.Sealed && m.Final == w.stored:
			return errUnchanged
		case m.Sealed:
			return ErrEnqueuedElsewhere
		}
		m.Sealed, m.Final, m.Total = true, w.stored, w.stored.Count
		if m.State == jobs.Enqueueing {
			m.State = jobs.Live
		}
		return nil
	})
	if err != nil {
		return err
	}
	w.sealed = true
	return nil
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

// flush stores the buffered jobs and the cursor after them, however often it
// takes: the cursor's expected predecessor makes a second try of a group that
// did get through harmless.
func (w *Writer) flush(ctx context.Context) error {
	if len(w.buffer) == 0 {
		return nil
	}
	began := time.Now()
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		seq, err := publishAll(ctx, w.q.js, append(w.buffer, w.cursorMsg()))
		if err == nil {
			w.advance(seq)
			return nil
		}
		switch {
		case full(err):
			if w.Full != nil {
				w.Full(time.Since(began))
			}
		case passing(err):
			if waited := time.Since(began); w.Full != nil && waited > stalledAfter {
				w.Full(waited)
			}
		case conflict(err), !refused(err):
			if w.Full != nil && w.q.nc.IsConnected() && (unanswered(err) || leaderless(err)) {
				w.Full(time.Since(began))
			}
			done, err := w.recall(ctx)
			if done || err != nil {
				return err
			}
		default:
			return fmt.Errorf("enqueueing into batch %s: %w", w.batch.ID, err)
		}
		if err := pause(ctx, wait); err != nil {
			return fmt.Errorf("enqueueing into batch %s: %w", w.batch.ID, err)
		}
	}
}

// The waits between tries of a write, doubling from the first to the last.
const (
	firstWait = 20 * time.Millisecond
	lastWait  = 2 * time.Second
)

// recall reads the cursor back after a group whose fate is unknown. It
// reports whether the group is in; an error means that it never will be.
// While the broker cannot be reached it knows nothing.
func (w *Writer) recall(ctx context.Context) (bool, error) {
	at, seq, err := w.q.cursorOf(ctx, w.batch.ID)
	switch {
	case err != nil, seq == w.cursor:
		return false, nil
	case at.By == w.id:
		w.advance(seq)
		return true, nil
	}
	if m, err := w.q.manifest(ctx, w.batch.ID); err == nil && m.State == jobs.Cancelled {
		return false, fmt.Errorf("batch %s: %w", w.batch.ID, ErrCancelled)
	}
	return false, fmt.Errorf("batch %s: %w", w.batch.ID, ErrEnqueuedElsewhere)
}

func (w *Writer) advance(seq uint64) {
	w.stored, w.cursor = w.at, seq
	clear(w.buffer)
	w.buffer, w.bytes = w.buffer[:0], 0
}

// cursorMsg is the last message of a group. It takes the place of the cursor
// it expects to follow.
func (w *Writer) cursorMsg() *nats.Msg {
	return w.q.cursorMsg(w.batch.ID, cursor{w.at, w.id}, w.cursor)
}
