package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats-server/v2/server/ats"
	"github.com/nats-io/nats.go"

	"github.com/drover-batch/drover/internal/apart"
	"github.com/drover-batch/drover/internal/natstest"
	"github.com/drover-batch/drover/jobs"
)

func TestMain(m *testing.M) {
	ats.Register()          // its ticker must not start inside a bubble
	debug.SetGCPercent(400) // a world is small and soon over
	os.Exit(m.Run())
}

// world is a NATS server and a queue on it, with a clock of their own.
type world struct {
	testing.TB
	ctx context.Context
	dir string
	srv atomic.Pointer[server.Server]
	nc  *nats.Conn
	q   *Queue
	cfg Config

	sync  bool  // every write is fsynced
	store int64 // bytes the server may have on disk, 0 for plenty
}

func inWorld(t *testing.T, cfg Config, f func(w *world)) {
	t.Helper()
	t.Parallel()
	dir := natstest.Dir(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, dir, cfg)
		defer w.close()
		f(w)
	})
}

// inBrokenWorld is inWorld for a world in which a connection is lost and made
// again.
func inBrokenWorld(t *testing.T, cfg Config, f func(w *world)) {
	t.Helper()
	apart.Test(t, func(t *testing.T) { inWorld(t, cfg, f) })
}

func newWorld(t testing.TB, dir string, cfg Config) *world {
	w := &world{TB: t, ctx: t.Context(), dir: dir, cfg: cfg}
	w.begin()
	return w
}

func (w *world) begin() {
	w.start()
	w.nc = w.connect(nil)
	w.must(Create(w.ctx, w.nc, w.cfg))
	w.q = w.open(w.nc)
}

func (w *world) start() {
	srv, err := server.NewServer(&server.Options{
		ServerName: "world", JetStream: true, StoreDir: w.dir, DontListen: true, NoLog: true, NoSigs: true,
		JetStreamMaxMemory: 64 << 20, JetStreamMaxStore: cmp.Or(w.store, 4<<30), SyncAlways: w.sync,
	})
	if err != nil {
		w.Fatal(err)
	}
	srv.Start()
	if !srv.ReadyForConnections(10 * time.Second) {
		w.Fatal("the server does not start")
	}
	w.srv.Store(srv)
}

func (w *world) stop() {
	w.srv.Load().Shutdown()
	w.srv.Load().WaitForShutdown()
}

func (w *world) close() {
	w.nc.Close()
	w.stop()
	time.Sleep(10 * time.Second) // the server's last goroutines see the end only now
}

// InProcessConn reaches whichever server is running now.
func (w *world) InProcessConn() (net.Conn, error) { return w.srv.Load().InProcessConn() }

// connect makes a connection; line, if set, can be cut and made to swallow.
func (w *world) connect(l *line) *nats.Conn {
	w.Helper()
	provider := nats.InProcessConnProvider(w)
	if l != nil {
		l.w, provider = w, l
	}
	nc, err := nats.Connect("", nats.InProcessServer(provider), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond), nats.ReconnectJitter(0, 0))
	if err != nil {
		w.Fatal(err)
	}
	return nc
}

func (w *world) open(nc *nats.Conn) *Queue {
	w.Helper()
	q, err := Open(w.ctx, nc, w.cfg)
	if err != nil {
		w.Fatal(err)
	}
	return q
}

// line is a connection that can lose what the server says, or bring it late.
type line struct {
	w    *world
	deaf atomic.Bool
	late atomic.Int64 // nanoseconds
	conn atomic.Pointer[net.Conn]
}

func (l *line) InProcessConn() (net.Conn, error) {
	c, err := l.w.srv.Load().InProcessConn()
	if err != nil {
		return nil, err
	}
	l.conn.Store(&c)
	return &deafConn{c, l}, nil
}

// cut breaks the connection; the next one hears again.
func (l *line) cut() {
	l.deaf.Store(false)
	_ = (*l.conn.Load()).Close()
}

type deafConn struct {
	net.Conn
	l *line
}

func (c *deafConn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		if err != nil || !c.l.deaf.Load() {
			time.Sleep(time.Duration(c.l.late.Load()))
			return n, err
		}
	}
}

func batch(id string) *jobs.Batch {
	return &jobs.Batch{ID: id, Name: id, Tenant: "acme", Chain: "default"}
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// enqueue puts n jobs named 0 to n-1 into the batch and seals it.
func (w *world) enqueue(b *jobs.Batch, n int) {
	w.Helper()
	wr, err := w.q.Enqueue(w.ctx, b)
	w.must(err)
	w.add(wr, 0, n)
	w.must(wr.Close(w.ctx))
}

func (w *world) add(wr *Writer, from, to int) {
	w.Helper()
	for i := from; i < to; i++ {
		w.must(wr.Add(w.ctx, fmt.Sprint(i), jobs.Document{Source: fmt.Sprint("doc ", i), Body: fmt.Append(nil, "text ", i)}))
	}
}

func (w *world) source(name string) *Source {
	w.Helper()
	return w.sourceOf(w.q, name)
}

func (w *world) sourceOf(q *Queue, name string) *Source {
	w.Helper()
	s, err := q.Source(name)
	w.must(err)
	return s
}

// Settle stores an outcome as another process would, from its spool.
func (q *Queue) Settle(ctx context.Context, j *jobs.Job, o *jobs.Outcome) error {
	return q.settle(ctx, j, o, q.cfg.StorePatience)
}

// lendOne lends the only job of a batch, by the source of worker w1.
func (w *world) lendOne(b *jobs.Batch) (*Source, jobs.Delivery) {
	w.Helper()
	w.enqueue(b, 1)
	s := w.source("w1")
	return s, w.take(s, 1)[0]
}

// lendOverALine lends one job over a line of its own.
func (w *world) lendOverALine() (l *line, d jobs.Delivery, hangUp func()) {
	w.Helper()
	l = &line{}
	nc := w.connect(l)
	return l, w.take(w.sourceOf(w.open(nc), "w1"), 1)[0], nc.Close
}

// take lends exactly n jobs, failing if they do not come within a minute.
func (w *world) take(s *Source, n int) []jobs.Delivery {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
	defer cancel()
	var all []jobs.Delivery
	for len(all) < n {
		got, err := s.Next(ctx, n-len(all))
		if err != nil {
			w.Fatalf("after %d of %d jobs: %v", len(all), n, err)
		}
		all = append(all, got...)
	}
	if len(all) > n {
		w.Fatalf("lent %d jobs, %d were asked for", len(all), n)
	}
	return all
}

// nothing checks that no job comes within the time.
func (w *world) nothing(s *Source, d time.Duration) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, d)
	defer cancel()
	got, err := s.Next(ctx, 10)
	if !errors.Is(err, context.DeadlineExceeded) {
		w.Fatalf("lent %d jobs (%v), expected none", len(got), err)
	}
}

// onlySettled checks that no job comes within the time but those that have
// their outcome: an acknowledgement may be lost with a connection.
func (w *world) onlySettled(s *Source, d time.Duration) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, d)
	defer cancel()
	for {
		got, err := s.Next(ctx, 10)
		if err != nil {
			return
		}
		for _, d := range got {
			if settled, err := d.Settled(w.ctx); err != nil || !settled {
				w.Errorf("job %s was lent and has no outcome: %v", d.Job().CustomID, err)
			}
			w.must(d.Release(w.ctx))
		}
	}
}

func (w *world) letter(batch string, id jobs.ID) *jobs.DeadLetter {
	w.Helper()
	l, err := w.q.DeadLetter(w.ctx, batch, id)
	w.must(err)
	return l
}

func answer(d jobs.Delivery, worker string, attempts ...jobs.Attempt) *jobs.Outcome {
	o := jobs.NewOutcome(d.Job(), d.Batch(), jobs.Answered, attempts)
	o.Answer, o.Worker, o.Finished = "answer of "+worker, worker, time.Now().UTC()
	return o
}

func death(d jobs.Delivery, kind jobs.Kind, attempts ...jobs.Attempt) *jobs.Outcome {
	o := jobs.NewOutcome(d.Job(), d.Batch(), jobs.Dead, attempts)
	o.Kind, o.Worker, o.Finished = kind, "undertaker", time.Now().UTC()
	return o
}

func paid(call string, run int, cost jobs.USD) jobs.Attempt {
	return jobs.Attempt{Call: call, Run: run, Model: "small", Started: time.Now().UTC(), Cost: cost, Billing: jobs.Billed}
}

// finishAll answers everything that is left of a batch.
func (w *world) finishAll(s *Source, id string) {
	w.Helper()
	for {
		if p := w.progress(id); p.Queued+p.Running == 0 {
			return
		}
		ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
		got, err := s.Next(ctx, 100)
		cancel()
		w.must(err)
		for _, d := range got {
			w.must(d.Done(w.ctx, answer(d, s.worker)))
		}
	}
}

func (w *world) outcomes(id string) map[string]*jobs.Outcome {
	w.Helper()
	all := map[string]*jobs.Outcome{}
	for o, err := range w.q.Outcomes(w.ctx, id) {
		w.must(err)
		if all[o.CustomID] != nil {
			w.Fatalf("two outcomes of job %s", o.CustomID)
		}
		all[o.CustomID] = o
	}
	return all
}

func (w *world) progress(id string) jobs.Progress {
	w.Helper()
	w.flush()
	time.Sleep(10 * time.Millisecond) // the broker counts acknowledgements a moment later
	p, err := w.q.Progress(w.ctx, id)
	w.must(err)
	return p
}

func (w *world) flush() {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.ctx, time.Minute) // Flush shares timers between bubbles
	defer cancel()
	w.must(w.nc.FlushWithContext(ctx))
}
