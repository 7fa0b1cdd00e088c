package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"crypto/rand"

	"github.com/drover-batch/drover/bench/process"
	"github.com/drover-batch/drover/internal/audit"
	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/llm/simulator"
)

// The times of a fleet that goes through much in a minute.
const (
	lease         = 5 * time.Second
	grace         = 3 * time.Second
	timeout       = 4 * time.Second
	storePatience = 5 * time.Second
	reconnects    = 3 * time.Second // how long clients of NATS may take to notice that it is back
)

// rig is everything that runs.
type rig struct {
	options
	notes io.Writer
	dir   string

	programs *process.Programs
	children process.Children
	nats     []*natsNode
	redis    *redisServer
	provider *process.Provider
	workers  []*worker
	enqueuer *party
	observer *party
	servers  *wire.Servers // the observer's
	config   *config.Config
	watch    *outcomeWatch
	secrets  secrets

	batches []*batch          // all there were
	current map[string]*batch // those of this round, by what is special about them

	mu      sync.Mutex
	faults  []audit.Fault
	submits int          // runs of enqueue that had to be repeated
	said    []audit.Text // by enqueue
	began   time.Time
	ends    []func() error
}

// secrets are planted, to be looked for where they should not be.
type secrets struct{ key, nats, redis, phrase string }

func plant() secrets {
	return secrets{
		key: "sk-canary-" + rand.Text(), nats: "nats-canary-" + rand.Text(), redis: "redis-canary-" + rand.Text(),
		phrase: "the canary sings of " + strings.ToLower(rand.Text()),
	}
}

func (s *secrets) environ() []string {
	return append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, "CANARY_KEY="+s.key, "NATS_PASSWORD="+s.nats, "REDIS_PASSWORD="+s.redis)
}

// party is a process, or this one, with links of its own to everything.
type party struct {
	name     string
	nats     []*proxy
	redis    *proxy
	provider *proxy
	file     string // its drover.yaml
}

// open starts everything but the workers, who come with the work.
func (r *rig) open(ctx context.Context) (err error) {
	r.secrets, r.began = plant(), time.Now()
	if err := os.MkdirAll(filepath.Join(r.dir, "logs"), 0o700); err != nil {
		return err
	}
	r.say("building")
	if r.programs, err = process.Build(ctx, r.dir); err != nil {
		return err
	}
	if err := errors.Join(r.layOutNATS(), r.layOutRedis()); err != nil {
		return err
	}
	for _, n := range r.nats {
		r.nodeUp(n, &err)
	}
	if err == nil {
		err = r.startRedis()
	}
	if err != nil {
		return err
	}
	r.provider, err = process.NewProvider(simulator.Config{
		Seed: r.seed, Key: r.secrets.key, Latency: 300 * time.Millisecond, Spread: 0.5, Odds: odds, Keep: 1 << 20,
		Limits: map[string]simulator.Limit{"small": {RequestsPerMinute: r.perMinute() * 11 / 10, Burst: 6 * time.Second}},
	})
	if err != nil {
		return err
	}
	r.ends = append(r.ends, r.provider.Close)
	if r.observer, err = r.newParty("observer"); err != nil {
		return err
	}
	if r.enqueuer, err = r.newParty("enqueuer"); err != nil {
		return err
	}
	return r.connect(ctx)
}

// nodeUp starts a node without waiting: a cluster is up when most of it is.
func (r *rig) nodeUp(n *natsNode, err *error) {
	if *err == nil {
		*err = r.startNATS(n)
	}
}

// connect lays out the streams and begins to watch them.
func (r *rig) connect(ctx context.Context) (err error) {
	r.config, err = config.Load(config.Source{Path: r.observer.file, Environ: r.secrets.environ()})
	if err != nil {
		return err
	}
	for attempt := 0; ; attempt++ { // a new cluster takes seconds to elect its leaders
		r.servers, err = wire.Connect(ctx, r.config, true)
		if err == nil || attempt == 30 || ctx.Err() != nil {
			break
		}
		time.Sleep(500 * time.Millisecond)
	}
	if err != nil {
		return err
	}
	r.ends = append(r.ends, r.servers.Close)
	r.watch, err = watchOutcomes(ctx, r.servers.NATS, r.config.Queue.Prefix)
	if err == nil {
		r.ends = append(r.ends, func() error { r.watch.stop(); return nil })
	}
	return err
}

// close ends everything there is, in whatever state it is.
func (r *rig) close() {
	for _, w := range r.workers {
		w.retire()
	}
	r.children.KillAll()
	for i := len(r.ends) - 1; i >= 0; i-- {
		_ = r.ends[i]()
	}
}

// newParty makes the links of a process and writes its configuration.
func (r *rig) newParty(name string) (*party, error) {
	p := &party{name: name, file: filepath.Join(r.dir, name, "drover.yaml")}
	link := func(dial func() (net.Conn, error)) (*proxy, error) {
		x, err := newProxy(dial)
		if err == nil {
			r.ends = append(r.ends, func() error { x.close(); return nil })
		}
		return x, err
	}
	for _, n := range r.nats {
		x, err := link(r.dialNATS(n))
		if err != nil {
			return nil, err
		}
		p.nats = append(p.nats, x)
	}
	var err error
	if p.redis, err = link(r.dialRedis); err != nil {
		return nil, err
	}
	door, err := r.provider.Door(name)
	if err != nil {
		return nil, err
	}
	if p.provider, err = link(func() (net.Conn, error) { return net.Dial("tcp", door) }); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(p.file), 0o700); err != nil {
		return nil, err
	}
	return p, os.WriteFile(p.file, []byte(r.yaml(p)), 0o600)
}

// yaml is the configuration of a process.
func (r *rig) yaml(p *party) string {
	urls := make([]string, len(p.nats))
	for i, x := range p.nats {
		urls[i] = "nats://" + x.addr()
	}
	model := func(name string, context, output int, more string) string {
		return fmt.Sprintf("  %s: {provider: openai, base_url: \"http://%s/v1\", api_key_env: CANARY_KEY, context: %d, max_output: %d, timeout: %s, %s}\n",
			name, p.provider.addr(), context, output, timeout, more)
	}
	return "models:\n" +
		model("small", 2000, 100, "quota: small, price: {input: 1, output: 4}") +
		model("large", 100000, 200, "price: {input: 10, output: 40}") +
		"chains:\n  default: [small, large]\n  cheap: [small]\n" +
		fmt.Sprintf("quotas:\n  small: {requests_per_minute: %d}\n", r.perMinute()) +
		"retry: {tries: 3, base: 200ms, max: 2s}\nbreaker: {recovery: 2s}\n" +
		fmt.Sprintf("budgets:\n  - {name: metered, tenant: metered, limit: %s, when_spent: bury}\n", strings.TrimPrefix(r.meter().String(), "$")) +
		fmt.Sprintf("worker: {slots: 8, grace: %s, lease: %s, data: %q, http: \"127.0.0.1:0\"}\n", grace, lease, filepath.Join(r.dir, p.name, "data")) +
		fmt.Sprintf("queue: {store_patience: %s, replicas: %d, max_bytes: 4MiB}\n", storePatience, len(r.nats)) +
		fmt.Sprintf("nats: {url: %q, user: %s}\nredis: {url: \"redis://%s\"}\n", strings.Join(urls, ","), user, p.redis.addr())
}

// perMinute is the quota of the fleet: its workers could do more.
func (r *rig) perMinute() int { return 1500 }

// round is how long a set of batches is worked on.
func (r *rig) round() time.Duration {
	if r.soak {
		return minute
	}
	return r.last
}

// total is how many jobs keep the fleet busy for a round, or a third as
// busy for those of a soak: what is late must not pile up.
func (r *rig) total() int {
	load := 0.8
	if r.soak {
		load = 0.3
	}
	return max(60, int(r.round().Minutes()*float64(r.perMinute())*load))
}

// typical is what a call costs.
const typical = 200 * jobs.USD(1)

// meter is the limit of the metered tenant: it pays for half its jobs.
func (r *rig) meter() jobs.USD { return typical * jobs.USD(r.total()*share["metered"]/200) }

func (r *rig) say(format string, args ...any) {
	_, _ = fmt.Fprintf(r.notes, "%6.1fs %s\n", time.Since(r.began).Seconds(), fmt.Sprintf(format, args...))
}

// note remembers what was done, for the audit.
func (r *rig) note(f audit.Fault) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, f)
}
