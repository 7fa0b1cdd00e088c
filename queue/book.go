package queue

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/drover-batch/drover/jobs"
)

// Book yields every cost on record, of outcomes with the earlier runs they
// replaced and of waste, so that the sums of a ledger can be rebuilt. It reads
// headers only. What is recorded while it reads may be in it or not. A call
// whose worker seemed dead is in it once, as what it turned out to be if that
// is known, and so is a call that a checkpoint has.
func (q *Queue) Book(ctx context.Context) iter.Seq2[jobs.Spend, error] { return q.book(ctx, ">") }

// Spent is what the book has on record for one batch, its waste included, and
// the part of it that nobody has confirmed.
func (q *Queue) Spent(ctx context.Context, batch string) (sum, ambiguous jobs.USD, err error) {
	for s, err := range q.book(ctx, batch+".>") {
		if err != nil {
			return 0, 0, err
		}
		sum += s.Cost
		if s.Billing == jobs.Presumed {
			ambiguous += s.Cost
		}
	}
	return sum, ambiguous, nil
}

func (q *Queue) book(ctx context.Context, which string) iter.Seq2[jobs.Spend, error] {
	return func(yield func(jobs.Spend, error) bool) {
		lapsed := map[string]jobs.Spend{}
		for s, err := range q.page(ctx, q.waste, q.subject("lapsed", which)) {
			if err != nil {
				yield(s, err)
				return
			}
			lapsed[s.Call] = s
		}
		for s, err := range q.page(ctx, q.steps, q.subject("steps", which)) {
			if err != nil {
				yield(s, err)
				return
			}
			lapsed[s.Call] = s
		}
		for _, part := range []struct {
			*journal
			subject string
		}{{q.outcomes, q.subject("outcomes", which)}, {q.waste, q.subject("waste", which)}} {
			for s, err := range q.page(ctx, part.journal, part.subject) {
				delete(lapsed, s.Call)
				if !yield(s, err) || err != nil {
					return
				}
			}
		}
		for _, s := range lapsed {
			if !yield(s, nil) {
				return
			}
		}
	}
}

// page yields the costs that one stream has on record. An error ends it. The
// outcome of a replay that ends meanwhile has those of the dead one again, which
// may have been read already: they are yielded once.
func (q *Queue) page(ctx context.Context, j *journal, subject string) iter.Seq2[jobs.Spend, error] {
	return func(yield func(jobs.Spend, error) bool) {
		dead := map[string]bool{} // calls
		for m, err := range q.read(ctx, j, subject, true) {
			var entries []jobs.Spend
			if err == nil {
				entries, err = q.entries(ctx, j, m)
			}
			if err != nil {
				yield(jobs.Spend{}, fmt.Errorf("reading the book: %w", err))
				return
			}
			died, again := isDead(m.Headers()), runOf(m.Headers()) > 1
			for _, s := range entries {
				if again && dead[s.Call] {
					continue
				}
				if died {
					dead[s.Call] = true
				}
				if !yield(s, nil) {
					return
				}
			}
		}
	}
}

// entries are the costs a message of the book records.
func (q *Queue) entries(ctx context.Context, j *journal, m jetstream.Msg) ([]jobs.Spend, error) {
	batch := q.names.batchOf(m.Subject())
	entries, fits, err := spends(batch, m.Headers())
	if err != nil || fits {
		return entries, err
	}
	meta, err := m.Metadata()
	if err != nil {
		return nil, err
	}
	whole, err := j.GetMsg(ctx, meta.Sequence.Stream)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, nil // replaced since: its successor is still to come
	}
	if err != nil {
		return nil, err
	}
	if j == q.waste {
		data, err := q.body(ctx, whole.Header, whole.Data)
		if err != nil {
			return nil, err
		}
		w, err := decodeWaste(data)
		if err != nil {
			return nil, err
		}
		return spendsOf(w.Batch, w.Tenant, w.Attempts), nil
	}
	if j == q.steps {
		c, err := q.decodeCheckpoint(ctx, whole.Header, whole.Data)
		if err != nil {
			return nil, err
		}
		return spendsOf(batch, whole.Header.Get(tenantHeader), c.Attempts), nil
	}
	o, err := q.decodeOutcome(ctx, whole.Header, whole.Data)
	if err != nil {
		return nil, err
	}
	return spendsOf(o.Batch, o.Tenant, o.Attempts), nil
}
