package main

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/drover-batch/drover/bench/process"
	"github.com/drover-batch/drover/internal/audit"
)

// worker is a worker process and who starts it again when it has died.
type worker struct {
	*party
	r   *rig
	log string

	mu      sync.Mutex
	proc    *process.Child // nil while there is none
	wanted  bool
	retired bool
	changed chan struct{}  // closed when one of these has
	crashes []string       // ends that nobody asked for
	felled  *process.Child // the newest that was killed
	over    chan struct{}
}

// hire starts a worker.
func (r *rig) hire(name string) error {
	p, err := r.newParty(name)
	if err != nil {
		return err
	}
	w := &worker{party: p, r: r, log: r.logOf(name), wanted: true, changed: make(chan struct{}), over: make(chan struct{})}
	r.workers = append(r.workers, w)
	go w.supervise()
	return process.Until(30*time.Second, name+" works", w.ready)
}

// respawn is how long a supervisor waits before it starts a process again.
const respawn = 300 * time.Millisecond

// supervise keeps the process running as long as it is wanted.
func (w *worker) supervise() {
	defer close(w.over)
	for {
		w.mu.Lock()
		wanted, retired, changed := w.wanted, w.retired, w.changed
		w.mu.Unlock()
		switch {
		case retired:
			return
		case !wanted:
			<-changed
			continue
		}
		cmd := exec.Command(w.r.programs.Path("worker"), "--config", w.file, "--log", "json")
		cmd.Env = w.r.secrets.environ()
		proc, err := w.r.children.Start(w.name, cmd, w.log)
		if err != nil {
			w.r.say("%v", err)
			return
		}
		w.update(func() {
			w.proc, wanted = proc, w.wanted && !w.retired
		})
		if !wanted { // any more
			proc.Kill()
		}
		<-proc.Done
		w.update(func() {
			w.proc = nil
			if !proc.Told.Load() {
				w.crashes = append(w.crashes, fmt.Sprint(proc.Err))
			}
		})
		time.Sleep(respawn)
	}
}

func (w *worker) update(f func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f()
	close(w.changed)
	w.changed = make(chan struct{})
}

// take marks the worker as not wanted and returns its process, if it runs.
func (w *worker) take() (proc *process.Child) {
	w.update(func() { w.wanted, proc = false, w.proc })
	return proc
}

func (w *worker) want() { w.update(func() { w.wanted = true }) }

// retire ends the process and its supervisor.
func (w *worker) retire() {
	w.update(func() { w.retired = true })
	w.mu.Lock()
	proc := w.proc
	w.mu.Unlock()
	if proc != nil {
		proc.Kill()
	}
	<-w.over
}

// kill is SIGKILL, and nobody starts it again before want.
func (w *worker) kill() {
	if proc := w.take(); proc != nil {
		from := time.Now()
		w.update(func() { w.felled = proc })
		proc.Kill()
		w.r.note(audit.Fault{Kind: audit.Kill, Worker: w.name, From: from, To: time.Now()})
	}
}

// stop is SIGTERM. It ends within its grace or something is wrong, unless it is
// killed meanwhile.
func (w *worker) stop() {
	proc := w.take()
	if proc == nil {
		return
	}
	working := strings.Contains(w.get("/metrics"), "drover_slots") // before that, a signal just ends it
	if err := proc.Stop(grace + storePatience + 10*time.Second); err != nil && working {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.felled != proc {
			w.crashes = append(w.crashes, "stopped in order: "+err.Error())
		}
	}
}

// freeze stops the worker where it is for a while.
func (w *worker) freeze(ctx context.Context, d time.Duration) {
	w.mu.Lock()
	proc := w.proc
	w.mu.Unlock()
	if proc == nil {
		return
	}
	from := time.Now()
	proc.Freeze()
	process.Pause(ctx, d)
	w.r.note(audit.Fault{Kind: audit.Freeze, Worker: w.name, From: from, To: time.Now()})
	proc.Thaw()
}

// get asks the newest process something, "" if it does not answer.
func (w *worker) get(path string) string { return process.Get(w.log, path) }

func (w *worker) ready() bool { return w.get("/readyz") != "" }
