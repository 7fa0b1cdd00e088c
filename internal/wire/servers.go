package wire

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/budget"
	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/embedded"
	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/llm/simulator"
	"github.com/drover-batch/drover/queue"
)

// Servers are the NATS and the Redis that a process works with.
type Servers struct {
	NATS  *nats.Conn
	Redis redis.UniversalClient
	Queue *queue.Queue

	Notes []string // what an operator should know of them

	// Embedded is set if they run in this process and end with it.
	Embedded bool

	Ledger *budget.Ledger // with the configured budgets, to look and to set limits

	config  *config.Config
	keys    lua.Keyspace
	tally   *tally // of those of a data folder, else nil
	denials denials
	examine []func(context.Context) string
	close   []func() error
}

// Close ends the connections, and the servers if they are this process's.
func (s *Servers) Close() error {
	var errs []error
	for _, f := range slices.Backward(s.close) {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

func (s *Servers) onClose(f func() error) { s.close = append(s.close, f) }

// Embed starts both servers in this process, with their data in the folder of
// the configuration. If listen is set they are open to other processes of
// this machine, who find them through the folder.
func Embed(ctx context.Context, c *config.Config, listen bool) (_ *Servers, err error) {
	s := &Servers{Embedded: true}
	c.Worker.Allowance = 0 // this process's Redis is never away
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	natsConfig := embedded.NATSConfig{Dir: c.Worker.Data}
	redisConfig := embedded.RedisConfig{Password: rand.Text()}
	if listen {
		natsConfig.Listen, natsConfig.Password = "127.0.0.1:0", rand.Text()
	}
	server, err := embedded.StartNATS(natsConfig)
	if err != nil {
		return nil, err
	}
	s.onClose(server.Close)
	c.Queue.MaxBytes = min(c.Queue.MaxBytes, config.Bytes(server.Room()/2)) // the rest is for outcomes
	memory, err := embedded.StartRedis(redisConfig)
	if err != nil {
		return nil, err
	}
	s.onClose(func() error { memory.Close(); return nil })
	if s.NATS, err = server.Connect(); err != nil {
		return nil, err
	}
	s.onClose(func() error { s.NATS.Close(); return nil })
	s.Redis = memory.Client()
	s.onClose(s.Redis.Close)
	if err = s.open(ctx, c, queue.Create); err != nil {
		return nil, err
	}
	if err = s.Queue.Reclaim(ctx); err != nil {
		return nil, err
	}
	s.tally = openTally(c.Worker.Data)
	s.onClose(func() error { s.tally.save(); return nil })
	if listen {
		if err = embedded.WriteEndpoints(c.Worker.Data, server, memory); err != nil {
			return nil, err
		}
		s.onClose(func() error { return embedded.RemoveEndpoints(c.Worker.Data) })
	}
	return s, nil
}

// Setup reaches the servers as Connect does, and lays out the streams as the
// configuration has them.
func Setup(ctx context.Context, c *config.Config) (*Servers, error) {
	return connect(ctx, c, queue.Create)
}

// Connect reaches the servers that the configuration names, or else those of
// a `worker --embedded` in the same data folder. create says whether this
// process may lay out the streams if they are missing or of an earlier build;
// otherwise they have to be there.
func Connect(ctx context.Context, c *config.Config, create bool) (*Servers, error) {
	if create {
		return connect(ctx, c, queue.Complete)
	}
	return connect(ctx, c, nil)
}

// layOut lays out the streams.
type layOut func(context.Context, *nats.Conn, queue.Config) error

func connect(ctx context.Context, c *config.Config, lay layOut) (_ *Servers, err error) {
	s := &Servers{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	natsOptions, redisOptions, err := options(ctx, c)
	if err != nil {
		return nil, err
	}
	var note string
	if s.NATS, note, err = embedded.ConnectNATS(ctx, natsOptions); err != nil {
		return nil, err
	}
	s.note(note)
	s.denials.hear(s.NATS)
	s.onClose(func() error { s.NATS.Close(); return nil })
	if s.Redis, note, err = embedded.ConnectRedis(ctx, redisOptions); err != nil {
		return nil, err
	}
	s.note(note)
	s.onClose(s.Redis.Close)
	if ours := c.NATS.URL == "" && natsOptions.URL != ""; !ours { // a worker --embedded syncs every write
		s.examine = append(s.examine, func(ctx context.Context) string { return embedded.SyncNote(ctx, natsOptions) })
	}
	if ours := c.Redis.URL == "" && redisOptions.URL != ""; !ours {
		s.examine = append(s.examine, func(ctx context.Context) string { return embedded.PersistenceNote(ctx, s.Redis) })
	}
	if err = s.open(ctx, c, lay); err != nil {
		return nil, err
	}
	return s, nil
}

// Examine adds to the notes what a power cut would take from servers that are
// not Drover's own. It blocks for a few seconds at the most.
func (s *Servers) Examine(ctx context.Context) {
	for _, look := range s.examine {
		s.note(look(ctx))
	}
}

// Outside reports whether there are servers to connect to: the configuration
// names some, or a `worker --embedded` lives in the data folder.
func Outside(ctx context.Context, c *config.Config) (bool, error) {
	if c.NATS.URL != "" {
		return true, nil
	}
	_, alive, err := embedded.FindEndpoints(ctx, c.Worker.Data)
	return alive, err
}

func options(ctx context.Context, c *config.Config) (n embedded.NATSOptions, r embedded.RedisOptions, err error) {
	n = embedded.NATSOptions{URL: c.NATS.URL, User: c.NATS.User, CredsFile: c.NATS.CredsFile, Monitor: c.NATS.Monitor}
	r = embedded.RedisOptions{
		URL: c.Redis.URL, Cluster: c.Redis.Cluster, User: c.Redis.User,
		Sentinel: c.Redis.Sentinel, SentinelUser: c.Redis.SentinelUser,
	}
	var errs [6]error
	n.Password, errs[0] = c.NATSPassword()
	r.Password, errs[1] = c.RedisPassword()
	r.SentinelPassword, errs[5] = c.SentinelPassword()
	n.TLS, errs[2] = c.NATSTLS()
	r.TLS, errs[3] = c.RedisTLS()
	if c.NATS.URL == "" || c.Redis.URL == "" {
		e, alive, err := embedded.FindEndpoints(ctx, c.Worker.Data)
		errs[4] = err
		if alive && c.NATS.URL == "" {
			n.URL = e.NATS
		}
		if alive && c.Redis.URL == "" {
			r.URL = e.Redis
		}
	}
	return n, r, errors.Join(errs[:]...)
}

func (s *Servers) note(text string) {
	if text != "" {
		s.Notes = append(s.Notes, text)
	}
}

func (s *Servers) open(ctx context.Context, c *config.Config, lay layOut) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	cfg := queue.Config{
		Prefix: c.Queue.Prefix, Lease: c.Worker.Lease, Replicas: c.Queue.Replicas, MaxBytes: int64(c.Queue.MaxBytes),
		MaxLiveBatches: c.Queue.MaxLiveBatches, MaxDeliveries: c.Queue.MaxDeliveries,
		StorePatience: c.Queue.StorePatience, CacheFor: c.Queue.CacheFor,
	}
	if lay != nil {
		if err := lay(ctx, s.NATS, cfg); err != nil {
			return err
		}
	}
	if s.Queue, err = queue.Open(ctx, s.NATS, cfg); err != nil {
		return err
	}
	s.config, s.keys = c, lua.Keyspace(c.Redis.Prefix)
	if s.Ledger, err = budget.New(budget.Config{Keys: s.keys, Budgets: budgets(c)}); err != nil {
		return fmt.Errorf("reading the budgets: %w", err)
	}
	return nil
}

// Spent is what a batch has cost so far: the sum that the workers share or,
// where none of them has put it there, the book's. The ambiguous part of it
// nobody has confirmed: calls that broke off, or died with their worker.
func (s *Servers) Spent(ctx context.Context, batch string) (spent, ambiguous jobs.USD, err error) {
	epoch, err := lua.Compose(s.keys, s.Ledger.Module()).Epoch(ctx, s.Redis)
	if err != nil {
		return 0, 0, fmt.Errorf("looking for the sums: %w", err)
	}
	sums, err := s.Ledger.Sums(ctx, s.Redis, budget.BatchAccount(batch))
	if err != nil {
		return 0, 0, err
	}
	switch {
	case len(sums) > 0:
		return sums[0].Spent, sums[0].Presumed + sums[0].Ambiguous, nil
	case epoch != "": // the sums are whole, and nothing is in them
		return 0, 0, nil
	}
	totals, err := s.totals(ctx, batch)
	for _, t := range totals {
		spent += t.Cost
		if t.Billing == jobs.Presumed {
			ambiguous += t.Cost
		}
	}
	return spent, ambiguous, err
}

// Ends counts the outcomes of a batch by how their jobs ended.
func (s *Servers) Ends(ctx context.Context, batch string) (map[jobs.Status]int64, error) {
	if s.tally != nil {
		return s.tally.ends(ctx, s.Queue, batch)
	}
	return s.Queue.Ends(ctx, batch)
}

// totals are what the book has of a batch, or of all if it is empty.
func (s *Servers) totals(ctx context.Context, batch string) ([]jobs.Spend, error) {
	if s.tally != nil {
		return s.tally.of(ctx, s.Queue, batch)
	}
	return s.Queue.Totals(ctx, batch)
}

// Simulate starts a simulator for the simulated models that name no address,
// if there are any, and gives them its own. It answers at the pace of a real
// provider.
func Simulate(c *config.Config) (stop func() error, err error) {
	idle := func() error { return nil }
	needed := false
	for _, m := range c.Models {
		needed = needed || m.Provider == "simulator" && m.BaseURL == ""
	}
	if !needed {
		return idle, nil
	}
	s, err := simulator.New(simulator.Config{Seed: 1, Latency: 400 * time.Millisecond, Spread: 0.5, TokensPerSecond: 200})
	if err != nil {
		return idle, fmt.Errorf("starting the simulator: %w", err)
	}
	url, err := s.Listen("127.0.0.1:0")
	if err != nil {
		return idle, err
	}
	for name, m := range c.Models {
		if m.Provider == "simulator" && m.BaseURL == "" {
			m.BaseURL = url
			c.Models[name] = m
		}
	}
	return s.Close, nil
}
