package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/drover-batch/drover/jobs"
)

// Queue is Drover's share of a JetStream account. It is safe for concurrent
// use and holds nothing that needs closing; the connection stays the caller's.
type Queue struct {
	cfg Config
	names
	nc *nats.Conn
	js jetstream.JetStream

	jobs     jetstream.Stream
	runs     *journal // in jobs, of letters that are replayed
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
	bodies   jetstream.Stream // behind docs

	away      atomic.Pointer[time.Time] // when NATS was last missed
	consumers atomic.Int64              // of jobs, when last counted
	room      *room
	claims    sightings // of other processes
	noted     sync.Map  // batches that are noted to be unpriced
	onEnded   func(*jobs.Job, *jobs.Batch, *jobs.Outcome)

	mostBody   int // bytes of one message
	groupBytes int // at the most, of a group of jobs
}

// margin is what a message's headers and subject may take of the server's
// max_payload.
const margin = 64 << 10

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
	q := &Queue{cfg: cfg, names: newNames(cfg.Prefix), nc: nc, js: js, mostBody: int(nc.MaxPayload()) - margin, room: newRoom()}
	if q.mostBody < margin {
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

// OnEnded has f told of the outcomes of jobs that nobody was lent: cancelled ones,
// those past their deadline, and those that kill workers or cannot be read. It
// comes before anything is lent or cancelled.
func (q *Queue) OnEnded(f func(*jobs.Job, *jobs.Batch, *jobs.Outcome)) { q.onEnded = f }

// ended tells of a job that nobody was lent, and of what came of storing its
// outcome.
func (q *Queue) ended(d *delivery, o *jobs.Outcome, err error) {
	stored := err == nil || errors.Is(err, jobs.ErrSpooled) || errors.Is(err, jobs.ErrLeaseLost)
	if q.onEnded != nil && stored {
		q.onEnded(d.job, d.batch, o)
	}
}

func (q *Queue) bind(ctx context.Context) error {
	var err error
	if q.jobs, err = q.js.Stream(ctx, q.stream("JOBS")); err != nil {
		return fmt.Errorf("stream %s: %w", q.stream("JOBS"), err)
	}
	if err := cmp.Or(outdated(q.jobs), known(q.jobs)); err != nil {
		return err
	}
	q.runs = newJournal(q.js, q.jobs, newRoom()) // that there is none for jobs says nothing of outcomes
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
	if q.bodies, err = q.js.Stream(ctx, "OBJ_"+q.stream("DOCS")); err != nil {
		return fmt.Errorf("object store %s: %w", q.stream("DOCS"), err)
	}
	return nil
}
