package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/drover-batch/drover/bench/process"
	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/llm/simulator"
)

const (
	crew  = 2  // workers
	slots = 32 // of each
)

// fleet is everything that runs in one trial.
type fleet struct {
	*servers
	provider *process.Provider
	workers  []*worker
	file     string // configuration of enqueue, and of this process
	config   *config.Config
	seen     *wire.Servers // connections of this process

	mu      sync.Mutex
	submits []*child // that run now
}

// worker is a worker process and what it is called in the evidence.
type worker struct {
	name, file, log string
	proc            *child
}

// open starts the servers and lays out the streams.
func (r *rig) open(ctx context.Context, dir string, what how) (_ *fleet, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f := &fleet{servers: &servers{rig: r, dir: dir, how: what}}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.close())
		}
	}()
	if what == crammed {
		f.disk, err = newMemory(filepath.Join(dir, "disk"), memory)
	} else {
		f.disk, err = newXFS(filepath.Join(dir, "disk"))
	}
	if err == nil {
		err = f.layOut()
	}
	if err == nil {
		err = errors.Join(f.startRedis(), f.startNATS())
	}
	if err == nil {
		f.provider, err = process.NewProvider(simulator.Config{Seed: r.seed, Latency: 150 * time.Millisecond, Spread: 0.5, Keep: 1 << 20})
	}
	if err != nil {
		return f, err
	}
	for i := range crew {
		name := fmt.Sprint("w", i+1)
		w := &worker{name: name, log: filepath.Join(dir, name+".log")}
		if w.file, err = f.configure(name); err != nil {
			return f, err
		}
		f.workers = append(f.workers, w)
	}
	if f.file, err = f.configure("enqueue"); err != nil {
		return f, err
	}
	if f.config, err = config.Load(config.Source{Path: f.file, Environ: []string{}}); err != nil {
		return f, err
	}
	f.seen, err = wire.Connect(ctx, f.config, true)
	return f, err
}

// configure writes the configuration of a process that has a door of its own
// to the provider.
func (f *fleet) configure(name string) (file string, err error) {
	door, err := f.provider.Door(name)
	if err != nil {
		return "", err
	}
	file = filepath.Join(f.dir, name+".yaml")
	text := fmt.Sprintf("models:\n  small: {provider: simulator, base_url: \"http://%s/v1\", context: 100000, max_output: 50, price: {input: 1, output: 4}}\n", door) +
		fmt.Sprintf("worker: {slots: %d, lease: 10s, data: %q, http: \"127.0.0.1:0\"}\n", slots, filepath.Join(f.dir, name)) +
		fmt.Sprintf("queue: {max_bytes: %s}\n", map[bool]string{true: "16MiB", false: "1GiB"}[f.how == crammed]) +
		fmt.Sprintf("nats: {url: \"nats://127.0.0.1:%s\", monitor: \"http://127.0.0.1:%s\"}\nredis: {url: \"redis://127.0.0.1:%s\"}\n", f.natsPort, f.monitorPort, f.redisPort)
	return file, os.WriteFile(file, []byte(text), 0o600)
}

// close ends everything there is, in whatever state it is.
func (f *fleet) close() error {
	for _, w := range f.workers {
		w.proc.kill()
	}
	f.mu.Lock()
	submits := f.submits
	f.mu.Unlock()
	for _, c := range submits {
		c.kill()
	}
	if f.seen != nil {
		_ = f.seen.Close()
	}
	f.nats.kill()
	f.redis.kill()
	if f.provider != nil {
		_ = f.provider.Close()
	}
	if f.disk == nil {
		return nil
	}
	return f.disk.free()
}

// hire starts a worker and waits until it works.
func (f *fleet) hire(w *worker) (err error) {
	cmd := exec.Command(f.rig.program("worker"), "--config", w.file, "--log", "json")
	if w.proc, err = start(cmd, w.log); err != nil {
		return err
	}
	return until(30*time.Second, w.name+" works", func() bool { return w.get("/readyz") == "ready\n" })
}

var address = regexp.MustCompile(`"address":"([^"]+)"`)

// get asks the newest process of the worker something, "" if it does not
// answer or says that it is not well.
func (w *worker) get(path string) string {
	data, err := os.ReadFile(w.log)
	if err != nil {
		return ""
	}
	all := address.FindAllSubmatch(data, -1)
	if len(all) == 0 {
		return ""
	}
	client := http.Client{Timeout: 3 * time.Second}
	res, err := client.Get("http://" + string(all[len(all)-1][1]) + path)
	if err != nil {
		return ""
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil || res.StatusCode != http.StatusOK {
		return ""
	}
	return string(body)
}

// batch is one that enqueue submits.
type batch struct {
	name string
	docs []string      // lines of its JSONL
	each time.Duration // between two of them
	id   string        // known once it is in
}

func newBatch(name string, n, filler int, takes time.Duration) *batch {
	b := &batch{name: name, each: takes / time.Duration(n)}
	for i := range n {
		line, _ := json.Marshal(map[string]string{ // strings always encode
			"custom_id": fmt.Sprint(i),
			"text":      fmt.Sprintf("# Paper %d\n\n@%s/%d@ The parties agree on what follows. %s", i, name, i, strings.Repeat("x", filler)),
		})
		b.docs = append(b.docs, string(line))
	}
	return b
}

// submit has enqueue put a batch into the queue. Interrupted, the same command
// is run again, as a user would.
func (f *fleet) submit(ctx context.Context, b *batch) error {
	began := time.Now()
	for range 30 {
		out, err := f.feed(ctx, b, began)
		var in struct{ Batch string }
		if err == nil {
			if err := json.Unmarshal(out, &in); err != nil {
				return fmt.Errorf("reading what enqueue says of batch %s: %w: %s", b.name, err, out)
			}
			b.id = in.Batch
			return nil
		}
		if process.Pause(ctx, time.Second); ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return fmt.Errorf("batch %s could not be submitted, see enqueue.log", b.name)
}

// feed runs enqueue once. Lines are due one by one; what was due before comes
// at once.
func (f *fleet) feed(ctx context.Context, b *batch, began time.Time) ([]byte, error) {
	var out bytes.Buffer
	cmd := exec.Command(f.rig.program("enqueue"), "--config", f.file, "--json", "submit", "-", "--format", "jsonl",
		"--name", b.name, "--prompt", "Summarise this:\n\n{{.text}}")
	cmd.Stdout = &out
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	c, err := start(cmd, filepath.Join(f.dir, "enqueue.log"))
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	f.submits = append(f.submits, c)
	f.mu.Unlock()
	for i, line := range b.docs {
		if i%50 == 0 {
			process.Pause(ctx, b.each*time.Duration(i)-time.Since(began))
		}
		if _, err := io.WriteString(in, line+"\n"); err != nil {
			break // it has ended
		}
	}
	_ = in.Close()
	select {
	case <-c.done:
	case <-ctx.Done():
		c.kill()
	}
	return out.Bytes(), c.err
}
