package resilience

import (
	"context"
	"maps"
	"slices"

	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/jobs"
)

// When Redis has lost its sums they are rebuilt from the book and from the
// record of calls, which do not know what became of a call whose outcome is not
// stored yet. So every replica remembers its own results and tells them again
// when the sums turn out to be others than before; and its calls in flight, when
// a beat finds that one is not known.

// resumer is a guard that can take in again a call that is in flight already.
type resumer interface {
	Resume(*jobs.Call) lua.Step
}

// result is what the guards were told of a call.
type result struct {
	op     lua.Op
	booked bool
	lost   bool // and has to be told again
}

// Booked tells the gate that the book has these calls, or that no record of
// them will be found. With a Rebuild in the configuration it has to be told of
// every call; the gate remembers their results until then, and until it has
// seen that the sums were not lost before.
func (g *Gate) Booked(calls ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, call := range calls {
		if r := g.told[call]; r != nil {
			r.booked = true
		}
		if f := g.live[call]; f != nil { // its result waits for Redis to come back
			f.booked = true
		}
	}
}

// tell remembers a result that the guards have just heard.
func (g *Gate) tell(op lua.Op) {
	if g.config.Rebuild == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if f := g.live[op.Call]; f != nil {
		g.told[op.Call] = &result{op: op, booked: f.booked}
	}
}

// watch looks whether the sums were lost since the last time.
func (g *Gate) watch() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.watching || g.closed {
		return
	}
	g.watching = true
	g.tasks.Go(func() {
		ctx, cancel := context.WithTimeout(g.life, g.config.Timeout)
		defer cancel()
		epoch, err := g.script.Epoch(ctx, g.config.Redis)
		g.mu.Lock()
		defer g.mu.Unlock()
		g.watching = false
		if err == nil && epoch != "" {
			g.retell(g.epoch != "" && g.epoch != epoch)
			g.epoch = epoch
		}
	})
}

// retell tells the guards again what was lost. Those whose sums were rebuilt
// from a book that had it already do not count it twice. Results are told again
// for no other reason: nobody remembers for ever what was counted. Callers hold
// mu.
func (g *Gate) retell(lost bool) {
	for _, call := range slices.Sorted(maps.Keys(g.told)) {
		r := g.told[call]
		r.lost = r.lost || lost
		switch {
		case r.lost:
			g.committer.submit(g.retelling(r))
		case r.booked:
			delete(g.told, call)
		}
	}
}

func (g *Gate) retelling(r *result) *entry {
	e := &entry{op: r.op}
	e.answer = func(reply lua.Reply, err error) {
		switch {
		case err != nil: // once more, with the next beat
		case reply.NoEpoch:
			g.park(e)
		default:
			g.mu.Lock()
			defer g.mu.Unlock()
			r.lost = false
		}
	}
	return e
}

// resuming is an Enter for a call that is on its way already.
func (g *Gate) resuming(call *jobs.Call) *entry {
	e := &entry{op: lua.Op{Kind: lua.Enter, Call: call.ID, Lease: g.config.Lease}}
	for _, guard := range g.config.Guards {
		if r, ok := guard.(resumer); ok {
			e.op.Steps = append(e.op.Steps, r.Resume(call))
		}
	}
	e.answer = func(r lua.Reply, err error) {
		switch {
		case err != nil: // the next beat finds it missing again
		case r.NoEpoch:
			g.park(e)
		case r.Left: // it has lapsed, or its result is known: nothing brings it back
			g.mu.Lock()
			delete(g.live, call.ID)
			g.mu.Unlock()
			if g.allowance != nil {
				g.allowance.lapsed(call.ID)
			}
		case g.allowance != nil:
			g.allowance.known(call.ID)
		}
	}
	return e
}
