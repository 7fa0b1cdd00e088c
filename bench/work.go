package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/rs/zerolog"

	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/jobs"
)

// configuration has every guard at work and none in the way: a quota, a
// circuit, and three accounts for each call.
const configuration = `
models:
  bench: {provider: simulator, base_url: %q, context: 128000, max_output: 256, price: {input: 0.1, output: 0.4}}
quotas:
  bench: {requests_per_minute: 100000000, tokens_per_minute: 1000000000000, concurrent: 100000}
chains:
  default: [bench]
budgets:
  - {tenant: bench, window: month, limit: 1000000}
  - {model: bench, window: day, limit: 1000000}
worker: {slots: %d, data: %q, http: off}
nats: {url: %q}
redis: {url: %q}
`

// config writes the configuration to a file and reads it as a worker does.
func (t *task) config() (*config.Config, error) {
	model := t.Model
	if model == "" {
		model = "http://127.0.0.1:9/v1" // never called
	}
	path := filepath.Join(t.Data, "drover.yaml")
	text := fmt.Sprintf(configuration, model, t.Slots, t.Data, t.NATS, t.Redis)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("writing the configuration: %w", err)
	}
	return config.Load(config.Source{Path: path, Environ: []string{}})
}

func (t *task) servers(ctx context.Context, c *config.Config) (*wire.Servers, error) {
	if t.NATS == "" {
		return wire.Embed(ctx, c, false)
	}
	return wire.Connect(ctx, c, true)
}

// subject is a worker process being measured.
type subject struct {
	*task
	config  *config.Config
	servers *wire.Servers
	meter   *meter
	gaps    gaps
	done    chan *jobs.Outcome
	calls   atomic.Int64 // round trips to Redis
	own     *http.Client // instead of the task's; may be nil

	worker  *wire.Worker
	taking  context.Context
	stop    context.CancelFunc
	running sync.WaitGroup
	failed  error // of the worker, once it has stopped
}

// open starts or connects to the servers.
func open(ctx context.Context, t *task) (*subject, error) {
	c, err := t.config()
	if err != nil {
		return nil, err
	}
	wire.SpareCollector() // as a worker does
	servers, err := t.servers(ctx, c)
	if err != nil {
		return nil, err
	}
	s := &subject{task: t, config: c, servers: servers, meter: newMeter(t.Others), done: make(chan *jobs.Outcome, 1024)}
	servers.Redis.AddHook(counting{&s.calls})
	return s, nil
}

// begin puts a worker to work.
func (s *subject) begin(ctx context.Context) error {
	if err := s.prepare(ctx); err != nil {
		return err
	}
	s.run(ctx)
	return nil
}

// prepare makes a worker.
func (s *subject) prepare(ctx context.Context) (err error) {
	if s.own == nil {
		s.own = s.client()
	}
	s.taking, s.stop = context.WithCancel(ctx)
	s.worker, err = wire.New(ctx, wire.Parts{
		Config: s.config, Queue: s.servers.Queue, Redis: s.servers.Redis,
		ID: wire.ProcessID(), Client: s.own, Log: zerolog.New(os.Stderr).Level(zerolog.WarnLevel),
		OnOutcome: func(o *jobs.Outcome) {
			s.gaps.note(time.Now())
			select {
			case s.done <- o:
			case <-s.taking.Done(): // nobody listens any more
			}
		},
	})
	return err
}

func (s *subject) run(ctx context.Context) {
	s.running.Go(func() { s.failed = s.worker.Run(s.taking, context.WithoutCancel(ctx)) })
}

// close stops the worker and lets go of the servers.
func (s *subject) close() error {
	if s.stop != nil {
		s.stop()
	}
	s.running.Wait()
	return errors.Join(s.failed, s.servers.Close())
}

// fill enqueues a batch of so many small jobs.
func (s *subject) fill(ctx context.Context, name string, n int) error {
	w, err := s.servers.Queue.Enqueue(ctx, &jobs.Batch{
		ID: name, Name: name, Tenant: "bench", Chain: "default",
		Prompt: "When does the agreement end?\n\n{{.Text}}", Budget: 1_000_000_000_000,
	})
	if err != nil {
		return err
	}
	body := bytes.Repeat([]byte("The agreement ends on the last day. "), s.Body/36+1)[:s.Body]
	for i := range n {
		id := fmt.Sprintf("document-%07d.txt", i)
		if err := w.Add(ctx, id, jobs.Document{Source: id, Body: body}); err != nil {
			return err
		}
	}
	return w.Close(ctx)
}

// await takes the outcomes of n jobs; each is told of every one.
func (s *subject) await(ctx context.Context, n int, each func(done int)) error {
	idle := time.NewTimer(time.Minute)
	defer idle.Stop()
	for done := 1; done <= n; done++ {
		idle.Reset(time.Minute)
		select {
		case o := <-s.done:
			if o.Status != jobs.Answered {
				return fmt.Errorf("a job ended %s: %s", o.Status, o.Reason)
			}
			each(done)
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-idle.C:
			return fmt.Errorf("nothing has come for a minute after %d of %d jobs", done-1, n)
		}
	}
	return nil
}

// playWork enqueues jobs and answers them.
func playWork(ctx context.Context, t *task, out *json.Encoder) (err error) {
	s, err := open(ctx, t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	r := &report{}
	s.meter.begin()
	if err := s.fill(ctx, "bench", t.Jobs); err != nil {
		return err
	}
	r.Enqueued = s.meter.end(t.Jobs)
	if t.Measure {
		r.Samples = append(r.Samples, s.sample(0))
	}
	stop, err := profile(t.Profile)
	if err != nil {
		return err
	}
	s.meter.begin()
	s.calls.Store(0)
	if err := s.begin(ctx); err != nil {
		return err
	}
	err = s.await(ctx, t.Jobs, func(done int) {
		if t.Measure && (done%((t.Jobs+3)/4) == 0 || done == t.Jobs) {
			r.Samples = append(r.Samples, s.sample(done))
		}
	})
	if err == nil {
		err = s.forgotten(ctx)
	}
	if err != nil {
		return err
	}
	r.Answered = s.meter.end(t.Jobs)
	r.Calls, r.Gap = int(s.calls.Load()), s.gaps.longest
	stop()
	return out.Encode(r)
}

// forgotten waits until the broker has taken away every job: acknowledgements
// are sent and not waited for, and it may be far behind with them.
func (s *subject) forgotten(ctx context.Context) error {
	for {
		n, err := s.servers.Queue.Backlog(ctx)
		if err != nil || n == 0 {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (s *subject) sample(done int) sample {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return sample{Done: done, Heap: m.HeapAlloc, RSS: s.meter.resident(), Disk: diskOf(s.Data)}
}

// profile begins a CPU profile if a file is named for it.
func profile(path string) (stop func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("profiling: %w", err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, errors.Join(fmt.Errorf("profiling: %w", err), f.Close())
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close()
	}, nil
}

// counting counts the round trips of a Redis client.
type counting struct{ calls *atomic.Int64 }

// DialHook implements redis.Hook.
func (counting) DialHook(next redis.DialHook) redis.DialHook {
	return func(ctx context.Context, network, addr string) (net.Conn, error) { return next(ctx, network, addr) }
}

// ProcessHook implements redis.Hook.
func (c counting) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.calls.Add(1)
		return next(ctx, cmd)
	}
}

// ProcessPipelineHook implements redis.Hook.
func (c counting) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		c.calls.Add(1)
		return next(ctx, cmds)
	}
}
