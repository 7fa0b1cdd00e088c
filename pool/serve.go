package pool

import (
	"context"
	"errors"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// lookAgain is how long a job waits that could not be looked up, or of which
// its handler made nothing.
const lookAgain = 5 * time.Second

// pauseSeen is how long a job waits whose batch is paused: until every worker
// has seen that it is, and no longer, so that the batch goes on when it may.
const pauseSeen = time.Second

// serve takes one delivery from its arrival to its end.
func (p *Pool) serve(taking, working context.Context, d jobs.Delivery, t *turn) {
	ctx, cancel := context.WithCancelCause(working)
	defer cancel(nil)
	l := keep(ctx, d, time.Now().Add(p.Longest), cancel, func(err error) { p.unrenewed(d, err) })
	defer l.end()
	if !t.await(taking, ctx) {
		l.end()
		p.refuse(working, d)
		return
	}
	p.stats.begin()
	slot := &Slot{p, t}
	defer slot.end()

	settled, err := p.settled(ctx, d)
	switch {
	case ctx.Err() != nil:
		p.letGo(ctx, d, l, jobs.Decision{Back: true})
	case err != nil:
		p.warn(d, err, "looking for an earlier outcome")
		p.letGo(ctx, d, l, jobs.Decision{Wait: lookAgain})
	case settled:
		p.release(ctx, d, l)
	default:
		p.settle(ctx, d, l, slot, p.handle(ctx, d, slot))
	}
}

// settled looks whether the job has its outcome already, if it could have one:
// nothing is paid for twice because a worker died before it let go.
func (p *Pool) settled(ctx context.Context, d jobs.Delivery) (bool, error) {
	if d.Fresh() && !d.Batch().Resumed {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.Limit)
	defer cancel()
	return d.Settled(ctx)
}

// settle carries a decision out.
func (p *Pool) settle(ctx context.Context, d jobs.Delivery, l *lease, slot *Slot, made jobs.Decision) {
	switch {
	case made.Outcome != nil:
		slot.Rest()
		p.store(ctx, d, made.Outcome)
	case made.Back || made.Wait > 0:
		p.letGo(ctx, d, l, made)
	default:
		p.warn(d, errors.New("it is neither an outcome nor a wait"), "reading a decision")
		p.letGo(ctx, d, l, jobs.Decision{Wait: lookAgain, Attempts: made.Attempts})
	}
}

// store stores an outcome. The lease is kept until that is done, so that
// nobody else is paid for the job meanwhile; and it is stored also if the
// lease is lost.
func (p *Pool) store(ctx context.Context, d jobs.Delivery, o *jobs.Outcome) {
	ctx, cancel := p.writing(ctx)
	defer cancel()
	end := d.Done
	if o.Status == jobs.Dead {
		end = d.Bury
	}
	err := end(ctx, o)
	if errors.Is(err, jobs.ErrLeaseLost) { // stored, but the job may come back
		p.warn(d, err, "letting go of a job")
		err = nil
	}
	p.panics.forget(o.Job)
	switch {
	case errors.Is(err, jobs.ErrSpooled):
		p.Log.Debug().Str("batch", o.Batch).Str("job", string(o.Job)).Msg("its outcome waits on disk for NATS")
	case err != nil && !errors.Is(err, jobs.ErrSettled):
		p.warn(d, err, "storing an outcome")
		p.stats.unstored(o)
	default:
		p.Stored(o, err)
	}
}

// Stored counts an outcome that is in the broker or, with jobs.ErrSettled,
// came second. A pool counts its own; those that had to wait for the broker,
// see jobs.ErrSpooled, are for whoever stores them to tell.
func (p *Pool) Stored(o *jobs.Outcome, err error) {
	switch {
	case errors.Is(err, jobs.ErrSettled):
		p.Log.Info().Str("batch", o.Batch).Str("job", string(o.Job)).Stringer("cost", o.Cost).
			Msg("somebody else's outcome stands; this one's cost is waste")
		p.stats.wasted(o)
	default:
		p.stats.stored(o)
		if p.OnOutcome != nil {
			p.OnOutcome(o)
		}
	}
}

// letGo hands a job back, also when its lease is lost: the delivery then only
// puts on record what has to be. The lease is not renewed any more from here on: a
// renewal that overtakes the hand-back would prolong somebody else's lease.
func (p *Pool) letGo(ctx context.Context, d jobs.Delivery, l *lease, made jobs.Decision) {
	l.end()
	lost := errors.Is(context.Cause(ctx), jobs.ErrLeaseLost)
	ctx, cancel := p.writing(ctx)
	defer cancel()
	p.stats.letGo(d.Job().Run, made, lost)
	if !lost && made.Short != nil && p.Pause != nil {
		if err := p.Pause(ctx, d.Batch(), made.Short); err != nil {
			p.warn(d, err, "pausing the batch")
		} else {
			made.Wait = min(made.Wait, pauseSeen) // it is the pause that keeps the job back
		}
	}
	if made.Rest && made.Wait > 0 {
		p.Source.Rest(d.Job().Batch, made.Wait)
	}
	var err error
	if made.Back {
		err = d.Return(ctx, made.Attempts)
	} else {
		err = d.Defer(ctx, made.Wait, made.Attempts)
	}
	if err != nil && !errors.Is(err, jobs.ErrSpooled) {
		p.warn(d, err, "handing a job back")
	}
}

func (p *Pool) release(ctx context.Context, d jobs.Delivery, l *lease) {
	l.end()
	ctx, cancel := p.writing(ctx)
	defer cancel()
	p.stats.released()
	if err := d.Release(ctx); err != nil {
		p.warn(d, err, "letting go of a job that has its outcome")
	}
}

// refuse hands a job straight back that was lent while stopping, or for which
// no slot became free.
func (p *Pool) refuse(ctx context.Context, d jobs.Delivery) {
	ctx, cancel := p.writing(ctx)
	defer cancel()
	if err := d.Return(ctx, nil); err != nil {
		p.warn(d, err, "handing a job back")
	}
}

// writing is the context for settling work: it survives every stop.
func (p *Pool) writing(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), p.Limit)
}

// unrenewed tells of a lease that was not renewed. While the broker is away no
// job's is, so a single one is nothing to warn of; one that hangs is.
func (p *Pool) unrenewed(d jobs.Delivery, err error) {
	if errors.Is(err, errHung) {
		p.warn(d, err, "renewing the lease")
		return
	}
	p.Log.Debug().Err(err).Str("batch", d.Job().Batch).Str("job", string(d.Job().ID)).Msg("renewing the lease")
}

func (p *Pool) warn(d jobs.Delivery, err error, doing string) {
	j := d.Job()
	p.Log.Warn().Err(err).Str("batch", j.Batch).Str("job", string(j.ID)).Msg(doing)
}
