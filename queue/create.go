package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

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
	queue.Metadata = map[string]string{formatKey: strconv.Itoa(streamFormat)}
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
