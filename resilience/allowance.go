package resilience

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// AllowanceConfig says how much may be spent without asking anybody.
type AllowanceConfig struct {
	// Amount is what the calls of one batch to one model may cost together
	// while Redis is away. It is held beforehand, so it has to fit every limit.
	Amount jobs.USD

	// Record is where what is held is put on record, as a call is. May be nil.
	Record CallRecord

	// OnAway is told once when the first call is made without Redis, and once
	// when Redis is back. May be nil.
	OnAway func(away bool)
}

// CallRecord keeps the calls in flight where a loss of Redis does not reach.
type CallRecord interface {
	// Generation is to be taken before a call is admitted and given to Begin.
	Generation() uint64
	// Begin blocks until the call is on record. After an error it must not be
	// made.
	Begin(ctx context.Context, c *jobs.Call, generation uint64) error
	// End says that calls have cost nothing, or are in the book.
	End(calls ...string)
}

// Allowance is a gate that a worker may pass for a while without Redis. After
// a call was admitted as usual it has the ledger hold an amount for more calls
// of that batch to that model: a standing hold, which lives, lapses and is on
// record like that of a call. While Redis cannot be reached, calls are admitted
// as long as what they cost, and at the worst may cost, fits what is held.
//
// So no limit can be overdrawn by it, whatever crashes: the hold is given back
// only after Redis knows of every call that was made on it, and if its worker
// dies it counts as spent, presumed.
//
// It may be used from any goroutine.
type Allowance struct {
	config AllowanceConfig
	gate   *Gate
	purse  purse

	mu     sync.Mutex
	holds  map[pot]*standing    // that calls may be made on
	taken  map[string]*standing // all of them, by id
	barred map[string]time.Time // accounts that are short of money, and until when
	flying map[string]*flown    // calls that have entered and not left, by id
	paces  map[string]*pace     // by quota
	since  time.Time            // when Redis went away; zero while it is there
	told   bool                 // OnAway was
	over   bool                 // no more holds are taken

	wake  chan struct{}
	tasks sync.WaitGroup
	life  context.Context
	end   context.CancelFunc
}

// purse is a guard that holds money.
type purse interface {
	Guard
	resumer
	// Accounts names what a call would be charged to at that time.
	Accounts(c *jobs.Call, at time.Time) []string
}

// flown is a call that has entered.
type flown struct {
	pace *pace
	hold *standing // that it was made on, nil if Redis knows of it
}

// NewAllowance puts an allowance in front of a gate, one of whose guards has to
// hold money, before the gate runs. Run has to be called for what is held to be
// given back.
func NewAllowance(gate *Gate, config AllowanceConfig) *Allowance {
	if config.OnAway == nil {
		config.OnAway = func(bool) {}
	}
	a := &Allowance{
		config: config, gate: gate,
		holds: map[pot]*standing{}, taken: map[string]*standing{}, barred: map[string]time.Time{},
		flying: map[string]*flown{}, paces: map[string]*pace{}, wake: make(chan struct{}, 1),
	}
	a.life, a.end = context.WithCancel(context.Background())
	for _, guard := range gate.config.Guards {
		if p, ok := guard.(purse); ok {
			a.purse = p
		}
	}
	if a.purse == nil {
		panic("resilience: an allowance needs a guard that holds money")
	}
	gate.allowance = a
	return a
}

// Enter asks the gate, or takes the call's worst case from what is held while
// Redis is away.
func (a *Allowance) Enter(ctx context.Context, call *jobs.Call) (Pass, error) {
	away := a.gate.unreachable()
	if away {
		if pass, ok := a.spend(call); ok {
			return pass, nil
		}
	}
	pass, err := a.gate.Enter(ctx, call)
	switch {
	case err == nil && pass.Refusal == nil:
		a.admitted(call)
	case err == nil:
		a.refused(call, pass.Refusal)
	case !away && ctx.Err() == nil && a.gate.unreachable() && a.affords(call):
		// Redis may have heard of this call, and the gate gives it back: it is
		// made under another id.
		return Pass{Refusal: &Refusal{Guard: LedgerGuard, Reason: "Redis has just gone away", Wait: time.Millisecond}}, nil
	}
	return pass, err
}

// Ahead implements Admission.
func (a *Allowance) Ahead(call *jobs.Call) time.Duration {
	if a.gate.unreachable() {
		return 0
	}
	return a.gate.Ahead(call)
}

// Due asks the gate, unless Redis is away: nobody moves the call's turn then.
func (a *Allowance) Due(ctx context.Context, call *jobs.Call) time.Duration {
	if a.gate.unreachable() {
		return 0
	}
	return a.gate.Due(ctx, call)
}

// Leave tells the gate, which keeps the result while Redis is away.
func (a *Allowance) Leave(ctx context.Context, call *jobs.Call, attempt *jobs.Attempt) error {
	a.mu.Lock()
	if f := a.flying[call.ID]; f != nil {
		delete(a.flying, call.ID)
		f.pace.left(call.Model.Name, attempt)
		if f.hold != nil {
			f.hold.left += call.Worst - charged(call, attempt)
		}
	}
	a.mu.Unlock()
	return a.gate.Leave(ctx, call, attempt)
}

// charged is what the ledger counts for an attempt.
func charged(call *jobs.Call, attempt *jobs.Attempt) jobs.USD {
	switch {
	case attempt.Billing == jobs.Billed, attempt.Billing == jobs.Presumed && attempt.Cost > 0:
		return attempt.Cost
	case attempt.Billing == jobs.Presumed:
		return call.Worst
	}
	return 0
}

// Left is how much is held for calls that have not been made, of all batches
// and models together.
func (a *Allowance) Left() jobs.USD {
	a.mu.Lock()
	defer a.mu.Unlock()
	var sum jobs.USD
	for _, h := range a.holds {
		if h.ready {
			sum += max(0, h.left)
		}
	}
	return sum
}

// turnsSoon is how long before the end of a budget's window nothing is spent
// on what was held in it: a call's cost belongs to the window it begins in.
const turnsSoon = time.Minute

// affords reports whether what is held is enough for the call.
func (a *Allowance) affords(call *jobs.Call) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.holdFor(call) != nil
}

// holdFor is the hold that the call may be made on. Callers hold mu.
func (a *Allowance) holdFor(call *jobs.Call) *standing {
	h := a.holds[potOf(call)]
	if h == nil || !h.ready || call.Worst <= 0 || call.Worst > h.left {
		return nil
	}
	now := time.Now()
	for _, at := range []time.Time{now, now.Add(turnsSoon)} {
		if !slices.Equal(a.purse.Accounts(call, at), h.accounts) {
			return nil
		}
	}
	return h
}

// spend admits a call without Redis, or refuses it for a while. ok is false if
// there is nothing that it could be made on.
func (a *Allowance) spend(call *jobs.Call) (pass Pass, ok bool) {
	a.mu.Lock()
	h, p := a.holdFor(call), a.paceOf(call.Model)
	if h == nil || p.stopped(call.Model.Name) {
		a.mu.Unlock()
		return Pass{}, false
	}
	wait, no := p.reserve(time.Now())
	if no != nil {
		a.mu.Unlock()
		return Pass{Refusal: no}, true
	}
	h.left -= call.Worst
	h.bare[call.ID] = true
	a.flying[call.ID] = &flown{p, h}
	first := !a.told && !a.since.IsZero()
	a.told = a.told || first
	a.mu.Unlock()
	a.gate.keep(call)
	if first {
		a.config.OnAway(true)
	}
	return Pass{Wait: wait, Generation: a.gate.config.Generation()}, true
}

// admitted takes note of a call that all guards let in, and sees to it that
// something is held for the next ones.
func (a *Allowance) admitted(call *jobs.Call) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p, now := a.paceOf(call.Model), time.Now()
	p.admitted(now)
	a.flying[call.ID] = &flown{pace: p}
	if call.Worst <= 0 {
		return
	}
	if h := a.holds[potOf(call)]; h != nil {
		h.used = now
		return
	}
	a.hold(call, now)
}

// refused makes room for a call that the ledger has no money for.
func (a *Allowance) refused(call *jobs.Call, no *Refusal) {
	if no.Guard != LedgerGuard {
		return
	}
	a.mu.Lock()
	short := a.purse.Accounts(call, time.Now())
	a.bar(short, atRest)
	free := a.close(func(h *standing) bool {
		return slices.ContainsFunc(h.accounts, func(name string) bool { return slices.Contains(short, name) })
	})
	a.mu.Unlock()
	a.release(free)
}

func (a *Allowance) paceOf(m *jobs.Model) *pace {
	name := quotaOf(m)
	if a.paces[name] == nil {
		a.paces[name] = newPace()
	}
	return a.paces[name]
}

// standingPrefix begins the ids of standing holds, as calls and as jobs.
const standingPrefix = "allowance-"

// Standing reports whether a call's id is that of a standing hold: no call, but
// money held for calls to come.
func Standing(call string) bool { return strings.HasPrefix(call, standingPrefix) }

func standingID() string { return standingPrefix + rand.Text() }
