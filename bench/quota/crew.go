package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/drover-batch/drover/bench/process"
	"github.com/drover-batch/drover/internal/audit"
)

// lease is short, so that what died with a worker is soon back.
const lease = 10 * time.Second

// crew is the fleet of one scene.
type crew struct {
	*rig
	scene    *scene
	name     string // begins the names of streams and keys
	provider *provider
	working  []*worker // the oldest first
	hired    int
	there    map[string]audit.Presence
	since    time.Time // when an outage ended or the limit changed; zero without
}

// worker is a worker process.
type worker struct {
	name string
	log  string
	proc *process.Child
}

// configure writes the configuration of a process.
func (c *crew) configure(who string) (file string, err error) {
	door, err := c.provider.door(who)
	if err != nil {
		return "", err
	}
	dir := c.folder(who)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	quota := "quotas: {}\n"
	switch {
	case c.scene.requests > 0:
		quota = fmt.Sprintf("quotas:\n  %s: {requests_per_minute: %d}\n", model, c.scene.requests)
	case c.scene.tokens > 0:
		quota = fmt.Sprintf("quotas:\n  %s: {tokens_per_minute: %d}\n", model, c.scene.tokens)
	}
	text := fmt.Sprintf("models:\n  %s: {provider: openai, base_url: \"http://%s/v1\", context: 8000, max_output: 200, price: {input: 1, output: 4}}\n", model, door) +
		fmt.Sprintf("chains:\n  default: [%s]\n", model) + quota + "breaker: {recovery: 3s}\n" +
		fmt.Sprintf("worker: {slots: %d, lease: %s, grace: 3s, data: %q, http: \"127.0.0.1:0\"}\n", c.slots(), lease, filepath.Join(dir, "data")) +
		fmt.Sprintf("queue: {prefix: %s, max_bytes: 64MiB}\n", c.name) +
		fmt.Sprintf("nats: {url: \"nats://%s\"}\nredis: {url: %q, prefix: %s}\n", c.nats, c.redis, c.name)
	file = filepath.Join(dir, "drover.yaml")
	return file, os.WriteFile(file, []byte(text), 0o600)
}

// slots of one worker are enough for the whole quota twice, as somebody may be
// gone: a call waits about a second for its turn.
func (c *crew) slots() int {
	return max(16, int(2*c.scene.perSecond()*(time.Second+c.scene.lasts()).Seconds())/c.scene.replicas)
}

// hire starts a worker.
func (c *crew) hire() error {
	c.hired++
	w := &worker{name: fmt.Sprint("w", c.hired)}
	file, err := c.configure(w.name)
	if err != nil {
		return err
	}
	w.log = filepath.Join(filepath.Dir(file), "log")
	cmd := exec.Command(c.programs.Path("worker"), "--config", file, "--log", "json")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
	if w.proc, err = c.children.Start(w.name, cmd, w.log); err != nil {
		return err
	}
	c.working = append(c.working, w)
	return nil
}

// ready waits until all workers are.
func (c *crew) ready() error {
	for _, w := range c.working {
		if _, known := c.there[w.name]; known {
			continue
		}
		if err := process.Until(30*time.Second, w.name+" works", func() bool { return process.Get(w.log, "/readyz") != "" }); err != nil {
			return err
		}
		c.there[w.name] = audit.Presence{From: time.Now(), To: time.Now().Add(time.Hour)}
	}
	return nil
}

// comeAndGo kills the oldest worker, or stops it in order, and has a new one
// take its place, or one come first.
func (c *crew) comeAndGo(ctx context.Context) error {
	var errs []error
	for n := 0; ; n++ {
		if process.Pause(ctx, 6*time.Second); ctx.Err() != nil {
			return errors.Join(errs...)
		}
		join := func() { errs = append(errs, c.hire(), c.ready()) }
		if n%3 == 2 {
			join()
		}
		old := c.working[0]
		c.working = c.working[1:]
		c.there[old.name] = audit.Presence{From: c.there[old.name].From, To: time.Now()}
		if n%3 == 0 {
			old.proc.Kill()
		} else {
			errs = append(errs, old.stop())
		}
		if n%3 != 2 {
			process.Pause(ctx, time.Second)
			join()
		}
	}
}

func (w *worker) stop() error { return w.proc.Stop(20 * time.Second) }

// close ends everything.
func (c *crew) close() error {
	for _, w := range c.working {
		w.proc.Kill()
	}
	if c.provider == nil {
		return nil
	}
	return c.provider.close()
}
