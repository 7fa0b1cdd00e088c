package wire

import (
	"context"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"github.com/drover-batch/drover/internal/audit"
	"github.com/drover-batch/drover/queue"
)

// member is a worker process of the fleet.
type member struct {
	name    string
	link    *link
	servers *Servers
	worker  *Worker

	stopTaking, stopWorking context.CancelFunc
	done                    chan struct{}
	died                    time.Time // killed then; zero if it was not
}

// start brings workers up. A name stands for a process; one that was killed or
// stopped may be started anew.
func (w *world) start(names ...string) {
	w.Helper()
	for _, name := range names {
		w.must(w.launch(name))
	}
}

// raise starts a worker as a supervisor does: again until it is up.
func (w *world) raise(name string) {
	w.mu.Lock()
	busy := w.raising[name] || w.workers[name] != nil
	if !busy {
		w.raising[name] = true
	}
	w.mu.Unlock()
	if busy {
		return
	}
	for w.launch(name) != nil {
		time.Sleep(2 * time.Second)
	}
	w.mu.Lock()
	delete(w.raising, name)
	w.mu.Unlock()
}

func (w *world) launch(name string) error {
	m, err := w.connect(name, nil)
	if err != nil {
		return err
	}
	id := name + "-" + time.Now().Format("150405.000")
	tracer := w.tracer(id, m.link)
	m.worker, err = New(w.ctx, Parts{
		Config: w.config, Queue: m.servers.Queue, Redis: m.servers.Redis,
		Spool: w.folder(name), DialTools: w.dial, Trace: tracer,
		ID: id, Client: &http.Client{Transport: m.link}, Log: zerolog.New(m.link).With().Str("worker", name).Logger(),
	})
	if err != nil {
		_ = m.servers.Close()
		_ = tracer.Close(w.ctx)
		return err
	}
	w.change(m)
	w.pace(m)
	taking, stopTaking := context.WithCancel(context.Background())
	working, stopWorking := context.WithCancel(context.Background())
	m.stopTaking, m.stopWorking = stopTaking, stopWorking
	w.mu.Lock()
	w.workers[name] = m
	w.everyone = append(w.everyone, m)
	w.mu.Unlock()
	go func() {
		defer close(m.done)
		if err := m.worker.Run(taking, working); err != nil && !m.link.isCut() {
			w.Errorf("worker %s: %v", name, err)
		}
		if err := tracer.Close(context.Background()); err != nil {
			w.Errorf("worker %s: %v", name, err)
		}
		_ = m.servers.Close()
	}()
	return nil
}

func (w *world) names() map[string]*member {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.workers)
}

func (w *world) remove(name string) *member {
	w.mu.Lock()
	defer w.mu.Unlock()
	m := w.workers[name]
	delete(w.workers, name)
	return m
}

// stop ends a worker as SIGTERM does and returns when it is gone.
func (w *world) stop(names ...string) {
	w.Helper()
	for _, name := range names {
		began := time.Now()
		m := w.remove(name)
		m.stopTaking()
		<-m.done
		m.stopWorking()
		w.note(audit.Fault{Kind: audit.Stop, Worker: name, From: began, To: time.Now()})
		time.Sleep(10 * time.Millisecond) // what it wrote last arrives
	}
}

// kill ends a worker as SIGKILL does: from this moment on nothing that it does
// has any effect, and nobody is told. Its goroutines are left to find that out.
func (w *world) kill(name string) {
	if m := w.remove(name); m != nil {
		w.end(m)
	}
}

func (w *world) end(m *member) {
	w.mu.Lock()
	if w.workers[m.name] == m {
		delete(w.workers, m.name)
	}
	if !m.died.IsZero() || m.over() {
		w.mu.Unlock()
		return
	}
	m.died = time.Now()
	w.mu.Unlock()
	m.link.sever()
	w.orphan(m)
	m.stopTaking()
	m.stopWorking()
	go m.servers.NATS.Close()
}

// folder is where a worker's answers wait while the broker is away; whoever
// is started under the same name shares it.
func (w *world) folder(name string) string {
	if w.together {
		name = "all"
	}
	return filepath.Join(w.broker.dir, "spools", name)
}

// orphan leaves a worker's folder as it is when its process dies: out of its
// reach, and locked by nobody.
func (w *world) orphan(m *member) {
	if m.worker.spool == nil {
		return
	}
	own := filepath.Join(w.folder(m.name), m.worker.spool.own)
	w.must(os.Rename(own, own+"-dead"))
	w.must(os.Remove(filepath.Join(own+"-dead", "lock")))
}

// over reports whether the process has ended by itself.
func (m *member) over() bool {
	select {
	case <-m.done:
		return true
	default:
		return false
	}
}

// connect makes the connections of one process.
func (w *world) connect(name string, lay layOut) (*member, error) {
	m := &member{name: name, done: make(chan struct{})}
	m.link = newLink(w, m)
	nc, err := nats.Connect("", nats.InProcessServer(m.link), nats.MaxReconnects(-1), nats.ReconnectJitter(0, 0),
		nats.ReconnectWait(2*time.Second+1000*m.link.lane(0)), nats.Name(name)) // not all at once
	if err != nil {
		return nil, err
	}
	rdb := w.redis.Client()
	w.hook(rdb, m.link)
	m.servers = &Servers{NATS: nc, Redis: rdb}
	m.servers.onClose(func() error { nc.Close(); return nil })
	m.servers.onClose(rdb.Close)
	if err := m.servers.open(w.ctx, w.config, lay); err != nil {
		_ = m.servers.Close()
		return nil, err
	}
	return m, nil
}

func deadOf(batch string) queue.DeadFilter { return queue.DeadFilter{Batch: batch} }

// crew names n workers.
func crew(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = string(rune('a' + i))
	}
	return slices.Clip(names)
}
