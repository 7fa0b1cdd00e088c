package resilience

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/jobs"
)

// Guard is something shared by all replicas that a call must pass. Its methods
// may be called from any goroutine and do not block. The zero Step
// means that the guard has no part in this call.
type Guard interface {
	Module() lua.Module
	Enter(*jobs.Call) lua.Step
	Leave(*jobs.Call, *jobs.Attempt) lua.Step
}

// waiter is a guard that may keep a call that waits for its time from being
// sent then.
type waiter interface{ due(*jobs.Call) lua.Step }

// GateConfig says what a gate asks, and where.
type GateConfig struct {
	// Redis holds the shared state. The client must be made with MaxRetries -1,
	// since the gate knows better what may be repeated, and with
	// ContextTimeoutEnabled.
	Redis redis.UniversalClient

	Keys   lua.Keyspace // default "drover"; one for all replicas and guards
	Worker string       // this process, unique among the replicas
	Guards []Guard      // asked in this order; the first that objects is named

	Lease   time.Duration // a call whose worker is silent for so long lapses, default 30s
	Timeout time.Duration // for one round trip to Redis, default 5s
	Group   int           // most operations in one round trip, default 256, at most 1000
	Backlog int           // most results kept while Redis is away, default 10,000

	// Rebuild puts the sums back when Redis has lost them, and then calls Open
	// of the gate's Script. It is called by one replica at a time; ctx ends if
	// the lock on that is lost. Default: open at once, with nothing to rebuild.
	Rebuild func(ctx context.Context) error

	// Generation is asked just before the guards are, for the Pass of a call
	// that may have waited long before: see CallRecord. May be nil.
	Generation func() uint64

	// OnError is told what goes wrong in the background: Redis away, the sums
	// not rebuilt, results lost. May be nil.
	OnError func(error)

	// Reopening is how long a call waits for the sums to be rebuilt, default 1m.
	Reopening time.Duration
}

func (c GateConfig) withDefaults() GateConfig {
	c.Keys = cmp.Or(c.Keys, "drover")
	c.Lease = cmp.Or(c.Lease, 30*time.Second)
	c.Timeout = cmp.Or(c.Timeout, 5*time.Second)
	c.Group = min(cmp.Or(c.Group, 256), 1000)
	c.Backlog = cmp.Or(c.Backlog, 10_000)
	c.Reopening = cmp.Or(c.Reopening, time.Minute)
	if c.OnError == nil {
		c.OnError = func(error) {}
	}
	if c.Generation == nil {
		c.Generation = func() uint64 { return 0 }
	}
	return c
}

// Gate asks all guards in one round trip to Redis before a call, and tells
// them the result in one after it. Calls that arrive together share a round
// trip, yet each stands or falls alone. It may be used from any goroutine.
type Gate struct {
	config    GateConfig
	script    *lua.Script
	limiter   *Limiter // also one of the guards; nil if there is none
	committer *committer
	allowance *Allowance // nil if there is none
	away      atomic.Bool

	mu                sync.Mutex
	live              map[string]*flight // calls to keep alive
	told              map[string]*result // results that are not in the book yet, by call
	epoch             string             // of the sums, when last looked at
	owed              []*entry           // results that Redis has not been told
	shut              []*entry           // operations that wait for the sums
	reopening, closed bool
	watching          bool
	took              time.Duration // what a call takes, lately

	tasks sync.WaitGroup // the rebuilding
	life  context.Context
	end   context.CancelFunc
}

// NewGate makes a gate. It asks nobody yet; Run has to be called for calls to
// outlive a lease.
func NewGate(config GateConfig) *Gate {
	config = config.withDefaults()
	modules := make([]lua.Module, len(config.Guards))
	g := &Gate{config: config, live: make(map[string]*flight), told: make(map[string]*result)}
	g.life, g.end = context.WithCancel(context.Background())
	for i, guard := range config.Guards {
		modules[i] = guard.Module()
		if l, ok := guard.(*Limiter); ok {
			g.limiter = l
		}
	}
	g.script = lua.Compose(config.Keys, modules...)
	g.committer = &committer{
		run: func(ctx context.Context, ops []lua.Op) ([]lua.Reply, error) {
			return g.script.Run(ctx, config.Redis, ops)
		},
		limit:   config.Group,
		wait:    config.Timeout,
		reached: g.reached,
		crowd:   g.crowd,
		full:    make(chan struct{}, 1),
	}
	return g
}

// Script is the script of all guards; its Open ends a Rebuild.
func (g *Gate) Script() *lua.Script { return g.script }

// Enter asks all guards at once. It blocks for the shared state to answer, and
// a short while, the limiter's Patience, for the call's turn in the local line
// of a quota that is used up.
//
// If ctx ends or an error is returned, the call is not admitted; should it be
// after all, on the way, it is given back.
func (g *Gate) Enter(ctx context.Context, call *jobs.Call) (Pass, error) {
	if err := context.Cause(ctx); err != nil {
		return Pass{}, fmt.Errorf("entering the gate: %w", err)
	}
	if g.limiter == nil {
		return g.ask(ctx, call, nil)()
	}
	return g.limiter.line(call.Model).enter(ctx, call, g.limiter.usage.expect(call), func(heard func(Pass, error)) pending {
		return g.ask(ctx, call, heard)
	})
}

// Ahead tells how long the call would wait in the local line of its quota.
func (g *Gate) Ahead(call *jobs.Call) time.Duration {
	if g.limiter == nil {
		return 0
	}
	return g.limiter.line(call.Model).ahead(call)
}

// Due asks how long an admitted call still waits: a pause, or a circuit that has
// opened, may keep it. It blocks for the shared state to answer, or for ctx to
// end.
func (g *Gate) Due(ctx context.Context, call *jobs.Call) time.Duration {
	if g.limiter == nil {
		return 0
	}
	reply := make(chan time.Duration, 1)
	e := &entry{op: lua.Op{Kind: lua.Due, Call: call.ID}}
	for _, guard := range g.config.Guards {
		if w, ok := guard.(waiter); ok {
			e.op.Steps = append(e.op.Steps, w.due(call))
		}
	}
	e.answer = func(r lua.Reply, _ error) { reply <- r.Wait }
	g.committer.submit(e)
	select {
	case wait := <-reply:
		return wait
	case <-ctx.Done():
		g.committer.drop(e)
		return 0
	}
}

// Leave tells all guards what became of a call that was admitted. It is
// idempotent by the call's id. While Redis is away the result is kept, and
// delivered by Run when Redis is back; an error means that too many are kept
// already and this one is not.
//
// If ctx ends first, the result is delivered all the same.
func (g *Gate) Leave(ctx context.Context, call *jobs.Call, a *jobs.Attempt) error {
	told := make(chan error, 1)
	e := g.leaving(call, a, told)
	g.ended(call)
	g.mu.Lock()
	away := len(g.owed) > 0
	g.mu.Unlock()
	if away {
		return g.owe(e, nil) // behind the others, rather than in their way
	}
	g.committer.submit(e)
	select {
	case err := <-told:
		return err
	case <-ctx.Done():
		return nil
	}
}

// leaving is a Leave that tells its caller once, through told.
func (g *Gate) leaving(call *jobs.Call, a *jobs.Attempt, told chan<- error) *entry {
	call = new(*call) // whose caller may go on with another id
	e := &entry{op: lua.Op{Kind: lua.Leave, Call: call.ID}}
	for _, guard := range g.concerned(call) {
		if s := guard.Leave(call, a); !s.None() {
			e.op.Steps = append(e.op.Steps, s)
		}
	}
	e.answer = func(r lua.Reply, err error) {
		var bug fault
		switch {
		case errors.As(err, &bug):
			g.left(call)
			err = fmt.Errorf("leaving the gate: %w", err)
		case err != nil:
			err = g.owe(e, err)
		case r.NoEpoch:
			g.park(e)
			return
		default:
			g.tell(e.op)
			g.left(call)
			if g.allowance != nil {
				g.allowance.left(call.ID)
			}
		}
		select {
		case told <- err:
		default: // told before, that it is owed
		}
	}
	return e
}

// concerned are the guards that a call has to do with: for a standing hold
// those that can hold money for it.
func (g *Gate) concerned(call *jobs.Call) []Guard {
	if g.allowance != nil && Standing(call.ID) {
		return []Guard{g.allowance.purse}
	}
	return g.config.Guards
}

// reached takes note of whether Redis can be reached.
func (g *Gate) reached(ok bool) {
	switch was := !g.away.Swap(!ok); {
	case was == ok || g.allowance == nil:
	case ok:
		g.allowance.back()
	default:
		g.allowance.gone()
	}
}

// unreachable reports whether Redis cannot be reached, and was not known to
// have lost its sums before.
func (g *Gate) unreachable() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.away.Load() && !g.reopening && !g.closed
}
