package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/drover-batch/drover/budget"
	"github.com/drover-batch/drover/internal/audit"
	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/queue"
)

// gather collects what can be seen from outside: in NATS, in Redis and in the
// provider's ledger.
func (f *fleet) gather(ctx context.Context, batches []*batch, faults []audit.Fault) (*audit.Evidence, error) {
	e := &audit.Evidence{
		Rest: map[string]audit.Rest{}, Prices: map[string]jobs.Price{"small": *f.config.Models["small"].Price},
		Ledger: f.provider.Ledger(0), Faults: faults,
	}
	var err error
	if e.Unended, err = f.seen.Queue.OnRecord(ctx); err != nil {
		return nil, err
	}
	ids := map[string]string{}
	for _, b := range batches {
		ids[b.name] = b.id
		if err := f.gatherBatch(ctx, b, e); err != nil {
			return nil, err
		}
	}
	for _, s := range f.provider.Sent() {
		s.Job.Batch = ids[s.Job.Batch]
		e.Sent = append(e.Sent, s)
	}
	ledger, err := budget.New(budget.Config{Keys: lua.Keyspace(f.config.Redis.Prefix)})
	if err != nil {
		return nil, err
	}
	e.Sums, err = ledger.Sums(ctx, f.seen.Redis)
	return e, err
}

func (f *fleet) gatherBatch(ctx context.Context, b *batch, e *audit.Evidence) error {
	q := f.seen.Queue
	accepted := audit.Batch{ID: b.id, Tenant: "default"}
	for i := range b.docs {
		accepted.Accepted = append(accepted.Accepted, fmt.Sprint(i))
	}
	e.Batches = append(e.Batches, accepted)
	js, err := jetstream.New(f.seen.NATS)
	if err != nil {
		return err
	}
	stream, err := js.Stream(ctx, "DROVER_OUTCOMES")
	if err != nil {
		return err
	}
	for o, err := range q.Outcomes(ctx, b.id) {
		if err != nil {
			return err
		}
		m, err := stream.GetLastMsgForSubject(ctx, f.config.Queue.Prefix+".outcomes."+o.Batch+"."+string(o.Job))
		if err != nil {
			return fmt.Errorf("looking for the outcome of %s/%s: %w", b.name, o.CustomID, err)
		}
		e.Outcomes = append(e.Outcomes, audit.Outcome{Outcome: o, Stored: m.Time, Sequence: m.Sequence})
	}
	for w, err := range q.Wastes(ctx, b.id) {
		if err != nil {
			return err
		}
		e.Wastes = append(e.Wastes, w)
	}
	for l, err := range q.Dead(ctx, queue.DeadFilter{Batch: b.id}) {
		if err != nil {
			return err
		}
		e.Letters = append(e.Letters, l)
	}
	p, err := q.Progress(ctx, b.id)
	if errors.Is(err, queue.ErrNoBatch) {
		return nil // NATS has forgotten it: the audit says what is missing
	}
	e.Rest[b.id] = audit.Rest{Total: p.Total, Queued: p.Queued, Unacknowledged: p.Running}
	return err
}
