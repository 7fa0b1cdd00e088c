package wire

import (
	"context"
	"errors"
	"time"

	"github.com/drover-batch/drover/internal/trace"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/queue"
	"github.com/drover-batch/drover/resilience"
	"github.com/drover-batch/drover/tools"
)

// recorded writes every admitted call down in the broker before it is made:
// Redis may be lost, and its worker with it.
type recorded struct {
	resilience.Admission
	gate *resilience.Gate
	log  *queue.CallLog
}

// Enter implements resilience.Admission.
func (r *recorded) Enter(ctx context.Context, c *jobs.Call) (resilience.Pass, error) {
	pass, err := r.Admission.Enter(ctx, c)
	if err != nil || pass.Refusal != nil || c.Worst == 0 {
		return pass, err
	}
	err = r.log.Begin(ctx, c, pass.Generation)
	if err == nil {
		return pass, nil
	}
	unmade := &jobs.Attempt{Call: c.ID, Run: c.Run, Model: c.Model.Name, Started: time.Now(), Kind: jobs.Interrupted, Billing: jobs.Free}
	if left := r.Admission.Leave(context.WithoutCancel(ctx), c, unmade); left != nil || !errors.Is(err, queue.ErrFenced) {
		return resilience.Pass{}, errors.Join(err, left)
	}
	return resilience.Pass{Refusal: &resilience.Refusal{
		Guard: resilience.LedgerGuard, Reason: "the sums were just rebuilt", Wait: time.Millisecond,
	}}, nil
}

// Leave implements resilience.Admission. A call that cost nothing is
// forgotten at once; the others when they are in the book.
func (r *recorded) Leave(ctx context.Context, c *jobs.Call, a *jobs.Attempt) error {
	err := r.Admission.Leave(ctx, c, a)
	switch {
	case a.Billing == jobs.Billed || a.Billing == jobs.Presumed:
	case c.Worst == 0:
		r.gate.Booked(c.ID)
	default:
		r.log.End(c.ID)
	}
	return err
}

// admission is the gate and the record of calls, shut while an answer would
// have nowhere to wait.
func (w *Worker) admission() resilience.Admission {
	r := &recorded{w.gate, w.gate, w.log}
	if w.allowance != nil {
		r.Admission = w.allowance
	}
	if w.spool == nil {
		return r
	}
	return &sheltered{r, w.spool}
}

type sheltered struct {
	resilience.Admission
	spool *spool
}

// Enter implements resilience.Admission.
func (s *sheltered) Enter(ctx context.Context, c *jobs.Call) (resilience.Pass, error) {
	if err := s.spool.Trouble(); err != nil {
		return resilience.Pass{}, err
	}
	return s.Admission.Enter(ctx, c)
}

// source lends deliveries that tell the gate and the record of calls what is
// in the book.
type source struct {
	*queue.Source
	gate    *resilience.Gate
	log     *queue.CallLog
	onWaste func([]jobs.Attempt)
	tracer  *trace.Tracer // nil if nobody asked for traces
}

// Next implements pool.Source.
func (s *source) Next(ctx context.Context, free int) ([]jobs.Delivery, error) {
	list, err := s.Source.Next(ctx, free)
	return s.told(list), err
}

// newcomers is what pool.Pool.Newcomers asks.
func (s *source) newcomers(ctx context.Context, most int) ([]jobs.Delivery, error) {
	list, err := s.Source.Newcomers(ctx, most)
	return s.told(list), err
}

func (s *source) told(list []jobs.Delivery) []jobs.Delivery {
	for i, d := range list {
		list[i] = &delivery{d, s, s.tracer.Lent(d)}
	}
	return list
}

type delivery struct {
	jobs.Delivery
	source *source
	trace  *trace.Delivery
}

// ran is told of the tools that are run for a delivery; nil if nobody asked for
// traces.
func ran(d jobs.Delivery) tools.Ran {
	if lent, ok := d.(*delivery); ok && lent.trace != nil {
		return lent.trace.Ran
	}
	return nil
}

// Done implements jobs.Delivery.
func (d *delivery) Done(ctx context.Context, o *jobs.Outcome) error {
	d.trace.Storing()
	err := d.Delivery.Done(ctx, o)
	d.trace.Stored(o, err)
	return d.booked(err, o.Attempts)
}

// Bury implements jobs.Delivery.
func (d *delivery) Bury(ctx context.Context, o *jobs.Outcome) error {
	d.trace.Storing()
	err := d.Delivery.Bury(ctx, o)
	d.trace.Stored(o, err)
	return d.booked(err, o.Attempts)
}

// Checkpoint implements jobs.Delivery.
func (d *delivery) Checkpoint(ctx context.Context, c *jobs.Checkpoint) error {
	err := d.Delivery.Checkpoint(ctx, c)
	if err == nil {
		d.trace.Kept(c.Attempts)
		book(d.source.gate, d.source.log, c.Attempts)
	}
	return err
}

// Tried implements jobs.Delivery.
func (d *delivery) Tried(ctx context.Context) (map[string]jobs.Tries, error) {
	tried, err := d.Delivery.Tried(ctx)
	if lent, ok := d.Delivery.(interface{ Deaths() int }); ok {
		d.trace.Lost(lent.Deaths())
	}
	return tried, err
}

// Release implements jobs.Delivery.
func (d *delivery) Release(ctx context.Context) error {
	d.trace.Released()
	return d.Delivery.Release(ctx)
}

// Defer implements jobs.Delivery.
func (d *delivery) Defer(ctx context.Context, wait time.Duration, attempts []jobs.Attempt) error {
	err := d.Delivery.Defer(ctx, wait, attempts)
	d.trace.HandedBack(wait, attempts)
	return d.wasted(err, attempts)
}

// Return implements jobs.Delivery.
func (d *delivery) Return(ctx context.Context, attempts []jobs.Attempt) error {
	err := d.Delivery.Return(ctx, attempts)
	d.trace.HandedBack(0, attempts)
	return d.wasted(err, attempts)
}

func (d *delivery) wasted(err error, attempts []jobs.Attempt) error {
	if d.source.onWaste != nil {
		d.source.onWaste(attempts)
	}
	return d.booked(err, attempts)
}

// booked tells the gate and the record of calls that the book has these
// attempts: an outcome that came second or past the lease was recorded all the
// same.
func (d *delivery) booked(err error, attempts []jobs.Attempt) error {
	if errors.Is(err, jobs.ErrSpooled) {
		return err // not yet: see Worker.stored
	}
	if err == nil || errors.Is(err, jobs.ErrSettled) || errors.Is(err, jobs.ErrLeaseLost) {
		book(d.source.gate, d.source.log, attempts)
	}
	return err
}

// book tells the gate and the record of calls that the book has these attempts.
func book(gate *resilience.Gate, log *queue.CallLog, attempts []jobs.Attempt) {
	for i := range attempts {
		gate.Booked(attempts[i].Call)
		log.End(attempts[i].Call)
	}
}
