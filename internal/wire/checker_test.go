package wire

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/drover-batch/drover/budget"
	"github.com/drover-batch/drover/internal/audit"
	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/jobs"
)

// check waits until the world is at rest, ends the workers in order and has
// what Drover promises verified.
func (w *world) check() {
	w.Helper()
	if len(w.names()) == 0 {
		w.start("last")
	}
	time.Sleep(w.config.Worker.Lease * 3 / 2) // what died with its worker lapses
	w.stop(slices.Sorted(maps.Keys(w.names()))...)
	w.start("auditor") // who rebuilds the sums if they were lost after the last call
	time.Sleep(w.config.Worker.Lease * 3 / 2)
	w.stop("auditor")
	found := audit.Examine(w.look().Evidence)
	told := map[audit.Job]bool{}
	for _, o := range found.Objections {
		w.Error(o)
		if !told[o.Job] && len(told) < 3 {
			told[o.Job] = true
			w.Log(found.Story(o.Job))
		}
	}
}

// evidence is what can be seen of a world from outside.
type evidence struct {
	*audit.Evidence
	sums map[string]budget.Sum // by account
}

// look gathers the evidence.
func (w *world) look() evidence {
	w.Helper()
	e := evidence{&audit.Evidence{
		Rest: map[string]audit.Rest{}, Prices: map[string]jobs.Price{}, Budgets: budgets(w.config),
		Ledger: w.provider.ours(), Faults: w.faults(),
	}, map[string]budget.Sum{}}
	for name, m := range w.config.Models {
		e.Prices[name] = *m.Price
	}
	var err error
	e.Unended, err = w.client.Queue.OnRecord(w.ctx)
	w.must(err)
	w.provider.mu.Lock()
	for _, s := range w.provider.calls {
		batch, id, _ := strings.Cut(s.job, "/")
		e.Sent = append(e.Sent, audit.Sent{At: s.at, Worker: s.worker, Job: audit.Job{Batch: batch, ID: id}, Prompt: s.prompt})
	}
	w.provider.mu.Unlock()
	for batch := range w.accepted {
		w.lookAt(batch, e)
	}
	ledger, err := budget.New(budget.Config{Keys: lua.Keyspace(w.config.Redis.Prefix), Budgets: budgets(w.config)})
	w.must(err)
	e.Sums, err = ledger.Sums(w.ctx, w.client.Redis)
	w.must(err)
	for _, s := range e.Sums {
		e.sums[s.Account] = s
	}
	for name, q := range w.config.Quotas {
		if q.Requests > 0 {
			e.Quotas = append(e.Quotas, w.quota(name, int(q.Requests)))
		}
	}
	return e
}

// lookAt gathers what the broker has of a batch.
func (w *world) lookAt(batch string, e evidence) {
	w.Helper()
	js, err := jetstream.New(w.client.NATS)
	w.must(err)
	stream, err := js.Stream(w.ctx, strings.ToUpper(w.config.Queue.Prefix)+"_OUTCOMES")
	w.must(err)
	b, err := w.client.Queue.Batch(w.ctx, batch)
	w.must(err)
	e.Batches = append(e.Batches, audit.Batch{ID: batch, Tenant: b.Tenant, Limit: b.Budget, Accepted: w.accepted[batch]})
	for o, err := range w.client.Queue.Outcomes(w.ctx, batch) {
		w.must(err)
		m, err := stream.GetLastMsgForSubject(w.ctx, w.config.Queue.Prefix+".outcomes."+batch+"."+string(o.Job))
		w.must(err)
		e.Outcomes = append(e.Outcomes, audit.Outcome{Outcome: o, Stored: m.Time, Sequence: m.Sequence})
	}
	for waste, err := range w.client.Queue.Wastes(w.ctx, batch) {
		w.must(err)
		e.Wastes = append(e.Wastes, waste)
	}
	for _, l := range w.letters(batch) {
		e.Letters = append(e.Letters, l)
	}
	p := w.progress(batch)
	e.Rest[batch] = audit.Rest{Total: p.Total, Queued: p.Queued, Unacknowledged: p.Running}
}

// faults are all that was done to the world.
func (w *world) faults() []audit.Fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	faults := slices.Concat(w.done, w.broker.outages)
	for _, m := range w.everyone {
		if !m.died.IsZero() {
			faults = append(faults, audit.Fault{Kind: audit.Kill, Worker: m.name, From: m.died, To: m.died})
		}
	}
	if w.away {
		faults = append(faults, audit.Fault{Kind: audit.Redis, From: w.since, To: time.Now()})
	}
	return faults
}

// note remembers a fault for the checker.
func (w *world) note(f audit.Fault) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.done = append(w.done, f)
}

// quota is one of the configuration, used by the models that name it. The
// fleet begins with two seconds' worth at once at the most.
func (w *world) quota(name string, requests int) audit.Quota {
	q := audit.Quota{Name: name, Requests: requests, Burst: max(len(w.everyone), requests/30)}
	if w.config.Worker.Allowance > 0 { // each goes at its own pace while Redis is away
		q.Burst += requests / 10
	}
	for model, m := range w.config.Models {
		if m.Quota == name {
			q.Models = append(q.Models, model)
		}
	}
	return q
}
