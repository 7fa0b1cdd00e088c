package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/bench/process"
	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/llm/simulator"
	"github.com/drover-batch/drover/resilience"
)

const (
	model    = "small"
	slots    = 4 // of a worker
	latency  = 500 * time.Millisecond
	recovery = 3 * time.Second
	failures = 5 // in a row that open a circuit: the default

	before = 5 * time.Second
	outage = 17 * time.Second // it ends in the middle of a round
	after  = 16 * time.Second
)

// fleet is workers, a provider that dies, and what becomes of them.
type fleet struct {
	dir, name   string
	size        int
	nats, redis string
	programs    *process.Programs
	children    *process.Children
	provider    *process.Provider
	logs        []string
}

// live is a fleet from its first process to its figures.
func (f *fleet) live(ctx context.Context) (_ figures, err error) {
	f.provider, err = process.NewProvider(simulator.Config{Latency: latency, Keep: 1 << 20})
	if err != nil {
		return figures{}, err
	}
	defer func() { err = errors.Join(err, f.provider.Close()) }()
	observer, err := f.configure("observer")
	if err != nil {
		return figures{}, err
	}
	settings, err := config.Load(config.Source{Path: observer, Environ: []string{}})
	if err != nil {
		return figures{}, err
	}
	servers, err := wire.Connect(ctx, settings, true)
	if err != nil {
		return figures{}, err
	}
	defer func() { err = errors.Join(err, servers.Close()) }()
	var crew []*process.Child
	defer func() {
		for _, w := range crew {
			w.Kill()
		}
	}()
	for i := range f.size {
		w, err := f.hire(fmt.Sprint("w", i+1))
		if err != nil {
			return figures{}, err
		}
		crew = append(crew, w)
	}
	for _, log := range f.logs {
		if err := process.Until(30*time.Second, "a worker works", func() bool { return process.Get(log, "/readyz") != "" }); err != nil {
			return figures{}, err
		}
	}
	if err := f.submit(ctx, servers); err != nil {
		return figures{}, err
	}
	return f.suffer(ctx, servers.Redis)
}

// suffer lets the model die and come back.
func (f *fleet) suffer(ctx context.Context, rdb redis.Cmdable) (figures, error) {
	process.Pause(ctx, before)
	if err := f.provider.SetFaults(nil, []simulator.Outage{{For: outage}}); err != nil {
		return figures{}, err
	}
	died := time.Now()
	var opened time.Time
	for opened.IsZero() && time.Since(died) < outage {
		all, err := resilience.Circuits(ctx, rdb, lua.Keyspace(f.name), model)
		if err != nil {
			return figures{}, err
		}
		if all[0].State == resilience.Open {
			opened = all[0].Since
		}
		process.Pause(ctx, 50*time.Millisecond)
	}
	process.Pause(ctx, time.Until(died.Add(outage+after)))
	if opened.IsZero() {
		return figures{}, fmt.Errorf("the circuit of %d workers did not open within %v", f.size, outage)
	}
	return measure(f.size, f.provider.Ledger(0), died, opened), nil
}

// configure writes the configuration of a process.
func (f *fleet) configure(who string) (file string, err error) {
	door, err := f.provider.Door(who)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(f.dir, f.name+"-"+who)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	text := fmt.Sprintf("models:\n  %s: {provider: openai, base_url: \"http://%s/v1\", context: 8000, max_output: 200, price: {input: 1, output: 4}}\n", model, door) +
		fmt.Sprintf("chains:\n  default: [%s]\nbreaker: {recovery: %s}\n", model, recovery) +
		fmt.Sprintf("worker: {slots: %d, lease: 10s, grace: 3s, data: %q, http: \"127.0.0.1:0\"}\n", slots, filepath.Join(dir, "data")) +
		fmt.Sprintf("queue: {prefix: %s, max_bytes: 64MiB}\n", f.name) +
		fmt.Sprintf("nats: {url: \"nats://%s\"}\nredis: {url: %q, prefix: %s}\n", f.nats, f.redis, f.name)
	file = filepath.Join(dir, "drover.yaml")
	return file, os.WriteFile(file, []byte(text), 0o600)
}

// hire starts a worker.
func (f *fleet) hire(name string) (*process.Child, error) {
	file, err := f.configure(name)
	if err != nil {
		return nil, err
	}
	log := filepath.Join(filepath.Dir(file), "log")
	f.logs = append(f.logs, log)
	cmd := exec.Command(f.programs.Path("worker"), "--config", file, "--log", "json")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
	return f.children.Start(name, cmd, log)
}

// submit enqueues more than the fleet can do.
func (f *fleet) submit(ctx context.Context, servers *wire.Servers) error {
	w, err := servers.Queue.Enqueue(ctx, &jobs.Batch{ID: "papers", Name: "papers", Tenant: "acme", Chain: "default"})
	if err != nil {
		return err
	}
	for i := range int(float64(f.size*slots) / latency.Seconds() * (before + outage + after).Seconds()) {
		body := fmt.Sprintf("# Paper %d\n\nThe parties agree on what follows.", i)
		if err := w.Add(ctx, fmt.Sprint(i), jobs.Document{Source: fmt.Sprint(i), Body: []byte(body)}); err != nil {
			return err
		}
	}
	return w.Close(ctx)
}
