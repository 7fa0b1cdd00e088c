package pool

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// leastBeat keeps a lease that cannot be renewed from being asked for in a
// busy loop.
const leastBeat = 250 * time.Millisecond

// lease keeps a delivery's lease alive, at every third of it. It is a timer
// and not a goroutine: most jobs are over before it fires.
type lease struct {
	d     jobs.Delivery
	until time.Time       // it is not renewed any more after this
	ctx   context.Context // of renewals, without its own end
	lost  context.CancelCauseFunc
	warn  func(error)

	over atomic.Bool
	quit atomic.Pointer[context.CancelFunc] // ends a renewal that is underway

	mu    sync.Mutex // held while the lease is being renewed
	timer *time.Timer
}

// errHung is why a lease is given up that could be renewed.
var errHung = fmt.Errorf("its handler hangs: %w", jobs.ErrLeaseLost)

// keep renews the lease until it is ended, or until the given time. When the
// lease is lost, it calls lost with jobs.ErrLeaseLost.
func keep(ctx context.Context, d jobs.Delivery, until time.Time, lost context.CancelCauseFunc, warn func(error)) *lease {
	l := &lease{d: d, until: until, ctx: context.WithoutCancel(ctx), lost: lost, warn: warn}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer = time.AfterFunc(l.next(), l.beat)
	return l
}

// next is the time until the next renewal. It gets shorter with every one that
// fails.
func (l *lease) next() time.Duration {
	return max(leastBeat, time.Until(l.d.Expires())/3)
}

func (l *lease) beat() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.over.Load() {
		return
	}
	err := l.renew()
	switch {
	case l.over.Load(): // ended meanwhile
		return
	case errors.Is(err, jobs.ErrLeaseLost) || !time.Now().Before(l.d.Expires()):
		if errors.Is(err, errHung) {
			l.warn(err)
		}
		l.lost(jobs.ErrLeaseLost)
		return
	case err != nil:
		l.warn(err)
	}
	l.timer.Reset(l.next())
}

func (l *lease) renew() error {
	switch now := time.Now(); {
	case !now.Before(l.d.Expires()):
		return jobs.ErrLeaseLost
	case !now.Before(l.until):
		return errHung
	}
	ctx, cancel := context.WithDeadline(l.ctx, l.d.Expires())
	defer cancel()
	l.quit.Store(&cancel)
	if l.over.Load() {
		return nil
	}
	return l.d.Extend(ctx)
}

// end stops renewing. When it returns no renewal is underway.
func (l *lease) end() {
	l.over.Store(true)
	if quit := l.quit.Load(); quit != nil {
		(*quit)()
	}
	l.timer.Stop()
	l.mu.Lock() // not before the renewal is over
	defer l.mu.Unlock()
}
