package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/drover-batch/drover/jobs"
)

// ErrNotOver says that a batch still has jobs, so that it cannot be removed.
var ErrNotOver = errors.New("it is not over: wait for its end, or cancel it")

// removed is where the book keeps what a batch has cost that is gone, in place
// of a job.
const removed = jobs.ID("removed")

// kept is how finely the book remembers when the calls of a removed batch were
// made: budgets begin their turns at midnight, in zones a quarter of an hour
// apart.
const kept = 15 * time.Minute

// Remove takes a batch that is over away for good: its outcomes, dead letters,
// documents, and the batch itself. What it has cost stays in the book, summed
// up, so that no budget forgets it. Interrupted, it is to be called again.
func (q *Queue) Remove(ctx context.Context, id string) error {
	// Who may not remove outcomes is denied this, and the batch is not marked.
	if err := q.outcomes.Purge(ctx, jetstream.WithPurgeSubject(q.outcome(id, nobody))); err != nil {
		return fmt.Errorf("removing batch %s: %w", id, err)
	}
	if _, err := q.finish(ctx, id); err != nil { // no worker may have been there to do it
		return fmt.Errorf("removing batch %s: %w", id, err)
	}
	m, err := q.manifest(ctx, id)
	if err == nil && !m.Removed {
		m, err = q.update(ctx, id, func(m *manifest) error {
			if !m.Over {
				return ErrNotOver
			}
			m.Removed = true
			return nil
		})
	}
	if err == nil {
		err = q.sumUp(ctx, m)
	}
	if err != nil {
		return fmt.Errorf("removing batch %s: %w", id, err)
	}
	for _, p := range []struct {
		stream  jetstream.Stream
		subject string
	}{
		{q.dead, q.subject("dead", id, "*")}, {q.dead, q.subject("gone", id, "*")},
		{q.outcomes, q.subject("outcomes", id, "*")}, {q.steps, q.subject("steps", id, "*")},
		{q.jobs, q.names.jobs(id)}, {q.jobs, q.names.cursor(id)},
	} {
		if err := p.stream.Purge(ctx, jetstream.WithPurgeSubject(p.subject)); err != nil {
			return fmt.Errorf("removing %s: %w", p.subject, err)
		}
	}
	if err := q.removeWaste(ctx, id); err != nil {
		return fmt.Errorf("removing the waste of batch %s: %w", id, err)
	}
	if err := q.removeDocs(ctx, id); err != nil {
		return fmt.Errorf("removing the documents of batch %s: %w", id, err)
	}
	if err := q.batches.Purge(ctx, id); err != nil {
		return fmt.Errorf("removing batch %s: %w", id, err)
	}
	return nil
}

// sumUp puts what the batch has cost into the book once more, as one record.
// Until the others are gone the book has it twice, which errs on the safe side;
// and once they begin to go, the record is there and is not made anew.
func (q *Queue) sumUp(ctx context.Context, m *manifest) error {
	type part struct {
		model   string
		billing jobs.Billing
		at      time.Time
	}
	subject := q.names.waste(m.ID, removed, strconv.FormatInt(m.Created.UnixNano(), 36))
	if there, err := lastOn(ctx, q.waste, subject); err != nil || there != nil {
		return err
	}
	w := &Waste{Job: removed, Batch: m.ID, Reason: "the batch was removed"}
	places := map[part]int{} // in its attempts
	for s, err := range q.book(ctx, m.ID+".>") {
		if err != nil {
			return err
		}
		if strings.HasPrefix(s.Call, string(removed)) { // of a batch of the same id before it
			continue
		}
		p := part{s.Model, s.Billing, s.At.Truncate(kept)}
		i, ok := places[p]
		if !ok {
			i = len(w.Attempts)
			places[p] = i
			call := fmt.Sprintf("%s:%s:%d", removed, subject, i)
			w.Attempts = append(w.Attempts, jobs.Attempt{Call: call, Model: p.model, Billing: p.billing, Started: p.at, Message: "calls of a batch that was removed"})
		}
		w.Attempts[i].Cost += s.Cost
	}
	if len(w.Attempts) == 0 {
		return nil
	}
	return q.writeWaste(ctx, subject, w, q.cfg.StorePatience)
}

// removeWaste removes the records of waste that sumUp has summed up: what came
// after it stays, and what it wrote.
func (q *Queue) removeWaste(ctx context.Context, id string) error {
	var gone []uint64
	sum := uint64(0) // sequence of the newest sum
	for m, err := range q.read(ctx, q.waste, q.subject("*", id, "*", "*"), true) {
		if err != nil {
			return err
		}
		meta, err := m.Metadata()
		if err != nil {
			return err
		}
		if strings.HasPrefix(m.Subject(), q.subject("waste", id, string(removed), "")) {
			sum = meta.Sequence.Stream
		} else {
			gone = append(gone, meta.Sequence.Stream)
		}
	}
	for _, seq := range slices.DeleteFunc(gone, func(seq uint64) bool { return seq > sum }) {
		if err := q.waste.DeleteMsg(ctx, seq); err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return err
		}
	}
	return nil
}

// removeDocs removes the large bodies that were stored for the batch.
func (q *Queue) removeDocs(ctx context.Context, id string) error {
	all, err := q.docs.List(ctx)
	if errors.Is(err, jetstream.ErrNoObjectsFound) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, o := range all {
		if o.Metadata[batchKey] != id {
			continue
		}
		if err := q.docs.Delete(ctx, o.Name); err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
			return err
		}
	}
	return nil
}
