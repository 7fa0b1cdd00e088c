package wire

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats-server/v2/server/ats"

	"github.com/drover-batch/drover/internal/apart"
	"github.com/drover-batch/drover/internal/audit"
	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/embedded"
	"github.com/drover-batch/drover/internal/natstest"
	"github.com/drover-batch/drover/internal/redistest"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/llm/simulator"
	"github.com/drover-batch/drover/queue"
	"github.com/drover-batch/drover/tools"
)

func TestMain(m *testing.M) {
	ats.Register()          // its ticker must not start inside a bubble
	debug.SetGCPercent(400) // a world is small and soon over
	os.Exit(m.Run())
}

// models is the configuration of every world: two models, the first cheap and
// small, at one provider.
const models = `
models:
  small: {provider: simulator, base_url: "http://127.0.0.1:1/v1", context: 2000, max_output: 100, timeout: 20s, price: {input: 1, output: 4}}
  large: {provider: simulator, base_url: "http://127.0.0.1:1/v1", context: 100000, max_output: 200, timeout: 60s, price: {input: 10, output: 40}}
chains:
  default: [small, large]
  cheap: [small]
worker: {slots: 8}
`

// scene is what a world begins with.
type scene struct {
	provider   simulator.Config
	tune       func(*config.Config) // what differs from the usual configuration; may be nil
	store      int64                // bytes the broker may have on disk; 0 for plenty
	reconnects bool                 // connections to the broker are lost and made again
	changes    []changing           // between the processes and the rest of the world
	latency    time.Duration        // of a message to the broker or from it
	together   bool                 // all workers share a data folder
	embedded   bool                 // its Redis is the embedded one, whose clock can be moved
	traced     bool                 // somebody asked for traces
	alike      bool                 // documents are the same: the checker cannot tell whose a call is
	dialTools  func(context.Context, string, tools.Server, func(string)) (tools.Session, error)
}

// second is a provider that takes a second for each answer.
var second = scene{provider: simulator.Config{Latency: time.Second}}

// world is a whole fleet in a bubble of fake time: a JetStream server, a
// Redis, a provider that keeps a ledger, enqueuers and workers. What happens
// in it is checked from outside when the test is over, see check.
type world struct {
	testing.TB
	ctx      context.Context
	config   *config.Config
	broker   *broker
	redis    state
	provider *provider
	client   *Servers      // of whoever submits and asks
	latency  time.Duration // of a message between a process and the broker

	mu       sync.Mutex
	workers  map[string]*member
	everyone []*member           // the dead and the stopped included
	accepted map[string][]string // custom ids by batch
	raising  map[string]bool     // who is being started
	away     bool                // Redis is
	since    time.Time           // when it last went
	done     []audit.Fault       // what was done to it, but for kills and outages of the broker
	changes  []change
	mistaken atomic.Int64 // how often a wrong protocol was
	told     []string     // traceparents that requests of models had, "" for none

	mishaps  simulator.Odds // what goes wrong all the time
	together bool           // all workers share a data folder
	dial     func(context.Context, string, tools.Server, func(string)) (tools.Session, error)

	log    journalled
	traces *collector // nil if nobody asked for any
}

// inWorld runs f in a world of its own, and the checker after it.
func inWorld(t *testing.T, s scene, f func(w *world)) {
	t.Helper()
	if s.reconnects {
		apart.Test(t, func(t *testing.T) { s.play(t, f) })
		return
	}
	s.play(t, f)
}

func (s scene) play(t *testing.T, f func(w *world)) {
	t.Helper()
	s.stage(t, func(w *world) { s.live(w, f) })
}

// stage makes a bubble with a world in it that has not begun.
func (s scene) stage(t *testing.T, f func(w *world)) {
	t.Helper()
	t.Parallel()
	dir := natstest.Dir(t)
	redis := s.startRedis(t) // outside: it has a socket
	c := configure(t, dir, s)
	synctest.Test(t, func(t *testing.T) { f(newWorld(t, dir, redis, c)) })
}

// startRedis starts a real server where there is one: it runs the scripts in a
// quarter of the time.
func (s scene) startRedis(t *testing.T) state {
	t.Helper()
	if !s.embedded && redistest.Installed() {
		return real{t, redistest.Start(t)}
	}
	redis, err := embedded.StartRedis(embedded.RedisConfig{Driven: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(redis.Close)
	return driven{redis}
}

// live is a world from its beginning to its end.
func (s scene) live(w *world, f func(w *world)) {
	defer w.close()
	for _, c := range s.changes {
		w.changes = append(w.changes, c(w))
	}
	w.begin(s)
	f(w)
	if !s.alike {
		w.check()
	}
}

func configure(t *testing.T, dir string, s scene) *config.Config {
	path := filepath.Join(dir, "drover.yaml")
	if err := os.WriteFile(path, []byte(models), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(config.Source{Path: path, Environ: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	if s.tune != nil {
		s.tune(c)
	}
	return c
}

// chain is one of these models, in order.
func chain(models ...string) config.Chain { return config.Chain{Models: models} }

func newWorld(t *testing.T, dir string, redis state, c *config.Config) *world {
	return &world{
		TB: t, ctx: t.Context(), config: c, redis: redis,
		broker:   &broker{TB: t, dir: dir},
		workers:  map[string]*member{},
		raising:  map[string]bool{},
		accepted: map[string][]string{},
	}
}

func (w *world) begin(s scene) {
	w.latency, w.together, w.dial = s.latency, s.together, s.dialTools
	if s.traced {
		w.traces = new(collector)
	}
	w.provider = newProvider(w, s.provider)
	w.broker.store = s.store
	w.broker.start()
	client, err := w.connect("client", queue.Create)
	w.must(err)
	w.client = client.servers
}

// close ends everything, however the test went.
func (w *world) close() {
	if w.Failed() {
		w.Log(w.log.tail(25))
	}
	if !w.broker.running() {
		w.broker.start()
	}
	w.setRedisAway(false)
	for name := range w.names() {
		w.kill(name)
	}
	for _, m := range w.everyone {
		<-m.done
	}
	if w.client != nil {
		_ = w.client.Close()
	}
	w.must(w.provider.Close())
	w.broker.stop()
	time.Sleep(10 * time.Second) // the broker's last goroutines see the end only now
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// text is a document that nobody confuses with another: its mark tells the
// wire-tap whose it is.
func text(batch, id, body string) string {
	return fmt.Sprintf("# Paper %s\n\n@%s/%s@ %s", id, batch, id, body)
}

// short is n short documents.
func short(n int) []string {
	docs := make([]string, n)
	for i := range docs {
		docs[i] = "The parties agree on what follows."
	}
	return docs
}

// long is a document that only the large model can take.
func long() string { return strings.Repeat("Whereas the parties have met and talked. ", 400) }

// submit enqueues a batch whose documents are named 0, 1 and so on.
func (w *world) submit(b jobs.Batch, docs ...string) {
	w.Helper()
	if b.Name == "" {
		b.Name = b.ID
	}
	if b.Tenant == "" {
		b.Tenant = "acme"
	}
	if b.Chain == "" {
		b.Chain = "default"
	}
	wr, err := w.client.Queue.Enqueue(w.ctx, &b)
	w.must(err)
	handover, done := w.handIn(b.ID)
	defer func() { done(len(docs)) }()
	wr.Traceparent = handover
	for i, doc := range docs {
		id := fmt.Sprint(i)
		w.must(wr.Add(w.ctx, id, jobs.Document{Source: b.ID + "/" + id, Body: []byte(text(b.ID, id, doc))}))
		w.accepted[b.ID] = append(w.accepted[b.ID], id)
	}
	w.must(wr.Close(w.ctx))
}

// wait lets time pass until the claim is true, at most ten minutes.
func (w *world) wait(claim func() bool) {
	w.Helper()
	w.waitFor(10*time.Minute, claim)
}

func (w *world) waitFor(most time.Duration, claim func() bool) {
	w.Helper()
	for end := time.Now().Add(most); !claim(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			w.Fatalf("still not so after %v", most)
		}
	}
}

// untilOver waits for the end of a batch, at most half an hour, and returns
// how long that took.
func (w *world) untilOver(batch string) time.Duration {
	w.Helper()
	began := time.Now()
	for {
		p, err := w.client.Queue.Progress(w.ctx, batch)
		if err == nil && p.Over() {
			return time.Since(began)
		}
		if time.Since(began) > 30*time.Minute {
			w.Fatalf("batch %s is not over after half an hour: %+v, %v", batch, p, err)
		}
		time.Sleep(time.Second)
	}
}

func (w *world) progress(batch string) jobs.Progress {
	w.Helper()
	p, err := w.client.Queue.Progress(w.ctx, batch)
	w.must(err)
	return p
}

// outcomes returns a batch's outcomes by custom id.
func (w *world) outcomes(batch string) map[string]*jobs.Outcome {
	w.Helper()
	all := map[string]*jobs.Outcome{}
	for o, err := range w.client.Queue.Outcomes(w.ctx, batch) {
		w.must(err)
		all[o.CustomID] = o
	}
	return all
}

// count is how many outcomes of the batch are so.
func (w *world) count(batch string, is func(*jobs.Outcome) bool) int {
	w.Helper()
	n := 0
	for _, o := range w.outcomes(batch) {
		if is(o) {
			n++
		}
	}
	return n
}

// answered checks that all of a batch's jobs were.
func (w *world) answered(batch string) {
	w.Helper()
	for id, o := range w.outcomes(batch) {
		if o.Status != jobs.Answered {
			w.Errorf("%s/%s is %s: %s", batch, id, o.Status, o.Reason)
		}
	}
}

// wastes returns what was wasted on a batch, by job: what is known to be, or
// else what was presumed of calls whose worker died.
func (w *world) wastes(batch string, lapsed bool) map[jobs.ID][]jobs.Attempt {
	w.Helper()
	all := map[jobs.ID][]jobs.Attempt{}
	for waste, err := range w.client.Queue.Wastes(w.ctx, batch) {
		w.must(err)
		if waste.Lapsed == lapsed {
			all[waste.Job] = append(all[waste.Job], waste.Attempts...)
		}
	}
	return all
}

// letters returns a batch's dead letters by custom id.
func (w *world) letters(batch string) map[string]*jobs.DeadLetter {
	w.Helper()
	all := map[string]*jobs.DeadLetter{}
	for l, err := range w.client.Queue.Dead(w.ctx, deadOf(batch)) {
		w.must(err)
		all[l.Job.CustomID] = l
	}
	return all
}

// journalled is the workers' log, to be read when a test fails.
type journalled struct {
	mu    sync.Mutex
	lines []string
}

func (j *journalled) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, time.Now().Format("04:05.000 ")+string(p))
	return len(p), nil
}

func (j *journalled) tail(n int) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return "the log ends so:\n" + strings.Join(j.lines[max(0, len(j.lines)-n):], "")
}

// says reports whether a line of the log contains the words.
func (j *journalled) says(words string) bool { return j.count(words) > 0 }

// count is how often the log contains the words.
func (j *journalled) count(words string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(strings.Join(j.lines, ""), words)
}

// submitFields enqueues n rows whose requests do not tell which batch they are
// of, but for the one that the wire-tap is told.
func (w *world) submitFields(b jobs.Batch, n int, tapped string) {
	w.Helper()
	b.Name, b.Tenant, b.Chain = b.ID, "acme", "default"
	wr, err := w.client.Queue.Enqueue(w.ctx, &b)
	w.must(err)
	for i := range n {
		id := fmt.Sprint(i)
		w.must(wr.Add(w.ctx, id, jobs.Document{
			Source: "rows.csv:" + id,
			Fields: map[string]string{"body": "The parties agree.", "mark": "@" + tapped + "/" + id + "@"},
		}))
		w.accepted[b.ID] = append(w.accepted[b.ID], id)
	}
	w.must(wr.Close(w.ctx))
}
