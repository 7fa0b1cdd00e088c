package pool

import (
	"context"
	"errors"
	"fmt"
	"sync"
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
	until time.Time // it is not renewed any more after this
	ctx   context.Context
	lost  context.CancelCauseFunc
	warn  func(error)

	mu    sync.Mutex // held while the lease is being renewed
	ended bool
	timer *time.Timer
	quit  context.CancelFunc // ends a renewal that is underway
}

// errHung is why a lease is given up that could be renewed.
var errHung = fmt.Errorf("its handler hangs: %w", jobs.ErrLeaseLost)

// keep renews the lease until it is ended, or until the given time. When the
// lease is lost, it calls lost with jobs.ErrLeaseLost.
func keep(ctx context.Context, d jobs.Delivery, until time.Time, lost context.CancelCauseFunc, warn func(error)) *lease {
	l := &lease{d: d, until: until, lost: lost, warn: warn}
	l.ctx, l.quit = context.WithCancel(context.WithoutCancel(ctx))
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
	if l.ended {
		return
	}
	err := l.renew()
	switch {
	case l.ctx.Err() != nil: // ended meanwhile
		return
	case errors.Is(err, jobs.ErrLeaseLost) || !time.Now().Before(l.d.Expires()):
		l.ended = true
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
	return l.d.Extend(ctx)
}

// end stops renewing. When it returns no renewal is underway.
func (l *lease) end() {
	l.quit()
	l.timer.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
}
