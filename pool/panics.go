package pool

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"time"

	"github.com/drover-batch/drover/jobs"
)

const (
	maxPanics = 3    // of one job on this worker, then it is buried
	maxKnown  = 1000 // jobs whose panics are counted at once
)

// handle calls the handler. A panic does not take the neighbours down: the job
// is tried again a little later, and buried when it keeps doing that.
func (p *Pool) handle(ctx context.Context, d jobs.Delivery, slot *Slot) (made jobs.Decision) {
	defer func() {
		v := recover()
		if v == nil {
			return
		}
		j, what := d.Job(), describe(v)
		n := p.panics.count(j.ID)
		p.Log.Error().Str("batch", j.Batch).Str("job", string(j.ID)).Int("times", n).
			Str("panic", what).Bytes("stack", debug.Stack()).Msg("a handler panicked")
		if n < maxPanics {
			made = jobs.Decision{Wait: time.Duration(n) * lookAgain}
			return
		}
		o := jobs.NewOutcome(j, d.Batch(), jobs.Dead, nil)
		o.Kind, o.Finished = jobs.Internal, time.Now().UTC()
		o.Reason = fmt.Sprintf("its handler panicked %d times, last with %s", n, what)
		made = jobs.Decision{Outcome: o}
	}()
	return p.Handle(ctx, d, slot)
}

// describe quotes only the runtime's own errors: other values may hold what a
// job says.
func describe(v any) string {
	if err, ok := v.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("a %T", v)
}

// panics counts how often jobs panicked here.
type panics struct {
	mu   sync.Mutex
	jobs map[jobs.ID]int
}

func (p *panics) count(id jobs.ID) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.jobs == nil || len(p.jobs) >= maxKnown && p.jobs[id] == 0 {
		p.jobs = make(map[jobs.ID]int)
	}
	p.jobs[id]++
	return p.jobs[id]
}

func (p *panics) forget(id jobs.ID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.jobs, id)
}
