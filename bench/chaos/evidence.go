package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/drover-batch/drover/budget"
	"github.com/drover-batch/drover/internal/audit"
	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/queue"
)

// gather collects what can be seen from outside: in NATS, in Redis, in the
// provider's ledger, and in what the processes wrote.
func (r *rig) gather(ctx context.Context, metrics []audit.Text) (*audit.Evidence, error) {
	e := &audit.Evidence{
		Rest: map[string]audit.Rest{}, Prices: map[string]jobs.Price{}, Budgets: r.budgets(),
		Ledger:  r.provider.Ledger(0),
		Quotas:  []audit.Quota{{Name: "small", Models: []string{"small"}, Requests: r.perMinute(), Burst: r.perMinute() / 30}},
		Secrets: []string{r.secrets.key, r.secrets.nats, r.secrets.redis}, Confidences: []string{r.secrets.phrase},
	}
	r.mu.Lock()
	e.Faults, e.Texts = r.faults, append(r.said, metrics...)
	r.mu.Unlock()
	for name, m := range r.config.Models {
		e.Prices[name] = *m.Price
	}
	ids := map[string]string{}
	for _, b := range r.batches {
		ids[b.name] = b.known()
		if err := r.gatherBatch(ctx, b, e); err != nil {
			return nil, err
		}
	}
	var err error
	if e.Unended, err = r.servers.Queue.OnRecord(ctx); err != nil {
		return nil, err
	}
	e.Outcomes = append(r.watch.replaced(e.Outcomes), e.Outcomes...)
	for _, s := range r.provider.Sent() {
		s.Job.Batch = ids[s.Job.Batch]
		e.Sent = append(e.Sent, s)
	}
	return e, r.gatherSums(ctx, e)
}

func (r *rig) gatherBatch(ctx context.Context, b *batch, e *audit.Evidence) error {
	q, id := r.servers.Queue, b.known()
	accepted := audit.Batch{ID: id, Tenant: b.tenant, Limit: b.limit}
	for i := range b.lines {
		accepted.Accepted = append(accepted.Accepted, fmt.Sprint(i))
	}
	e.Batches = append(e.Batches, accepted)
	for o, err := range q.Outcomes(ctx, id) {
		if err != nil {
			return err
		}
		m, err := r.stored(ctx, o)
		if err != nil {
			return err
		}
		e.Outcomes = append(e.Outcomes, audit.Outcome{Outcome: o, Stored: m.Time, Sequence: m.Sequence})
	}
	for w, err := range q.Wastes(ctx, id) {
		if err != nil {
			return err
		}
		e.Wastes = append(e.Wastes, w)
	}
	for l, err := range q.Dead(ctx, queue.DeadFilter{Batch: id}) {
		if err != nil {
			return err
		}
		e.Letters = append(e.Letters, l)
	}
	p, err := q.Progress(ctx, id)
	e.Rest[id] = audit.Rest{Total: p.Total, Queued: p.Queued, Unacknowledged: p.Running}
	return err
}

// stored is the message that holds an outcome.
func (r *rig) stored(ctx context.Context, o *jobs.Outcome) (*jetstream.RawStreamMsg, error) {
	m, err := r.watch.stream.GetLastMsgForSubject(ctx, r.config.Queue.Prefix+".outcomes."+o.Batch+"."+string(o.Job))
	if err != nil {
		return nil, fmt.Errorf("looking for the outcome of %s/%s: %w", o.Batch, o.CustomID, err)
	}
	return m, nil
}

func (r *rig) budgets() []budget.Budget {
	list := make([]budget.Budget, len(r.config.Budgets))
	for i, b := range r.config.Budgets {
		list[i] = budget.Budget{Name: b.Name, Tenant: b.Tenant, Model: b.Model, Limit: b.Limit, WhenSpent: b.WhenSpent}
	}
	return list
}

func (r *rig) gatherSums(ctx context.Context, e *audit.Evidence) error {
	ledger, err := budget.New(budget.Config{Keys: lua.Keyspace(r.config.Redis.Prefix), Budgets: r.budgets()})
	if err != nil {
		return err
	}
	if e.Sums, err = ledger.Sums(ctx, r.redis.client); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(r.dir, "logs", "*.log"))
	if err != nil {
		return err
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".log")
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		e.Texts = append(e.Texts, audit.Text{Name: "the log of " + name, Text: string(data)})
	}
	return nil
}
