package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/drover-batch/drover/jobs"
)

// settleTimeout bounds the small writes that end a delivery.
const settleTimeout = 5 * time.Second

// delivery implements jobs.Delivery.
type delivery struct {
	q           *Queue
	s           *Source
	job         *jobs.Job
	batch       *jobs.Batch
	ack         string    // subject that the broker takes our word on
	deliveries  uint64    // how often the broker delivered it, this time included
	fresh       bool      // it was when it was lent
	firstExpiry time.Time // when its first lease ends
	server      string    // id of the server that had counted its deliveries then
	reconnects  uint64    // how often the connection had been made anew by then
	lease       time.Duration
	steps       steps
	deaths      int // see Deaths

	l      *live   // whose account it is on; nil for none
	began  float64 // on the source's clock
	charge float64 // what it was charged

	mu      sync.Mutex
	expires time.Time
}

var _ jobs.Delivery = (*delivery)(nil)

func (d *delivery) Job() *jobs.Job     { return d.job }
func (d *delivery) Batch() *jobs.Batch { return d.batch }

// Fresh is certain only for as long as nobody else can have been lent the job
// meanwhile: a server that was restarted has forgotten renewals, and perhaps
// the delivery, and yet confirms what is said about it.
func (d *delivery) Fresh() bool {
	return d.fresh && time.Now().Before(d.firstExpiry) && (!d.q.nc.IsConnected() || d.s.counted(d.server))
}

func (d *delivery) Expires() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.expires
}

func (d *delivery) held() bool { return time.Now().Before(d.Expires()) }

// Settled asks for the newest outcome. A dead one of this very run whose
// letter is missing is what a crash in the middle of Bury leaves behind: the
// letter is written now.
func (d *delivery) Settled(ctx context.Context) (bool, error) {
	there, err := lastOn(ctx, d.q.outcomes, d.q.outcome(d.job.Batch, d.job.ID))
	if err != nil {
		return false, fmt.Errorf("looking up the outcome of job %s: %w", d.job.ID, err)
	}
	if newest(there) == d.job.Replaces {
		return false, nil
	}
	if there != nil && isDead(there.Header) && runOf(there.Header) == d.job.Run {
		letter, err := lastOn(ctx, d.q.dead, d.q.names.dead(d.job.Batch, d.job.ID))
		if err != nil {
			return false, fmt.Errorf("looking up the dead letter of job %s: %w", d.job.ID, err)
		}
		if letter == nil || runOf(letter.Header) < d.job.Run {
			o, err := d.q.decodeOutcome(ctx, there.Header, there.Data)
			if err != nil {
				return false, err
			}
			if err := d.q.ensureLetter(ctx, d.job, o); err != nil {
				return false, fmt.Errorf("storing the dead letter of job %s: %w", d.job.ID, err)
			}
		}
	}
	return true, nil
}

// Done and Bury differ in nothing but the outcome's status: settle writes the
// letter of a dead one before the job is let go of.
func (d *delivery) Done(ctx context.Context, o *jobs.Outcome) error { return d.end(ctx, o) }
func (d *delivery) Bury(ctx context.Context, o *jobs.Outcome) error { return d.end(ctx, o) }

func (d *delivery) end(ctx context.Context, o *jobs.Outcome) error {
	defer d.s.ended(d)
	err := d.s.spool.keep(context.WithoutCancel(ctx), d.q, d, &record{Job: d.job, Outcome: o})
	if err != nil && !errors.Is(err, jobs.ErrSettled) {
		return err
	}
	if lost := d.letGo(); err == nil {
		err = lost
	}
	return err
}

// Release acknowledges a job that has its outcome.
func (d *delivery) Release(context.Context) error {
	defer d.s.ended(d)
	return d.letGo()
}

// Tried reads what earlier deliveries of this run put on record.
func (d *delivery) Tried(ctx context.Context) (map[string]jobs.Tries, error) {
	if d.deliveries <= 1 {
		return nil, nil
	}
	r, err := d.q.returned(ctx, d.job)
	if err == nil {
		d.deaths = max(0, int(d.deliveries)-1-r.Count)
	}
	return r.Tried, err
}

// Deaths is how many earlier deliveries of this run ended without a word, since
// their workers died or lost their lease, as Tried has found.
func (d *delivery) Deaths() int { return d.deaths }

// letGo acknowledges the job while the lease lasts. Nothing depends on it
// arriving: what comes back finds its outcome.
func (d *delivery) letGo() error {
	if !d.held() {
		return jobs.ErrLeaseLost
	}
	d.s.acks.send(d.ack, d.reconnects)
	return nil
}

// Defer hands the job back for later.
func (d *delivery) Defer(ctx context.Context, wait time.Duration, attempts []jobs.Attempt) error {
	nak, err := json.Marshal(struct {
		Delay time.Duration `json:"delay"`
	}{max(wait, time.Millisecond)})
	if err != nil {
		return fmt.Errorf("deferring job %s: %w", d.job.ID, err)
	}
	err = d.handBack(ctx, append([]byte("-NAK "), nak...), attempts)
	if err == nil {
		d.s.defers(d, wait)
	}
	return err
}

// Return hands the job back for now.
func (d *delivery) Return(ctx context.Context, attempts []jobs.Attempt) error {
	return d.handBack(ctx, []byte("-NAK"), attempts)
}

// handBack records what must not be forgotten and then gives the job up. An
// unrecorded return counts as one more killed worker, so a failure to record
// it does not keep the job from going back.
func (d *delivery) handBack(ctx context.Context, nak []byte, attempts []jobs.Attempt) error {
	defer d.s.ended(d)
	ctx = context.WithoutCancel(ctx)
	attempts = d.steps.unkept(attempts)
	back := &record{Job: d.job, Waste: &wasted{Reason: "deferred before an outcome", Attempts: attempts}}
	if d.s.spool != nil && d.held() {
		back.Waste.Delivery = d.deliveries // on record before anybody is lent the job again
	}
	if err := d.s.spool.keep(ctx, d.q, nil, back); err != nil {
		return fmt.Errorf("handing back job %s: %w", d.job.ID, err)
	}
	if !d.held() {
		return jobs.ErrLeaseLost
	}
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	var recorded error
	if back.Waste.Delivery == 0 {
		recorded = d.q.recordReturn(ctx, d.job, d.deliveries, attempts)
	}
	if err := d.tell(ctx, nak); err != nil {
		return fmt.Errorf("handing back job %s: %w", d.job.ID, err)
	}
	return recorded
}

// tell says something about the job to the broker and waits for it to be
// heard, no longer than the lease lasts.
func (d *delivery) tell(ctx context.Context, what []byte) error {
	if !d.q.nc.IsConnected() {
		return nats.ErrDisconnected
	}
	ctx, cancel := context.WithDeadlineCause(ctx, d.Expires(), jobs.ErrLeaseLost)
	defer cancel()
	_, err := d.q.nc.RequestWithContext(ctx, d.ack, what)
	return err
}

// Extend renews the lease. It counts from when it was asked for, which is
// before the broker starts its own clock anew.
func (d *delivery) Extend(ctx context.Context) error {
	asked := time.Now()
	if !d.held() {
		return jobs.ErrLeaseLost
	}
	err := d.tell(ctx, []byte("+WPI"))
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case !time.Now().Before(d.expires): // also if the answer came, but too late
		return jobs.ErrLeaseLost
	case err != nil:
		return fmt.Errorf("renewing the lease on job %s: %w", d.job.ID, err)
	}
	if until := asked.Add(d.lease); until.After(d.expires) {
		d.expires = until
	}
	return nil
}
