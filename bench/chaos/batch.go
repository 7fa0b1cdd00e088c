package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/drover-batch/drover/bench/process"
	"github.com/drover-batch/drover/internal/audit"
	"github.com/drover-batch/drover/jobs"
)

// share is which part of all jobs, in percent, is in which batch: one is plain
// and its dead letters are replayed; two has a budget that it keeps to and
// three one that it does not; four may be cancelled; metered belongs to a
// tenant with a budget; and six is fed slowly, by an enqueuer that is killed.
var share = map[string]int{"one": 35, "two": 15, "three": 15, "four": 10, "metered": 10, "six": 15}

// batch is one that enqueue submits.
type batch struct {
	name, tenant string
	limit        jobs.USD
	flags        []string
	lines        []string      // of its JSONL
	each         time.Duration // between two lines

	mu   sync.Mutex
	id   string        // known once it is submitted
	proc *exec.Cmd     // that enqueues it now
	hold chan struct{} // closed when the next may start; nil if it may
}

// layOutBatches makes the batches of a round.
func (r *rig) layOutBatches(round int) {
	r.current = map[string]*batch{}
	for special, percent := range share {
		n := max(5, r.total()*percent/100)
		b := &batch{name: special, tenant: "acme"}
		if r.soak {
			b.name = fmt.Sprintf("%s-%d", special, round)
		}
		filler := ""
		switch special {
		case "two":
			b.limit = typical * jobs.USD(100*n)
		case "three":
			b.limit, b.flags = typical*jobs.USD(n)/2, []string{"--when-spent", "bury", "--chain", "cheap"}
		case "metered":
			b.tenant, b.flags = "metered", []string{"--chain", "cheap"}
		case "six": // whose groups are full after a few documents
			filler = strings.Repeat("Whereas the parties have met and talked at length. ", 250)
			b.each = r.round() * 6 / 10 / time.Duration(n)
		}
		if b.limit > 0 {
			b.flags = append(b.flags, "--budget", strings.TrimPrefix(b.limit.String(), "$"))
		}
		for i := range n {
			line, _ := json.Marshal(map[string]string{ // strings always encode
				"custom_id": fmt.Sprint(i),
				"text":      fmt.Sprintf("# Paper %d\n\n@%s/%d@ The parties agree on what follows. %sBut %s.", i, b.name, i, filler, r.secrets.phrase),
			})
			b.lines = append(b.lines, string(line))
		}
		r.batches = append(r.batches, b)
		r.current[special] = b
	}
}

// submitAll enqueues batches side by side and returns when all are in.
func (r *rig) submitAll(ctx context.Context, batches map[string]*batch) error {
	errs := make(chan error, len(batches))
	for _, b := range batches {
		go func() { errs <- r.submit(ctx, b) }()
	}
	var all []error
	for range batches {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

// submit has enqueue put a batch into the queue, again and again until it says
// that it is in.
func (r *rig) submit(ctx context.Context, b *batch) error {
	args := append([]string{
		"--config", r.enqueuer.file, "--json", "submit", "-", "--format", "jsonl", "--name", b.name, "--tenant", b.tenant,
		"--prompt", "Summarise this:\n\n{{.text}}\n\nRemember that " + r.secrets.phrase + ".",
	}, b.flags...)
	began := time.Now()
	for {
		out, err := r.feed(ctx, b, args, began)
		var in struct{ Batch string }
		if err == nil {
			if err := json.Unmarshal(out, &in); err != nil {
				return fmt.Errorf("reading what enqueue says of batch %s: %w: %s", b.name, err, out)
			}
			b.finish(in.Batch)
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		r.mu.Lock()
		r.submits++
		r.mu.Unlock()
		process.Pause(ctx, 500*time.Millisecond)
	}
}

// feed runs enqueue once. Lines are due one by one; what was due before comes
// at once, again.
func (r *rig) feed(ctx context.Context, b *batch, args []string, began time.Time) ([]byte, error) {
	b.mu.Lock()
	hold := b.hold
	b.mu.Unlock()
	if hold != nil {
		<-hold
	}
	var out bytes.Buffer
	cmd := exec.Command(r.programs.Path("enqueue"), args...)
	cmd.Env, cmd.Stdout, cmd.Dir = r.secrets.environ(), &out, filepath.Dir(r.enqueuer.file)
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	b.mu.Lock()
	proc, err := r.children.Start("enqueue "+b.name, cmd, r.logOf("enqueue"))
	if err == nil {
		b.proc = cmd
	}
	b.mu.Unlock()
	if err != nil {
		return nil, err
	}
	for i, line := range b.lines {
		if wait := b.each*time.Duration(i) - time.Since(began); wait > 0 {
			process.Pause(ctx, wait)
		}
		if _, err := io.WriteString(in, line+"\n"); err != nil {
			break // it has ended
		}
	}
	_ = in.Close()
	<-proc.Done
	return out.Bytes(), proc.Err
}

func (b *batch) finish(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.id = id
}

func (b *batch) known() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.id
}

// interrupt kills who enqueues the batch, and keeps the next away for a while.
// It reports whether there was anybody to kill.
func (b *batch) interrupt(ctx context.Context, d time.Duration) bool {
	b.mu.Lock()
	if b.id != "" || b.proc == nil || b.hold != nil {
		b.mu.Unlock()
		return false
	}
	hold := make(chan struct{})
	b.hold = hold
	_ = b.proc.Process.Kill()
	b.mu.Unlock()
	process.Pause(ctx, d)
	b.mu.Lock()
	b.hold = nil
	b.mu.Unlock()
	close(hold)
	return true
}

// command runs enqueue as a user does, a few times if NATS is away.
func (r *rig) command(ctx context.Context, args ...string) {
	if args[len(args)-1] == "" {
		return // not submitted yet
	}
	var out []byte
	var err error
	for range 5 {
		cmd := exec.CommandContext(ctx, r.programs.Path("enqueue"), append([]string{"--config", r.enqueuer.file}, args...)...)
		cmd.Env, cmd.SysProcAttr, cmd.Dir = r.secrets.environ(), process.Mortal(), filepath.Dir(r.enqueuer.file)
		if out, err = cmd.CombinedOutput(); err == nil {
			break
		}
		process.Pause(ctx, time.Second)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, audit.Text{Name: "what enqueue " + args[0] + " says", Text: string(out)})
}
