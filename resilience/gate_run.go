package resilience

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/jobs"
)

const (
	beatChunk  = 500             // calls kept alive by one operation
	retryEvery = time.Second     // results kept while Redis is away
	lastWait   = 5 * time.Second // for those results when stopping
)

// Run keeps the calls in flight alive and delivers results that Redis has not
// been told yet. It blocks until ctx ends, and then until everything the gate
// started has come back. Run it once, and end it when all calls have left: an
// Enter that comes later is refused with an error. Results that cannot be
// delivered to the last are reported: their holds lapse, and count as spent.
func (g *Gate) Run(ctx context.Context) {
	g.watch()
	beat := time.NewTicker(g.config.Lease / 3)
	defer beat.Stop()
	retry := time.NewTicker(retryEvery)
	defer retry.Stop()
	for {
		select {
		case <-beat.C:
			g.beat()
			g.watch()
		case <-retry.C:
			g.pay()
			g.probe()
		case <-ctx.Done():
			g.close()
			return
		}
	}
}

func (g *Gate) close() {
	g.mu.Lock()
	g.closed = true
	g.mu.Unlock()
	late := time.AfterFunc(lastWait, g.end)
	defer late.Stop()
	defer g.end()
	for {
		g.tasks.Wait()
		g.committer.groups.Wait()
		g.mu.Lock()
		owed := len(g.owed)
		g.mu.Unlock()
		if owed == 0 {
			return
		}
		if g.life.Err() != nil {
			g.config.OnError(fmt.Errorf("closing the gate: Redis could not be told the results of %s; their holds lapse and count as spent", jobs.Counted(owed, "call")))
			return
		}
		select {
		case <-time.After(retryEvery / 4):
		case <-g.life.Done():
		}
		g.pay()
	}
}

// beat renews the lease of every call in flight. It is sent even if there is
// none: every script clears away calls whose worker died, and theirs would
// otherwise hold money until somebody makes the next call.
func (g *Gate) beat() {
	g.mu.Lock()
	calls := slices.Sorted(maps.Keys(g.live))
	g.mu.Unlock()
	for first := true; first || len(calls) > 0; first = false {
		n := min(len(calls), beatChunk)
		g.committer.submit(&entry{
			op:     lua.Op{Kind: lua.Beat, Lease: g.config.Lease, Calls: calls[:n]},
			answer: g.beaten(calls[:n:n]),
		})
		calls = calls[n:]
	}
}

// beaten takes in which calls are not alive any more: they have lapsed, or the
// store has lost them. A beat that failed is made good by the next.
func (g *Gate) beaten(calls []string) func(lua.Reply, error) {
	return func(r lua.Reply, err error) {
		g.mu.Lock()
		for _, id := range r.Lapsed {
			if f := g.live[id]; f != nil {
				g.committer.submit(g.resuming(f.call))
			}
		}
		g.mu.Unlock()
		if err == nil && g.allowance != nil {
			g.allowance.known(slices.DeleteFunc(slices.Clone(calls), func(id string) bool { return slices.Contains(r.Lapsed, id) })...)
		}
	}
}

// probe finds out that Redis is back when nothing else asks, for those who go
// on without it.
func (g *Gate) probe() {
	if g.allowance != nil && g.away.Load() {
		g.committer.submit(&entry{op: lua.Op{Kind: lua.Beat, Lease: g.config.Lease}, answer: func(lua.Reply, error) {}})
	}
}

// owe keeps a result for later; why is what went wrong, nil if it was not
// even tried. A call whose result has no room is left to lapse.
func (g *Gate) owe(e *entry, why error) error {
	g.mu.Lock()
	first, n := !e.owed, len(g.owed)
	if first && n >= g.config.Backlog {
		delete(g.live, e.op.Call)
		g.mu.Unlock()
		return fmt.Errorf("leaving the gate: Redis is away and %d results are waiting for it already", n)
	}
	e.owed = true
	g.owed = append(g.owed, e)
	g.mu.Unlock()
	if first && n == 0 && why != nil {
		g.config.OnError(fmt.Errorf("keeping results until Redis is back: %w", why))
	}
	return nil
}

// pay tries to deliver one group of the results that are owed; the first to
// arrive pulls the next group after it.
func (g *Gate) pay() {
	g.mu.Lock()
	n := min(len(g.owed), g.config.Group)
	entries := g.owed[:n:n]
	g.owed = g.owed[n:]
	if len(g.owed) == 0 {
		g.owed = nil
	}
	g.mu.Unlock()
	if n > 0 {
		g.committer.submit(entries...)
	}
}
