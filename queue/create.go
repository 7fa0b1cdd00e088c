package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Queue is Drover's share of a JetStream account. It is safe for concurrent
// use and holds nothing that needs closing; the connection stays the caller's.
type Queue struct {
	cfg Config
	names
	nc *nats.Conn
	js jetstream.JetStream

	jobs     jetstream.Stream
	outcomes *journal
	dead     *journal
	waste    *journal
	returns  *journal
	steps    *journal
	calls    jetstream.Stream
	batches  jetstream.KeyValue
	states   jetstream.Stream // the stream behind batches
	cache    jetstream.KeyValue
	settings jetstream.KeyValue
	docs     jetstream.ObjectStore

	away      atomic.Pointer[time.Time] // when NATS was last missed
	consumers atomic.Int64              // of jobs, when last counted
	room      *room

	claims sightings

	limit      int // most bytes of one message's body
	groupBytes int // most bytes of a group of jobs
}

// margin is what a message's headers and subject may take of the server's
// max_payload.
const margin = 64 << 10

// Create makes the streams and buckets, or brings existing ones in line with
// the configuration. It is the explicit step that everything else relies on
// and may be repeated at will.
func Create(ctx context.Context, nc *nats.Conn, cfg Config) error {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("creating the queue: %w", err)
	}
	n := newNames(cfg.Prefix)
	if old, err := js.Stream(ctx, n.stream("JOBS")); err == nil {
		if err := cmp.Or(outdated(old), known(old)); err != nil {
			return fmt.Errorf("creating the queue: %w", err)
		}
	}
	for _, s := range streams(cfg, n) {
		if _, err := js.CreateOrUpdateStream(ctx, s); err != nil {
			return fmt.Errorf("creating stream %s: %w", s.Name, denied(tooLarge(err, s.MaxBytes)))
		}
	}
	for _, b := range []jetstream.KeyValueConfig{
		{Bucket: n.stream("BATCHES"), Replicas: cfg.Replicas},
		{Bucket: n.stream("CACHE"), Replicas: cfg.Replicas, TTL: cfg.CacheFor},
		{Bucket: n.stream("SETTINGS"), Replicas: cfg.Replicas},
	} {
		if _, err := js.CreateOrUpdateKeyValue(ctx, b); err != nil {
			return fmt.Errorf("creating bucket %s: %w", b.Bucket, err)
		}
	}
	docs := jetstream.ObjectStoreConfig{Bucket: n.stream("DOCS"), Replicas: cfg.Replicas}
	if _, err := js.CreateOrUpdateObjectStore(ctx, docs); err != nil {
		return fmt.Errorf("creating object store %s: %w", docs.Bucket, err)
	}
	return nil
}

// Complete is Create for whoever is one of many, with a configuration that may
// not be everybody's: what there is already keeps the replicas that it has.
func Complete(ctx context.Context, nc *nats.Conn, cfg Config) error {
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("creating the queue: %w", err)
	}
	there, err := js.Stream(ctx, newNames(cfg.withDefaults().Prefix).stream("JOBS"))
	switch {
	case err == nil:
		cfg.Replicas = there.CachedInfo().Config.Replicas
	case !errors.Is(err, jetstream.ErrStreamNotFound):
		return fmt.Errorf("creating the queue: %w", err)
	}
	return Create(ctx, nc, cfg)
}

// tooLarge says which setting asks for more room than the server has.
func tooLarge(err error, bytes int64) error {
	if bytes <= 0 || !full(err) {
		return err
	}
	return fmt.Errorf("it sets %d MiB aside (queue.max_bytes) and NATS has not as much room: lower queue.max_bytes, or raise the server's max_file_store: %w", bytes>>20, err)
}

// denied says why a server that is there may not answer: it tells nobody
// who asks for what they may not.
func denied(err error) error {
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("NATS did not answer; a user that may not lay out streams gets no answer: run enqueue setup as one that may, and workers with --create=false: %w", err)
}

// streams lists them. A replica other than the leader may lag, and what is
// read here decides whether to pay, so direct reads are for one replica only.
func streams(cfg Config, n names) []jetstream.StreamConfig {
	base := jetstream.StreamConfig{
		Storage: jetstream.FileStorage, Replicas: cfg.Replicas,
		AllowAtomicPublish: true, AllowDirect: cfg.Replicas == 1,
	}
	queue, outcomes, dead, waste, returns, steps, calls := base, base, base, base, base, base, base

	queue.Name = n.stream("JOBS")
	queue.Metadata = map[string]string{formatKey: strconv.Itoa(format)}
	queue.Subjects = []string{n.subject("jobs", "*", "*"), n.subject("cursor", "*"), n.subject("replayed", "*", "*")}
	queue.Discard = jetstream.DiscardNew
	queue.AllowRollup = true // cursors and replay marks replace their predecessor
	queue.MaxConsumers = mostConsumers
	queue.MaxBytes = -1
	if cfg.MaxBytes > 0 {
		queue.MaxBytes = cfg.MaxBytes
	}

	outcomes.Name = n.stream("OUTCOMES")
	outcomes.Subjects = []string{n.subject("outcomes", "*", "*")}
	outcomes.MaxMsgsPerSubject = 1

	dead.Name = n.stream("DEAD")
	dead.Subjects = []string{n.subject("dead", "*", "*"), n.subject("gone", "*", "*")}
	dead.MaxMsgsPerSubject = 1

	waste.Name = n.stream("WASTE")
	waste.Subjects = []string{n.subject("waste", "*", "*", "*"), n.subject("lapsed", "*", "*", "*")}

	returns.Name = n.stream("RETURNS")
	returns.Subjects = []string{n.subject("returns", "*", "*")}
	returns.MaxMsgsPerSubject = 1
	returns.MaxAge = 30 * 24 * time.Hour

	steps.Name = n.stream("STEPS")
	steps.Subjects = []string{n.subject("steps", "*", "*")}
	steps.MaxMsgsPerSubject = 1

	calls.Name = n.stream("CALLS")
	calls.Subjects = []string{n.subject("calls", "*")}

	return []jetstream.StreamConfig{queue, outcomes, dead, waste, returns, steps, calls}
}

// outdated refuses a stream of jobs that was laid out when each was removed by
// itself: what waits there is on other subjects.
func outdated(s jetstream.Stream) error {
	c := s.CachedInfo().Config
	if c.Retention != jetstream.WorkQueuePolicy {
		return nil
	}
	return fmt.Errorf("stream %s is of an earlier build: let its batches end with that, then delete the stream, or the data folder if the servers are embedded", c.Name)
}

// Open binds to what Create made. It never creates anything: missing streams
// are an error that says what to do.
func Open(ctx context.Context, nc *nats.Conn, cfg Config) (*Queue, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, fmt.Errorf("opening the queue: %w", err)
	}
	q := &Queue{cfg: cfg, names: newNames(cfg.Prefix), nc: nc, js: js, limit: int(nc.MaxPayload()) - margin, room: newRoom()}
	if q.limit < margin {
		return nil, fmt.Errorf("opening the queue: the server's max_payload of %d bytes is too small; allow at least %d", nc.MaxPayload(), 2*margin)
	}
	if err := q.bind(ctx); err != nil {
		if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, jetstream.ErrBucketNotFound) {
			return nil, fmt.Errorf("opening the queue: the streams of prefix %q do not exist on this server: enqueue setup lays them out, as does a worker that may: %w", cfg.Prefix, err)
		}
		return nil, fmt.Errorf("opening the queue: %w", err)
	}
	return q, nil
}

func (q *Queue) bind(ctx context.Context) error {
	var err error
	if q.jobs, err = q.js.Stream(ctx, q.stream("JOBS")); err != nil {
		return fmt.Errorf("stream %s: %w", q.stream("JOBS"), err)
	}
	if err := cmp.Or(outdated(q.jobs), known(q.jobs)); err != nil {
		return err
	}
	q.groupBytes = groupBytes
	if most := q.jobs.CachedInfo().Config.MaxBytes; most > 0 {
		q.groupBytes = min(groupBytes, int(most/8)) // a group must find room whole
	}
	for _, j := range []struct {
		name string
		at   **journal
	}{{"OUTCOMES", &q.outcomes}, {"DEAD", &q.dead}, {"WASTE", &q.waste}, {"RETURNS", &q.returns}, {"STEPS", &q.steps}} {
		s, err := q.js.Stream(ctx, q.stream(j.name))
		if err != nil {
			return fmt.Errorf("stream %s: %w", q.stream(j.name), err)
		}
		*j.at = newJournal(q.js, s, q.room)
	}
	if q.calls, err = q.js.Stream(ctx, q.stream("CALLS")); err != nil {
		return fmt.Errorf("stream %s: %w", q.stream("CALLS"), err)
	}
	if q.batches, err = q.js.KeyValue(ctx, q.stream("BATCHES")); err != nil {
		return fmt.Errorf("bucket %s: %w", q.stream("BATCHES"), err)
	}
	if q.states, err = q.js.Stream(ctx, "KV_"+q.stream("BATCHES")); err != nil {
		return fmt.Errorf("bucket %s: %w", q.stream("BATCHES"), err)
	}
	if q.cache, err = q.js.KeyValue(ctx, q.stream("CACHE")); err != nil {
		return fmt.Errorf("bucket %s: %w", q.stream("CACHE"), err)
	}
	if q.settings, err = q.js.KeyValue(ctx, q.stream("SETTINGS")); err != nil {
		return fmt.Errorf("bucket %s: %w", q.stream("SETTINGS"), err)
	}
	if q.docs, err = q.js.ObjectStore(ctx, q.stream("DOCS")); err != nil {
		return fmt.Errorf("object store %s: %w", q.stream("DOCS"), err)
	}
	return nil
}
