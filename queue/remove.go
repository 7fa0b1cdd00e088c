package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/drover-batch/drover/jobs"
)

// ErrNotOver says that a batch still has jobs, so that it cannot be removed.
var ErrNotOver = errors.New("it is not over: wait for its end, or cancel it")

// removed is where the book keeps what a batch has cost that is gone, in place
// of a job.
const removed = jobs.ID("removed")

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
	sums, err := q.sums(ctx, id)
	if err == nil {
		err = q.removeWaste(ctx, m, sums)
	}
	if err != nil {
		return fmt.Errorf("removing the waste of batch %s: %w", id, err)
	}
	if err := q.removeDocs(ctx, id, sums); err != nil {
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
	subject := q.sum(m)
	if there, err := lastOn(ctx, q.waste, subject); err != nil || there != nil {
		return err
	}
	totals, err := together(func(yield func(jobs.Spend, error) bool) {
		for s, err := range q.book(ctx, m.ID+".>") {
			earlier := strings.HasPrefix(s.Call, string(removed)) // of a batch of the same id before it
			if !earlier && !yield(s, err) {
				return
			}
		}
	})
	if err != nil || len(totals) == 0 {
		return err
	}
	w := &Waste{Job: removed, Batch: m.ID, Reason: "the batch was removed"}
	for i, t := range totals {
		w.Attempts = append(w.Attempts, jobs.Attempt{
			Call: fmt.Sprintf("%s:%s:%d", removed, subject, i), Model: t.Model, Billing: t.Billing, Started: t.At, Cost: t.Cost,
			Message: "calls of a batch that was removed",
		})
	}
	return q.writeWaste(ctx, subject, w, q.cfg.StorePatience)
}

// sum is the subject of the record that sumUp makes.
func (q *Queue) sum(m *manifest) string {
	return q.names.waste(m.ID, removed, strconv.FormatInt(m.Created.UnixNano(), 36))
}

// sums are the records that sumUp made of this batch and of those of the same id
// before it, by subject.
func (q *Queue) sums(ctx context.Context, id string) (map[string]jetstream.Msg, error) {
	sums := map[string]jetstream.Msg{}
	for m, err := range q.read(ctx, q.waste, q.names.waste(id, removed, "*"), false) {
		if err != nil {
			return nil, err
		}
		sums[m.Subject()] = m
	}
	return sums, nil
}

// removeWaste removes the records of waste that sumUp has summed up: what came
// after it stays, and what it wrote. The broker takes away what is older than
// the batch's own sum, so older sums are stored once more, behind it.
func (q *Queue) removeWaste(ctx context.Context, m *manifest, sums map[string]jetstream.Msg) error {
	own, ok := sums[q.sum(m)]
	if !ok { // it has cost nothing
		return nil
	}
	at, err := own.Metadata()
	if err != nil {
		return err
	}
	newest := at.Sequence.Stream
	for subject, sum := range sums {
		at, err := sum.Metadata()
		if err != nil {
			return err
		}
		if at.Sequence.Stream >= newest {
			continue
		}
		again := &nats.Msg{Subject: subject, Header: maps.Clone(sum.Headers()), Data: sum.Data()}
		maps.DeleteFunc(again.Header, func(name string, _ []string) bool { return strings.HasPrefix(name, "Nats-") }) // how it was stored
		expect(again, at.Sequence.Stream)
		if err := q.waste.put(ctx, again); err != nil && !conflict(err) { // somebody else has
			return err
		}
	}
	for _, subject := range []string{q.names.waste(m.ID, "*", "*"), q.lapsed(m.ID, "*", "*")} {
		if err := q.waste.Purge(ctx, jetstream.WithPurgeSubject(subject), jetstream.WithPurgeSequence(newest)); err != nil {
			return err
		}
	}
	return nil
}

// removeDocs removes the large bodies that were stored for the batch, but for
// those of its sums.
func (q *Queue) removeDocs(ctx context.Context, id string, sums map[string]jetstream.Msg) error {
	kept := map[string]bool{}
	for _, sum := range sums {
		kept[sum.Headers().Get(docHeader)] = true
	}
	all, err := q.docs.List(ctx)
	if errors.Is(err, jetstream.ErrNoObjectsFound) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, o := range all {
		if o.Metadata[batchKey] != id || kept[o.Name] {
			continue
		}
		if err := q.docs.Delete(ctx, o.Name); err != nil && !errors.Is(err, jetstream.ErrObjectNotFound) {
			return err
		}
	}
	return nil
}
