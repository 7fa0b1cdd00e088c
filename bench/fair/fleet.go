package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/drover-batch/drover/bench/process"
	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/llm/simulator"
)

// crew is what a section needs: workers, a provider and the queue.
type crew struct {
	name    string // begins the names of streams and keys
	workers int
	slots   int
	latency time.Duration
	rpm     int // requests a minute, 0 for no limit

	rig      *rig
	provider *process.Provider
	queue    *wire.Servers
	working  []*process.Child
}

// with runs what a crew does from its first process to its last.
func (r *rig) with(ctx context.Context, c crew, do func(context.Context, *crew) error) (err error) {
	c.rig = r
	sim := simulator.Config{Latency: c.latency, Spread: 0.2}
	if c.rpm > 0 {
		sim.Limits = map[string]simulator.Limit{"small": {RequestsPerMinute: c.rpm, Burst: 2 * time.Second}}
	}
	if c.provider, err = process.NewProvider(sim); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.provider.Close()) }()
	file, err := c.configure("observer")
	if err != nil {
		return err
	}
	settings, err := config.Load(config.Source{Path: file, Environ: []string{}})
	if err != nil {
		return err
	}
	if c.queue, err = wire.Connect(ctx, settings, true); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.queue.Close()) }()
	defer func() {
		for _, w := range c.working {
			w.Kill()
		}
	}()
	for i := range c.workers {
		if err := c.hire(fmt.Sprint("w", i+1)); err != nil {
			return err
		}
	}
	return do(ctx, &c)
}

func (c *crew) configure(who string) (file string, err error) {
	door, err := c.provider.Door(who)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(c.rig.dir, c.name, who)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	quota := ""
	if c.rpm > 0 {
		quota = fmt.Sprintf("quotas: {small: {requests_per_minute: %d}}\n", c.rpm)
	}
	text := fmt.Sprintf("models: {small: {provider: openai, base_url: \"http://%s/v1\", context: 8000, max_output: 200, price: {input: 1, output: 4}}}\n", door) +
		"chains: {default: [small]}\n" + quota +
		fmt.Sprintf("worker: {slots: %d, grace: 3s, data: %q, http: \"127.0.0.1:0\"}\n", c.slots, filepath.Join(dir, "data")) +
		fmt.Sprintf("queue: {prefix: %s, max_bytes: 256MiB}\n", c.name) +
		fmt.Sprintf("nats: {url: \"nats://%s\"}\nredis: {url: %q, prefix: %s}\n", c.rig.nats, c.rig.redis, c.name)
	file = filepath.Join(dir, "drover.yaml")
	return file, os.WriteFile(file, []byte(text), 0o600)
}

// hire starts a worker and waits until it works.
func (c *crew) hire(name string) error {
	file, err := c.configure(name)
	if err != nil {
		return err
	}
	log := filepath.Join(filepath.Dir(file), "log")
	cmd := exec.Command(c.rig.programs.Path("worker"), "--config", file, "--log", "json")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
	w, err := c.rig.children.Start(name, cmd, log)
	if err != nil {
		return err
	}
	c.working = append(c.working, w)
	return process.Until(time.Minute, name+" works", func() bool { return process.Get(log, "/readyz") != "" })
}

// submit enqueues a batch of short documents.
func (c *crew) submit(ctx context.Context, b jobs.Batch, n int) error {
	b.Name, b.Chain, b.Tenant = b.ID, "default", cmp.Or(b.Tenant, "acme")
	w, err := c.queue.Queue.Enqueue(ctx, &b)
	if err != nil {
		return err
	}
	for i := range n {
		if err := w.Add(ctx, fmt.Sprint(i), jobs.Document{Source: fmt.Sprint(i), Body: []byte("The parties agree on what follows.")}); err != nil {
			return err
		}
	}
	return w.Close(ctx)
}

// over waits for the end of a batch.
func (c *crew) over(ctx context.Context, batch string) error {
	for {
		p, err := c.queue.Queue.Progress(ctx, batch)
		if err == nil && p.Over() {
			return nil
		}
		if process.Pause(ctx, 50*time.Millisecond); ctx.Err() != nil {
			return errors.New("interrupted")
		}
	}
}

// ends is when a batch's jobs were answered, in order.
func (c *crew) ends(ctx context.Context, batch string) (all []time.Time, err error) {
	for o, err := range c.queue.Queue.Outcomes(ctx, batch) {
		if err != nil {
			return nil, err
		}
		if o.Status == jobs.Answered {
			all = append(all, o.Finished)
		}
	}
	slices.SortFunc(all, time.Time.Compare)
	return all, nil
}

// tenTake is how long a batch of ten jobs takes from its submission on.
func (c *crew) tenTake(ctx context.Context, b jobs.Batch) (time.Duration, error) {
	const n = 10
	began := time.Now()
	if err := c.submit(ctx, b, n); err != nil {
		return 0, err
	}
	if err := c.over(ctx, b.ID); err != nil {
		return 0, err
	}
	ends, err := c.ends(ctx, b.ID)
	if err != nil || len(ends) < n {
		return 0, errors.Join(err, fmt.Errorf("batch %s: %d of %d jobs were answered", b.ID, len(ends), n))
	}
	return ends[n-1].Sub(began), nil
}
