package wire

import (
	"bytes"
	"cmp"
	"errors"
	"io"
	"net/http"
	"regexp"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/drover-batch/drover/internal/audit"
	"github.com/drover-batch/drover/llm/simulator"
)

// broker is the NATS server, which can be stopped and started again.
type broker struct {
	testing.TB
	dir     string
	store   int64 // bytes it may have on disk, 0 for plenty
	srv     atomic.Pointer[server.Server]
	stopped time.Time
	outages []audit.Fault

	mu    sync.Mutex
	wires []*wireConn
}

func (b *broker) start() {
	b.Helper()
	srv, err := server.NewServer(&server.Options{
		ServerName: "world", JetStream: true, StoreDir: b.dir, DontListen: true, NoLog: true, NoSigs: true,
		JetStreamMaxMemory: 64 << 20, JetStreamMaxStore: cmp.Or(b.store, 16<<30),
		PingInterval: 24 * time.Hour, DisableShortFirstPing: true, // pings come at random
	})
	if err != nil {
		b.Fatal(err)
	}
	srv.Start()
	if !srv.ReadyForConnections(10 * time.Second) {
		b.Fatal("the broker does not start")
	}
	b.srv.Store(srv)
	if !b.stopped.IsZero() {
		b.outages = append(b.outages, audit.Fault{Kind: audit.Broker, From: b.stopped, To: time.Now()})
	}
}

func (b *broker) running() bool { return b.srv.Load() != nil }

// stop breaks all connections at one moment. That the server takes its time to
// end makes no difference to anybody.
func (b *broker) stop() {
	b.stopped = time.Now()
	srv := b.srv.Swap(nil)
	b.mu.Lock()
	wires := b.wires
	b.wires = nil
	b.mu.Unlock()
	for _, c := range wires {
		c.tear()
	}
	srv.Shutdown()
	srv.WaitForShutdown()
}

var errDown = errors.New("the server is down")

func (b *broker) dial(l *link) (*wireConn, error) {
	srv := b.srv.Load()
	if srv == nil {
		return nil, errDown
	}
	conn, err := srv.InProcessConn()
	if err != nil {
		return nil, err
	}
	c := newWireConn(l, l.w.wire(l, conn))
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wires = append(b.wires, c)
	return c, nil
}

// provider is the simulator and a tap on the wires that lead to it, which
// tells whose call each was.
type provider struct {
	*simulator.Server
	wires http.RoundTripper

	mu       sync.Mutex
	calls    []sent
	jobs     map[string]string // batch/custom id by the ledger's name for a request
	stranger string            // what somebody else asks, by the ledger's name for it
	onCall   func(sent)        // told of each call before it goes out; may be nil
}

// sent is a call that went out.
type sent struct {
	at     time.Time
	worker string
	job    string // batch/custom id
	prompt string
}

func newProvider(t testing.TB, c simulator.Config) *provider {
	s, err := simulator.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return &provider{Server: s, wires: s.Client().Transport, jobs: map[string]string{}}
}

var mark = regexp.MustCompile(`@([\w-]+/[\w-]+)@`)

// tap notes a call that is about to go out.
func (p *provider) tap(worker string, req *http.Request) error {
	body, err := req.GetBody()
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }()
	var data bytes.Buffer
	if _, err := io.Copy(&data, body); err != nil {
		return err
	}
	s := sent{at: time.Now(), worker: worker, prompt: simulator.Prompt(data.Bytes())}
	if m := mark.FindSubmatch(data.Bytes()); m != nil {
		s.job = string(m[1])
	}
	p.mu.Lock()
	p.calls = append(p.calls, s)
	p.jobs[s.prompt] = s.job
	told := p.onCall
	p.mu.Unlock()
	if told != nil {
		told(s)
	}
	return nil
}

// sent is how many calls went out so far.
func (p *provider) sent() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.calls)
}

// onEach has f told of each call from now on.
func (p *provider) onEach(f func(sent)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.onCall = f
}

// outage makes a model fail from now on for a while; "" is every model.
func (w *world) outage(model string, d time.Duration) {
	w.Helper()
	w.must(w.provider.SetFaults(nil, []simulator.Outage{{Model: model, For: d}}))
}

// paid is how many calls the provider charged for.
func (w *world) paid() int { return int(w.provider.Stats().Billed) }

// flushRedis loses what Redis knows.
func (w *world) flushRedis() {
	w.redis.Flush()
	w.note(audit.Fault{Kind: audit.Flush, From: time.Now(), To: time.Now()})
}

func (w *world) setRedisAway(away bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if away && !w.away {
		w.since = time.Now()
	}
	if w.away && !away {
		w.done = append(w.done, audit.Fault{Kind: audit.Redis, From: w.since, To: time.Now()})
	}
	w.away = away
}

func (w *world) redisAway() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.away
}
