package pool

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"

	"github.com/drover-batch/drover/jobs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is a pool with a source and a handler of its own, in a bubble.
type world struct {
	*testing.T
	pool  *Pool
	log   bytes.Buffer
	stop  context.CancelFunc // stop taking
	kill  context.CancelFunc // stop working
	ended chan struct{}

	mu      sync.Mutex
	queue   []*delivery
	arrived chan struct{}
	lent    int // not settled yet
	most    int // lent at once
	asked   int // calls of Next
	rests   map[string]time.Duration
	pauses  []string
	stored  []*jobs.Outcome
	nextErr error
}

// delivery is one job of the world; what is done to it is recorded.
type delivery struct {
	w       *world
	job     *jobs.Job
	batch   *jobs.Batch
	stale   bool
	settled bool
	lookErr error
	lease   time.Duration // 0 is 30s
	endErr  error         // of whatever ends it
	endTime time.Duration // that takes
	extend  func(context.Context) error

	mu      sync.Mutex
	expires time.Time
	extends int
	ends    []string // done, bury, defer 5s, return, release
	outcome *jobs.Outcome
	tries   []jobs.Attempt
}

func (d *delivery) Job() *jobs.Job                                       { return d.job }
func (d *delivery) Batch() *jobs.Batch                                   { return d.batch }
func (d *delivery) Fresh() bool                                          { return !d.stale }
func (d *delivery) Settled(context.Context) (bool, error)                { return d.settled, d.lookErr }
func (d *delivery) Tried(context.Context) (map[string]jobs.Tries, error) { return nil, nil }
func (d *delivery) Resume(context.Context) (*jobs.Checkpoint, error)     { return nil, nil }
func (d *delivery) Checkpoint(context.Context, *jobs.Checkpoint) error   { return nil }
func (d *delivery) Release(ctx context.Context) error                    { return d.end(ctx, "release", nil, nil) }

func (d *delivery) Done(ctx context.Context, o *jobs.Outcome) error {
	return d.end(ctx, "done", o, nil)
}

func (d *delivery) Bury(ctx context.Context, o *jobs.Outcome) error {
	return d.end(ctx, "bury", o, nil)
}

func (d *delivery) Defer(ctx context.Context, wait time.Duration, a []jobs.Attempt) error {
	return d.end(ctx, "defer "+wait.String(), nil, a)
}

func (d *delivery) Return(ctx context.Context, a []jobs.Attempt) error {
	return d.end(ctx, "return", nil, a)
}

func (d *delivery) end(ctx context.Context, how string, o *jobs.Outcome, a []jobs.Attempt) error {
	time.Sleep(d.endTime)
	d.mu.Lock()
	d.ends, d.outcome, d.tries = append(d.ends, how), o, a
	d.mu.Unlock()
	d.w.mu.Lock()
	d.w.lent--
	d.w.mu.Unlock()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return d.endErr
}

func (d *delivery) Extend(ctx context.Context) error {
	d.mu.Lock()
	d.extends++
	back := len(d.ends) > 0 && d.outcome == nil
	d.mu.Unlock()
	if back { // and not stored: the lease is kept until that is done, and nobody else is lent it after that
		d.w.Error("a lease was renewed after the job was handed back")
	}
	if d.extend != nil {
		if err := d.extend(ctx); err != nil {
			return err
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.expires = time.Now().Add(d.lease)
	return nil
}

func (d *delivery) Expires() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.expires
}

// ended tells how the delivery ended, however often.
func (d *delivery) ended() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.ends, ", ")
}

func inWorld(t *testing.T, handle func(context.Context, jobs.Delivery) jobs.Decision, play func(*world)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, arrived: make(chan struct{}, 1), ended: make(chan struct{}), rests: map[string]time.Duration{}}
		w.pool = &Pool{
			Source: w, Handle: func(ctx context.Context, d jobs.Delivery, _ *Slot) jobs.Decision { return handle(ctx, d) }, Slots: 4,
			Log: zerolog.New(&w.log),
			Pause: func(_ context.Context, lent *jobs.Batch, short *jobs.Shortage) error {
				w.pauses = append(w.pauses, lent.ID+": "+short.Reason)
				return nil
			},
			OnOutcome: func(o *jobs.Outcome) {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.stored = append(w.stored, o)
			},
		}
		play(w)
		w.stop()
		<-w.ended
	})
}

// start runs the pool. It is called once the world is set up.
func (w *world) start() {
	taking, stop := context.WithCancel(w.Context())
	working, kill := context.WithCancel(w.Context())
	w.stop, w.kill = stop, kill
	w.Cleanup(kill)
	go func() {
		defer close(w.ended)
		w.pool.Run(taking, working)
	}()
}

// offer puts a job in the queue.
func (w *world) offer(d *delivery) *delivery {
	d.w = w
	if d.job == nil {
		d.job = &jobs.Job{ID: "j", Batch: "b", Run: 1}
	}
	if d.batch == nil {
		d.batch = &jobs.Batch{ID: "b", Tenant: "acme"}
	}
	if d.lease == 0 {
		d.lease = 30 * time.Second
	}
	w.mu.Lock()
	w.queue = append(w.queue, d)
	w.mu.Unlock()
	select {
	case w.arrived <- struct{}{}:
	default:
	}
	return d
}

// runs starts the pool with one job and waits until that has ended.
func (w *world) runs(d *delivery) *delivery {
	w.Helper()
	w.offer(d)
	w.start()
	for d.ended() == "" {
		time.Sleep(time.Second)
	}
	synctest.Wait()
	return d
}

// sleep lets time pass, and everybody get as far as they can by then.
func (w *world) sleep(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (w *world) Next(ctx context.Context, free int) ([]jobs.Delivery, error) {
	for {
		w.mu.Lock()
		w.asked++
		if err := w.nextErr; err != nil {
			w.mu.Unlock()
			return nil, err
		}
		var lent []jobs.Delivery
		for _, d := range w.queue[:min(free, len(w.queue))] {
			d.mu.Lock()
			d.expires = time.Now().Add(d.lease)
			d.mu.Unlock()
			lent = append(lent, d)
		}
		w.queue = w.queue[len(lent):]
		w.lent += len(lent)
		w.most = max(w.most, w.lent)
		w.mu.Unlock()
		if len(lent) > 0 {
			return lent, nil
		}
		select {
		case <-w.arrived:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (w *world) Rest(batch string, d time.Duration) { w.rests[batch] = d }

func (w *world) equal(what string, got, want any) {
	w.Helper()
	if got != want {
		w.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// answers takes so long and answers.
func answers(after time.Duration) func(context.Context, jobs.Delivery) jobs.Decision {
	return func(ctx context.Context, d jobs.Delivery) jobs.Decision {
		sleep(ctx, after)
		if ctx.Err() != nil {
			return jobs.Decision{Back: true}
		}
		return jobs.Decision{Outcome: jobs.NewOutcome(d.Job(), d.Batch(), jobs.Answered, []jobs.Attempt{
			{Run: d.Job().Run, Model: "small", Usage: jobs.Usage{Input: 100, Output: 10}, Cost: 120},
		})}
	}
}

func decides(made jobs.Decision) func(context.Context, jobs.Delivery) jobs.Decision {
	return func(context.Context, jobs.Delivery) jobs.Decision { return made }
}

var errAway = errors.New("the broker is away")
