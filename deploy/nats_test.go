package deploy_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/drover-batch/drover/internal/embedded"
	"github.com/drover-batch/drover/internal/natstest"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/queue"
)

// TestMain sets what nats.conf reads from its environment, as compose.yaml
// does.
func TestMain(m *testing.M) {
	for _, p := range passwords {
		name, value, _ := strings.Cut(p, "=")
		_ = os.Setenv(name, `"`+value+`"`)
	}
	os.Exit(m.Run())
}

func TestComposeQuotesThePasswordsOfNATS(t *testing.T) {
	t.Parallel()
	env := service(t, project(t), "nats").Environment
	for _, p := range passwords[:3] {
		name, value, _ := strings.Cut(p, "=")
		if env[name] == nil || *env[name] != `"`+value+`"` {
			t.Errorf("%s reaches nats.conf as %v", name, env[name])
		}
	}
}

// startNATS runs the shipped configuration on a free port and in a folder of
// its own.
func startNATS(t *testing.T) *server.Server {
	t.Helper()
	opts, err := server.ProcessConfigFile("config/nats.conf")
	if err != nil {
		t.Fatal(err)
	}
	if !opts.SyncAlways {
		t.Error("sync_interval is not always: a power cut loses jobs")
	}
	if opts.StoreDir != "/data" {
		t.Errorf("the store is in %s, not in the volume", opts.StoreDir)
	}
	s := natstest.Start(t, opts, t.TempDir())
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server does not start")
	}
	return s
}

func TestNobodyIsWarnedOfTheShippedServer(t *testing.T) {
	t.Parallel()
	s := startNATS(t)
	c := settings(t, service(t, project(t), "worker"))
	if c.NATS.Monitor != "http://nats:8222" {
		t.Errorf("workers ask %q how NATS writes", c.NATS.Monitor)
	}
	note := embedded.SyncNote(t.Context(), embedded.NATSOptions{
		URL: s.ClientURL(), User: "worker", Password: jobs.NewSecret("work{er}s"), Monitor: "http://" + s.MonitorAddr().String(),
	})
	if note != "" {
		t.Errorf("the note is %q", note)
	}
}

// member is one of the three users, at work on the queue.
type member struct {
	*nats.Conn
	mu     sync.Mutex
	denied []string
}

func join(t *testing.T, s *server.Server, user, password string) *member {
	t.Helper()
	m := &member{}
	nc, note, err := embedded.ConnectNATS(t.Context(), embedded.NATSOptions{
		URL: s.ClientURL(), User: user, Password: jobs.NewSecret(password),
		More: []nats.Option{nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			if errors.Is(err, nats.ErrPermissionViolation) {
				m.denied = append(m.denied, err.Error())
			}
		})},
	})
	if err != nil || note != "" {
		t.Fatalf("joining as %s: note %q, error %v", user, note, err)
	}
	t.Cleanup(nc.Close)
	m.Conn = nc
	return m
}

func (m *member) open(t *testing.T) *queue.Queue {
	t.Helper()
	q, err := queue.Open(t.Context(), m.Conn, queue.Config{})
	if err != nil {
		t.Fatalf("opening the queue: %v; denied: %v", err, m.refusals())
	}
	return q
}

func (m *member) refusals() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.denied
}

// mustNot checks that the server refuses what is published on the subject. Its
// refusal comes before the answer to Flush.
func (m *member) mustNot(t *testing.T, subject string) {
	t.Helper()
	if err := m.Publish(subject, nil); err != nil {
		t.Fatal(err)
	}
	if err := m.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := m.LastError(); err == nil || !strings.Contains(err.Error(), `"`+subject+`"`) {
		t.Errorf("may publish on %s (last error: %v)", subject, err)
	}
}

// house is the shipped server with its three users at work.
type house struct {
	*testing.T
	ctx                     context.Context
	admin, producer, worker *member
}

func (h *house) try(what string, err error) {
	h.Helper()
	if err != nil {
		h.Fatalf("%s: %v; denied: producer %q, worker %q", what, err, h.producer.refusals(), h.worker.refusals())
	}
}

// TestEachUserCanDoItsWorkAndNoMore takes batches through their whole life with
// the shipped permissions.
func TestEachUserCanDoItsWorkAndNoMore(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s := startNATS(t)
	h := &house{t, ctx, join(t, s, "admin", "admins-own"), join(t, s, "enqueue", "12345678"), join(t, s, "worker", "work{er}s")}
	h.try("laying out", queue.Create(ctx, h.admin.Conn, queue.Config{}))

	in, out := h.producer.open(t), h.worker.open(t)
	h.submit(in)
	work(ctx, t, out, 4)
	h.review(in)
	work(ctx, t, out, 2)
	h.recall(out)
	h.count(out)
	h.starve(in, out)
	h.drop(in)
	h.finish(out)
	h.cancel(in)
	if d := append(h.producer.refusals(), h.worker.refusals()...); len(d) > 0 {
		t.Errorf("denied on the way: %q", d)
	}

	for _, subject := range []string{
		"drover.jobs.b-1.0", "drover.cursor.b-1",
		"$JS.API.STREAM.DELETE.DROVER_JOBS", "$JS.API.STREAM.CREATE.X", "$JS.API.STREAM.UPDATE.DROVER_JOBS",
	} {
		h.worker.mustNot(t, subject)
	}
	for _, subject := range []string{
		"drover.outcomes.b-1.x", "drover.dead.b-1.x", "$JS.ACK.DROVER_JOBS.x",
		"$JS.API.CONSUMER.CREATE.DROVER_JOBS.x", "$JS.API.CONSUMER.MSG.NEXT.DROVER_JOBS.b-1",
		"$JS.API.STREAM.DELETE.DROVER_OUTCOMES", "$JS.API.STREAM.PURGE.DROVER_OUTCOMES",
	} {
		h.producer.mustNot(t, subject)
	}
}

// TestWorkerThatMayNotLayOutStreamsIsToldSo starts one without --create=false.
func TestWorkerThatMayNotLayOutStreamsIsToldSo(t *testing.T) {
	t.Parallel()
	s := startNATS(t)
	if err := queue.Create(t.Context(), join(t, s, "admin", "admins-own").Conn, queue.Config{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	err := queue.Complete(ctx, join(t, s, "worker", "work{er}s").Conn, queue.Config{})
	if err == nil || !strings.Contains(err.Error(), "workers with --create=false") {
		t.Error(err)
	}
}

func (h *house) submit(in *queue.Queue) {
	w, err := in.Enqueue(h.ctx, &jobs.Batch{ID: "b-1", Name: "b", Tenant: "acme", Chain: "default", Created: time.Now()})
	h.try("registering", err)
	big := make([]byte, 2<<20) // goes to the object store
	for id, body := range map[string][]byte{"small": []byte("text"), "big": big, "dies": big, "stays dead": nil} {
		h.try("adding "+id, w.Add(h.ctx, id, jobs.Document{Source: id, Body: body}))
	}
	h.try("closing", w.Close(h.ctx))
	h.try("pausing", in.Pause(h.ctx, "b-1", "for the test"))
	h.try("resuming", in.Resume(h.ctx, "b-1"))
	h.try("changing the budget", in.SetBudget(h.ctx, "b-1", jobs.Dollar))
}

func (h *house) review(in *queue.Queue) {
	_, err := in.Progress(h.ctx, "b-1")
	h.try("asking for progress", err)
	if n := tally(h.T, in.Outcomes(h.ctx, "b-1")); n != 4 {
		h.Errorf("the producer reads %d outcomes, want 4", n)
	}
	for letter, err := range in.Dead(h.ctx, queue.DeadFilter{}) {
		h.try("reading dead letters", err)
		h.try("replaying", in.Replay(h.ctx, letter))
	}
}

func (h *house) recall(out *queue.Queue) {
	answer, err := out.Outcome(h.ctx, "b-1", jobs.NewID("b-1", "small"))
	h.try("reading an outcome", err)
	h.try("remembering an answer", out.Remember(h.ctx, "question", answer))
	_, err = out.Recall(h.ctx, "question")
	h.try("recalling it", err)
	if n := tally(h.T, out.Book(h.ctx)); n == 0 {
		h.Error("the worker reads an empty book")
	}
}

// count has a worker record calls, and presume and count them as after a loss.
func (h *house) count(out *queue.Queue) {
	log, err := out.CallLog(h.ctx, "w-1", nil)
	h.try("opening the record of calls", err)
	c := &jobs.Call{ID: "c-1", Job: jobs.NewID("b-1", "small"), Batch: "b-1", Tenant: "acme", Model: &jobs.Model{Name: "m"}, Worst: 5}
	h.try("recording a call", log.Begin(h.ctx, c, log.Generation()))
	calls, err := out.InFlight(h.ctx)
	h.try("counting the calls in flight", err)
	if len(calls) != 1 {
		h.Errorf("%d calls are in flight, want 1", len(calls))
	}
	for _, s := range calls {
		_, err := out.Presume(h.ctx, s, queue.Died)
		h.try("presuming it paid", err)
	}
	log.End("c-1")
	log.Close(h.ctx)
}

// starve has a worker pause a batch for want of money, raise the alarm and let
// the batch go on once it has more.
func (h *house) starve(in, out *queue.Queue) {
	events, err := h.producer.SubscribeSync("drover.events.budget")
	h.try("listening for alerts", err)
	h.try("listening for alerts", h.producer.Flush())
	h.try("telling of an alert", out.Announce(h.ctx, "budget", []byte("{}")))
	_, err = events.NextMsgWithContext(h.ctx)
	h.try("hearing of it", err)

	b, err := out.Batch(h.ctx, "b-1")
	h.try("reading the batch", err)
	h.try("pausing it", out.PauseLent(h.ctx, b, &jobs.Shortage{Reason: "spent", Needs: map[string]jobs.USD{"m": 5}}))
	h.try("raising its budget", in.SetBudget(h.ctx, "b-1", 2*jobs.Dollar))
	short, err := out.Shortages().List(h.ctx)
	h.try("looking for batches that lack money", err)
	if len(short) != 1 || short[0].Budget != 2*jobs.Dollar {
		h.Errorf("these lack money: %+v", short)
	}
	ended, err := out.GoOn(h.ctx, "b-1")
	h.try("letting it go on", err)
	if !ended {
		h.Error("the batch does not go on")
	}
}

func (h *house) drop(in *queue.Queue) {
	dropped := 0
	for letter, err := range in.Dead(h.ctx, queue.DeadFilter{}) {
		h.try("reading dead letters", err)
		h.try("dropping", in.Drop(h.ctx, letter))
		dropped++
	}
	if dropped != 1 {
		h.Errorf("dropped %d dead letters, want 1", dropped)
	}
}

func (h *house) cancel(in *queue.Queue) {
	w, err := in.Enqueue(h.ctx, &jobs.Batch{ID: "b-2", Name: "b", Tenant: "acme", Chain: "default", Created: time.Now()})
	h.try("registering another", err)
	h.try("adding to it", w.Add(h.ctx, "one", jobs.Document{Body: []byte("text")}))
	h.try("closing it", w.Close(h.ctx))
	n, err := h.admin.open(h.T).Cancel(h.ctx, "b-2")
	h.try("cancelling", err)
	if n != 1 {
		h.Errorf("cancelled %d jobs, want 1", n)
	}
}

// work ends n jobs: those whose name says so are buried, the others answered.
func work(ctx context.Context, t *testing.T, q *queue.Queue, n int) {
	t.Helper()
	source, err := q.Source("w-1")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := source.Close(); err != nil {
			t.Error(err)
		}
	}()
	for n > 0 {
		lent, err := source.Next(ctx, n)
		if err != nil {
			t.Fatalf("taking jobs: %v", err)
		}
		for _, d := range lent {
			settle(ctx, t, d)
			n--
		}
	}
}

// finish lets a worker look for more until it has found the batch to be over
// and tidied up after it.
func (h *house) finish(out *queue.Queue) {
	js, err := jetstream.New(h.admin.Conn)
	h.try("watching", err)
	batches, err := js.KeyValue(h.ctx, "DROVER_BATCHES")
	h.try("watching", err)
	changes, err := batches.Watch(h.ctx, "b-1")
	h.try("watching", err)
	source, err := out.Source("w-1")
	h.try("taking jobs", err)
	looking, stop := context.WithCancel(h.ctx)
	var next error
	var background sync.WaitGroup
	background.Go(func() { _, next = source.Next(looking, 1) })
	for over := false; !over && looking.Err() == nil; {
		select {
		case change := <-changes.Updates():
			over = change != nil && strings.Contains(string(change.Value()), `"over":true`)
		case <-looking.Done():
		}
	}
	stop()
	background.Wait()
	h.try("finishing the batch", h.ctx.Err())
	if !errors.Is(next, context.Canceled) {
		h.try("looking for more", next)
	}
	h.try("closing", errors.Join(source.Close(), changes.Stop()))
}

func settle(ctx context.Context, t *testing.T, d jobs.Delivery) {
	t.Helper()
	j := d.Job()
	attempts := []jobs.Attempt{{Call: "c-" + j.CustomID, Run: j.Run, Model: "m", Billing: jobs.Billed, Cost: 5}}
	if err := d.Extend(ctx); err != nil {
		t.Fatalf("extending %s: %v", j.CustomID, err)
	}
	if _, err := d.Settled(ctx); err != nil {
		t.Fatalf("looking up %s: %v", j.CustomID, err)
	}
	if j.CustomID == "dies" && j.Run == 1 || j.CustomID == "stays dead" {
		o := jobs.NewOutcome(j, d.Batch(), jobs.Dead, attempts)
		o.Kind = jobs.Refused
		if err := d.Bury(ctx, o); err != nil {
			t.Fatalf("burying %s: %v", j.CustomID, err)
		}
		return
	}
	if err := d.Done(ctx, jobs.NewOutcome(j, d.Batch(), jobs.Answered, attempts)); err != nil {
		t.Fatalf("ending %s: %v", j.CustomID, err)
	}
}

func tally[T any](t *testing.T, all func(yield func(T, error) bool)) (n int) {
	t.Helper()
	for _, err := range all {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}
