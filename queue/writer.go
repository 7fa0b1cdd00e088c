package queue

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/drover-batch/drover/jobs"
)

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

	Traceparent string // of the jobs; see jobs.Job

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
		Run: 1, Submitted: time.Now().UTC(), Document: doc, Traceparent: w.Traceparent,
	}, partFor(w.at.Count))
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
		if err := sleep(ctx, wait); err != nil {
			return fmt.Errorf("enqueueing into batch %s: %w", w.batch.ID, err)
		}
	}
}

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
