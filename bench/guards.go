package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nuid"

	"github.com/drover-batch/drover/budget"
	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/resilience"
)

// guards is what asking the guards costs: a job asks once and tells once.
func (b *bench) guards(ctx context.Context) error {
	b.table.heading("the guards alone: breaker, limiter and a ledger of three accounts, asked and told for each job")
	for _, k := range b.kinds(realSynced, realUnsynced, embeddedOnes) {
		for _, slots := range b.most([]int{1, 64, 256}) {
			n := b.fewer(40_000, 4_000)
			if slots == 1 {
				n /= 20
			}
			best, err := b.best(ctx, b.side(k, nil, task{Role: "guards", Jobs: n, Slots: slots}))
			if err != nil {
				return err
			}
			r := best[0].Answered
			b.table.add(row{fmt.Sprintf("%d in flight, %s", slots, k), perSecond(r, "jobs"), r,
				fmt.Sprintf("%.3f Redis calls a job", float64(best[0].Calls)/float64(n))})
			if k == realSynced && slots == 64 {
				b.table.reached(aimGuards, r.cpuEach())
			}
		}
	}
	return nil
}

// playGuards has as many callers as slots enter and leave the gate.
func playGuards(ctx context.Context, t *task, out *json.Encoder) (err error) {
	s, err := open(ctx, t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	gate, err := s.gate()
	if err != nil {
		return err
	}
	beating, stop := context.WithCancel(ctx)
	s.running.Go(func() { gate.Run(beating) })
	s.stop = stop

	model := s.config.Models["bench"]
	if err := s.pass(ctx, gate, &model); err != nil { // opens the gate
		return err
	}
	end, err := profile(t.Profile)
	if err != nil {
		return err
	}
	s.calls.Store(0)
	s.meter.begin()
	var callers sync.WaitGroup
	var taken atomic.Int64
	var once sync.Once
	for range t.Slots {
		callers.Go(func() {
			for taken.Add(1) <= int64(t.Jobs) {
				if wrong := s.pass(ctx, gate, &model); wrong != nil {
					once.Do(func() { err = wrong })
					return
				}
			}
		})
	}
	callers.Wait()
	if err != nil {
		return err
	}
	r := &report{Answered: s.meter.end(t.Jobs), Calls: int(s.calls.Load())}
	end()
	return out.Encode(r)
}

// gate is made as a worker makes it.
func (s *subject) gate() (*resilience.Gate, error) {
	keys := lua.Keyspace("drover")
	ledger, err := budget.New(budget.Config{Keys: keys, Budgets: []budget.Budget{
		{Tenant: "bench", Window: budget.Month, Limit: 1_000_000_000_000},
		{Model: "bench", Window: budget.Day, Limit: 1_000_000_000_000},
	}})
	if err != nil {
		return nil, err
	}
	quotas := map[string]resilience.Quota{"bench": {RequestsPerMinute: 100_000_000, TokensPerMinute: 1_000_000_000_000, Concurrent: 100_000}}
	var gate *resilience.Gate
	nothing := func(func(jobs.Spend, error) bool) {}
	gate = resilience.NewGate(resilience.GateConfig{
		Redis: s.servers.Redis, Keys: keys, Worker: "bench",
		Rebuild: func(ctx context.Context) error {
			return ledger.Rebuild(ctx, s.servers.Redis, gate.Script(), budget.Records{Book: nothing})
		},
		Guards: []resilience.Guard{
			resilience.NewBreaker(resilience.BreakerConfig{Keys: keys}),
			ledger,
			resilience.NewLimiter(resilience.LimiterConfig{Keys: keys, Quotas: quotas}),
		},
	})
	return gate, nil
}

// pass is one call: in and out again, answered.
func (s *subject) pass(ctx context.Context, gate *resilience.Gate, m *jobs.Model) error {
	id := nuid.Next()
	call := &jobs.Call{
		ID: id, Worker: "bench", Job: jobs.ID(id), Run: 1, Batch: "bench", Tenant: "bench",
		Limit: 1_000_000_000_000, Model: m, Input: 200, Output: 256, Worst: 150,
	}
	pass, err := gate.Enter(ctx, call)
	if err != nil {
		return err
	}
	if pass.Refusal != nil {
		return fmt.Errorf("refused by the %s: %s", pass.Refusal.Guard, pass.Refusal.Reason)
	}
	return gate.Leave(ctx, call, &jobs.Attempt{
		Call: id, Run: 1, Model: m.Name, Started: time.Now(),
		Usage: jobs.Usage{Input: 100, Output: 10}, Billing: jobs.Billed, Cost: 14,
	})
}
