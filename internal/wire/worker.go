package wire

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/drover-batch/drover/answers"
	"github.com/drover-batch/drover/budget"
	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/internal/trace"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/pool"
	"github.com/drover-batch/drover/queue"
	"github.com/drover-batch/drover/resilience"
	"github.com/drover-batch/drover/tools"
)

// Parts is what a worker is made of.
type Parts struct {
	Config *config.Config
	Queue  *queue.Queue
	Redis  redis.UniversalClient

	// ID names this process among all workers, for ever.
	ID string

	// Client calls the models; nil makes one with a connection per slot.
	Client *http.Client

	// Spool is a folder, shared by processes, where answers wait on disk while
	// NATS is away, up to Config.Worker.Spool; empty keeps none there.
	Spool string

	// OnOutcome is told of every outcome this worker stored, OnWaste of
	// attempts that led to none; both may be nil.
	OnOutcome func(*jobs.Outcome)
	OnWaste   func([]jobs.Attempt)

	// OnAlert is told of every alert of a soft limit that this worker hands on;
	// may be nil.
	OnAlert func(budget.Alert)

	// Trace makes traces of what becomes of jobs; may be nil. Its instance is ID.
	Trace *trace.Tracer

	// DialTools connects to tool servers; default tools.Connect.
	DialTools func(ctx context.Context, name string, s tools.Server, note func(string)) (tools.Session, error)

	Log zerolog.Logger
}

// Worker takes jobs from the queue and answers them.
type Worker struct {
	Pool *pool.Pool

	parts     Parts
	ledger    *budget.Ledger
	gate      *resilience.Gate
	source    *queue.Source
	log       *queue.CallLog
	spool     *spool                // nil if there is none
	allowance *resilience.Allowance // nil if there is none
	chains    map[string]*resilience.Chain
	box       *tools.Box
	links     map[string]resilience.Link // by model
	prompts   prompts
	standards perBatch[*answers.Standard]
	resting   resilience.Recent // why batches rest

	calls      context.Context // ends when those on their way are cut short
	stopping   chan struct{}
	stop       sync.Once
	swept      time.Time // when sweep last looked
	unreached  time.Time // when the shared state could last not be asked
	toldBehind bool      // it was said that NATS is behind
	toldAway   bool      // it was said that Redis is away

	limits    map[string]string // that were set when heed last looked
	shortages *queue.Shortages
	webhook   *webhook // nil if there is none
}

// New puts a worker together. It reads the book if the shared state has lost
// its sums, which takes a while when there is much in it.
func New(ctx context.Context, p Parts) (_ *Worker, err error) {
	w := &Worker{parts: p, stopping: make(chan struct{}), shortages: p.Queue.Shortages()}
	w.Pool = &pool.Pool{OnOutcome: p.OnOutcome, Log: p.Log}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.spool.close())
		}
	}()
	if err := w.guards(); err != nil {
		return nil, err
	}
	if w.log, err = p.Queue.CallLog(ctx, p.ID, func(calls []string) { w.gate.Booked(calls...) }); err != nil {
		return nil, err
	}
	w.allow()
	if err := w.openSpool(ctx); err != nil {
		return nil, err
	}
	if err := w.open(ctx); err != nil {
		return nil, err
	}
	if err := w.models(); err != nil {
		return nil, err
	}
	if w.box, err = toolbox(p); err != nil {
		return nil, err
	}
	if w.webhook, err = newWebhook(p.Config); err != nil {
		return nil, err
	}
	if w.source, err = p.Queue.Source(p.ID); err != nil {
		return nil, err
	}
	if w.spool != nil {
		w.source.SpoolTo(w.spool.Spool)
	}
	if p.Trace != nil {
		p.Queue.OnEnded(p.Trace.Ended)
	}
	lending := &source{w.source, w.gate, w.log, p.OnWaste, p.Trace}
	w.Pool.Source, w.Pool.Newcomers = lending, lending.newcomers
	w.Pool.Handle, w.Pool.Pause = w.handle, p.Queue.PauseLent
	w.Pool.Slots, w.Pool.Grace = p.Config.Worker.Slots, max(1, p.Config.Worker.Grace) // a pool takes 0 for its default
	w.Pool.Longest = longest(p.Config)
	return w, nil
}

// longest is how long a job may be handled: twice what its chain takes if every
// call of it times out, and an hour at the least.
func longest(c *config.Config) time.Duration {
	most := time.Hour
	for name, chain := range c.Chains {
		took := c.Rails(name).Duration
		for _, name := range chain.Models {
			took += time.Duration(c.Retry.Tries)*(c.Models[name].Timeout+c.Retry.Max) + c.Retry.Patience
		}
		most = max(most, 2*took)
	}
	return most
}

// guards makes the gate and what it asks.
func (w *Worker) guards() error {
	c := w.parts.Config
	keys := lua.Keyspace(c.Redis.Prefix)
	var err error
	if w.ledger, err = budget.New(budget.Config{Keys: keys, Budgets: budgets(c), Lease: c.Worker.Lease}); err != nil {
		return fmt.Errorf("reading the budgets: %w", err)
	}
	breaker := resilience.NewBreaker(resilience.BreakerConfig{
		Keys:     keys,
		Failures: c.Breaker.Failures, Recovery: c.Breaker.Recovery, Probes: c.Breaker.Probes,
		Window: c.Breaker.Window, Volume: c.Breaker.Volume, Rate: c.Breaker.Rate,
	})
	limiter := resilience.NewLimiter(resilience.LimiterConfig{Keys: keys, Quotas: quotas(c), Patience: c.Retry.Patience})
	w.gate = resilience.NewGate(resilience.GateConfig{
		Redis: w.parts.Redis, Keys: keys, Worker: w.parts.ID,
		Guards:     []resilience.Guard{breaker, w.ledger, limiter},
		Lease:      c.Worker.Lease,
		Generation: func() uint64 { return w.log.Generation() },
		Rebuild:    w.rebuild,
		OnError:    func(err error) { w.parts.Log.Warn().Err(err).Msg("the gate") },
	})
	return nil
}

// open rebuilds the sums if they are missing, as at the very first start, or do
// without one of this worker's budgets.
func (w *Worker) open(ctx context.Context) error {
	script := w.gate.Script()
	epoch, err := script.Epoch(ctx, w.parts.Redis)
	if err != nil {
		return err
	}
	added, err := w.ledger.Announce(ctx, w.parts.Redis)
	if err != nil || epoch != "" && !added {
		return err
	}
	if epoch != "" {
		w.parts.Log.Info().Msg("a budget is new: what was spent is counted anew")
		if err := script.Shut(ctx, w.parts.Redis); err != nil {
			return err
		}
	}
	return w.rebuild(ctx)
}

func (w *Worker) rebuild(ctx context.Context) error {
	return w.ledger.Rebuild(ctx, w.parts.Redis, w.gate.Script(), records(ctx, w.parts.Queue))
}

// Run works until taking ends, then stops as pool.Run does. Whatever it
// returns, everything it started has ended.
func (w *Worker) Run(taking, working context.Context) error {
	var background sync.WaitGroup
	beating, stop := context.WithCancel(context.WithoutCancel(working))
	background.Go(func() { w.gate.Run(beating) })
	background.Go(func() { w.tend(beating) })
	background.Go(func() { w.handOnAlerts(beating) })
	background.Go(func() { w.parts.Queue.KeepRoom(beating, w.tellOfRoom) })
	background.Go(func() { w.spool.run(beating) })
	calls, cut := context.WithCancelCause(working)
	w.calls = calls
	release := context.AfterFunc(taking, func() {
		w.stop.Do(func() { close(w.stopping) })
		grace := time.AfterFunc(w.Pool.Grace, func() { cut(pool.ErrStopping) })
		context.AfterFunc(calls, func() { grace.Stop() })
	})

	allowed := w.allowing(working)
	w.Pool.Run(taking, working)
	allowed()
	w.box.Close()

	release()
	cut(nil)
	stop()
	background.Wait()
	w.handOnLast(working)
	w.tellLeft()
	w.log.Close(context.WithoutCancel(working))
	return errors.Join(w.source.Close(), w.spool.close())
}

// tellOfRoom says once that nothing can be stored, and once that it can again.
func (w *Worker) tellOfRoom(why error) {
	if why == nil {
		w.parts.Log.Info().Msg("NATS has room again: going on")
		return
	}
	w.parts.Log.Error().Err(why).Msg("no jobs are taken and no calls are made until there is room; answers that are there wait to be stored")
}

func budgets(c *config.Config) []budget.Budget {
	list := make([]budget.Budget, len(c.Budgets))
	for i, b := range c.Budgets {
		list[i] = budget.Budget{
			Name: b.Name, Tenant: b.Tenant, Model: b.Model,
			Window: budget.Window(b.Window), Location: b.Zone.Location(),
			Limit: b.Limit, AlertAt: b.AlertAt, CheaperAt: b.CheaperAt, WhenSpent: b.WhenSpent,
		}
	}
	return list
}

func quotas(c *config.Config) map[string]resilience.Quota {
	m := make(map[string]resilience.Quota, len(c.Quotas))
	for name, q := range c.Quotas {
		m[name] = resilience.Quota{RequestsPerMinute: q.Requests, TokensPerMinute: q.Tokens, Concurrent: q.Concurrent}
	}
	return m
}
