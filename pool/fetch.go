package pool

import (
	"context"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// mostExtra is the most jobs that a pool takes beyond its slots, of batches that
// would wait for one: at most a quarter of the slots.
const mostExtra = 16

const (
	firstPause = 100 * time.Millisecond // after an error of the source
	longPause  = 10 * time.Second       // the most, after many
	idlePause  = 100 * time.Millisecond // if the source has nothing, and does not wait
	newcomers  = 2                      // at a time, so that other workers get theirs
)

// fetch lends jobs to slots that are free, or will be when the jobs arrive: a
// job that waits on a worker for long is one that others could have begun.
func (p *Pool) fetch(taking, working context.Context, free *slots, handlers *crew) {
	pause := firstPause
	for {
		n, beyond := free.await(taking, max(1, p.Slots/8), p.extra())
		if n == 0 {
			if taking.Err() != nil {
				return
			}
			continue
		}
		asked := time.Now()
		lent, err := p.next(taking, n, beyond)
		for _, d := range lent {
			turn := free.take(beyond)
			handlers.run(func() { p.serve(taking, working, d, turn) })
		}
		if !beyond && len(lent) > 0 {
			free.asked(time.Since(asked))
		}
		switch {
		case taking.Err() != nil:
			return
		case err != nil:
			p.Log.Warn().Err(err).Dur("pause", pause).Msg("asking for jobs")
			sleep(taking, pause/2+time.Duration(p.Random()*float64(pause/2)))
			pause = min(2*pause, longPause)
			continue
		case !beyond && len(lent) == 0 && time.Since(asked) < idlePause:
			sleep(taking, idlePause)
		}
		pause = firstPause
	}
}

// next lends to n free slots or, beyond the slots, to up to n newcomers.
func (p *Pool) next(ctx context.Context, n int, beyond bool) ([]jobs.Delivery, error) {
	if beyond {
		return p.Newcomers(ctx, min(n, newcomers))
	}
	return p.Source.Next(ctx, n)
}

// extra is how many jobs may be worked on beyond the slots.
func (p *Pool) extra() int {
	if p.Newcomers == nil {
		return 0
	}
	return min(p.Slots/4, mostExtra)
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
