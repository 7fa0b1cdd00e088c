package wire

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/drover-batch/drover/internal/audit"
	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/embedded"
	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/internal/redistest"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/llm/simulator"
)

// place has a small fleet on servers that are real, in real time: those that
// the configuration names.
func place(t *testing.T, tune func(*config.Config)) *world {
	t.Helper()
	c := configure(t, t.TempDir(), scene{tune: tune})
	c.Worker.Lease = 5 * time.Second
	w := newWorld(t, t.TempDir(), nil, c)
	w.provider = newProvider(t, simulator.Config{Latency: 100 * time.Millisecond})
	t.Cleanup(func() { w.must(w.provider.Close()) })
	var err error
	w.client, err = Connect(w.ctx, c, true)
	w.must(err)
	t.Cleanup(func() { w.must(w.client.Close()) })
	return w
}

// hire starts workers and returns what ends them in order.
func (w *world) hire(names ...string) (dismiss func()) {
	w.Helper()
	taking, stop := context.WithCancel(context.Background())
	for _, name := range names {
		servers, err := Connect(w.ctx, w.config, false)
		w.must(err)
		worker, err := New(w.ctx, Parts{
			Config: w.config, Queue: servers.Queue, Redis: servers.Redis, Spool: w.folder(name), ID: name,
			Client: &http.Client{Transport: tapped{w.provider, name}}, Log: zerolog.New(&w.log).With().Str("worker", name).Logger(),
		})
		w.must(err)
		m := &member{name: name, worker: worker, done: make(chan struct{})}
		w.everyone = append(w.everyone, m)
		go func() {
			defer close(m.done)
			if err := worker.Run(taking, context.Background()); err != nil {
				w.Error(err)
			}
			_ = servers.Close()
		}()
	}
	return func() {
		stop()
		for _, m := range w.everyone {
			<-m.done
		}
		if w.Failed() {
			w.Log(w.log.tail(25))
		}
	}
}

// tapped is a worker's way to the provider.
type tapped struct {
	*provider
	worker string
}

func (p tapped) RoundTrip(req *http.Request) (*http.Response, error) {
	if err := p.tap(p.worker, req); err != nil {
		return nil, err
	}
	return p.wires.RoundTrip(req)
}

// startNATS starts a NATS server that others can connect to.
func startNATS(t *testing.T) (url string) {
	t.Helper()
	s, err := embedded.StartNATS(embedded.NATSConfig{Dir: t.TempDir(), Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s.URL()
}

// TestFailoverOfRedisOverspendsNothing kills the master in the middle of a
// batch. What its replica has then misses the last calls that it let in.
func TestFailoverOfRedisOverspendsNothing(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(*testing.T, *config.Config) (master *redistest.Server){
		"watched by a Sentinel": func(t *testing.T, c *config.Config) *redistest.Server {
			s := redistest.StartWatched(t, "")
			c.Redis.URL, c.Redis.Sentinel = "redis://"+s.Sentinel.Addr, s.Name
			return s.Master
		},
		"in a cluster": func(t *testing.T, c *config.Config) *redistest.Server {
			s := redistest.StartCluster(t)
			c.Redis.URL = "redis://" + strings.Join(s.Addrs(), ",")
			return s.Holder(t, lua.Keyspace(c.Redis.Prefix).Key("epoch"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var master *redistest.Server
			w := place(t, func(c *config.Config) {
				master = start(t, c)
				c.NATS.URL = startNATS(t)
			})
			limit := jobs.Dollars(0.02)
			w.submit(jobs.Batch{ID: "contracts", Budget: limit, WhenSpent: jobs.BuryWhenSpent}, short(300)...)
			dismiss := w.hire("a", "b")
			w.wait(func() bool { return w.sent() > 40 })
			before := w.epoch()
			master.Seclude(t)
			w.wait(func() bool { return w.sent() > 80 })
			from := time.Now()
			master.Kill()
			w.untilOver("contracts")
			w.note(audit.Fault{Kind: audit.Redis, From: from, To: time.Now()})
			took := time.Since(from).Round(time.Millisecond)
			t.Logf("over %v after the master's end", took)
			if took > 40*time.Second {
				t.Error("the workers kept asking a server that is dead")
			}
			dismiss()
			after := w.epoch()
			if before == "" || after == "" || before == after {
				t.Errorf("the epoch was %q and is %q: the sums were not rebuilt", before, after)
			}
			e := w.look()
			for _, o := range audit.Examine(e.Evidence).Objections {
				t.Error(o)
			}
			answered := w.count("contracts", func(o *jobs.Outcome) bool { return o.Status == jobs.Answered })
			sum := w.spent("contracts")
			if answered <= 90 || answered == 300 || sum.Spent > limit || sum.Spent < limit*8/10 {
				t.Errorf("%d of 300 were answered, for %s of %s", answered, sum.Spent, limit)
			}
		})
	}
}

func (w *world) sent() int { return w.provider.sent() }

// epoch is that of the sums in Redis.
func (w *world) epoch() string {
	w.Helper()
	epoch, err := lua.Compose(lua.Keyspace(w.config.Redis.Prefix)).Epoch(w.ctx, w.client.Redis)
	w.must(err)
	return epoch
}
