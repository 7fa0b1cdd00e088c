package resilience

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/jobs"
)

// question is an Enter on its way, and who waits for it.
type question struct {
	gate  *Gate
	call  *jobs.Call
	entry *entry
	heard func(Pass, error) // told first, of an answer that somebody waits for; may be nil
	reply chan admission    // one, never blocks

	generation uint64 // when it was asked

	mu        sync.Mutex
	answered  bool
	abandoned bool
}

type admission struct {
	pass Pass
	err  error
}

// ask asks the guards; what it returns blocks for their answer. heard may be
// nil.
func (g *Gate) ask(ctx context.Context, call *jobs.Call, heard func(Pass, error)) pending {
	q := &question{gate: g, call: call, heard: heard, reply: make(chan admission, 1), generation: g.config.Generation()}
	q.entry = &entry{op: lua.Op{Kind: lua.Enter, Call: call.ID, Lease: g.config.Lease}, answer: q.answer}
	for _, guard := range g.concerned(call) {
		if s := guard.Enter(call); !s.None() {
			q.entry.op.Steps = append(q.entry.op.Steps, s)
		}
	}
	if err := g.send(q.entry); err != nil {
		return func() (Pass, error) { return q.tell(Pass{}, err) }
	}
	return func() (Pass, error) { return q.await(ctx) }
}

func (q *question) await(ctx context.Context) (Pass, error) {
	select {
	case r := <-q.reply:
		return r.pass, r.err
	case <-ctx.Done():
	}
	if q.abandon() {
		return q.tell(Pass{}, fmt.Errorf("entering the gate: %w", context.Cause(ctx)))
	}
	r := <-q.reply // it came at the same moment
	return r.pass, r.err
}

// abandon is for a caller who does not want to wait any longer; it reports
// false if the answer is there.
func (q *question) abandon() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.answered {
		return false
	}
	q.abandoned = true
	q.gate.committer.drop(q.entry)
	return true
}

// answer takes the guards' answer in. What was granted to a caller who is
// gone is given back, and so is what may have been granted without anybody
// hearing of it.
func (q *question) answer(r lua.Reply, err error) {
	if r.NoEpoch {
		q.gate.park(q.entry)
		return
	}
	admitted := err == nil && !r.Refused && !r.Left
	if admitted {
		q.gate.keep(q.call)
	}
	q.mu.Lock()
	q.answered = true
	abandoned := q.abandoned
	q.mu.Unlock()
	if admitted && abandoned || err != nil && !errors.Is(err, errShut) && !unsent(err) {
		q.gate.undo(q.call)
	}
	var pass Pass
	if err != nil {
		err = fmt.Errorf("asking the guards: %w", err)
	} else {
		pass, err = passOf(r)
		pass.Generation = q.generation
	}
	if !abandoned {
		_, _ = q.tell(pass, err)
	}
	q.reply <- admission{pass, err}
}

func (q *question) tell(pass Pass, err error) (Pass, error) {
	if q.heard != nil {
		q.heard(pass, err)
	}
	return pass, err
}

func passOf(r lua.Reply) (Pass, error) {
	switch {
	case r.Left:
		return Pass{}, errors.New("entering the gate: this call has been made already, or has lapsed")
	case !r.Refused:
		return Pass{Wait: r.Wait}, nil
	}
	no := &Refusal{Guard: r.Module, Reason: r.Why, Wait: r.Wait, Final: r.Final}
	switch r.Module {
	case LedgerGuard:
		no.sortMoney(r)
	case BreakerGuard:
		no.Circuit = r.Tag
	}
	if !no.Final {
		no.Wait = max(no.Wait, time.Millisecond)
	}
	return Pass{Refusal: no}, nil
}

// sortMoney takes over what ledger.lua says of its refusals.
func (no *Refusal) sortMoney(r lua.Reply) {
	switch r.Tag {
	case "claimed":
		no.Guard = ClaimGuard
	case "never":
		no.Never = true
	case "cheaper":
		no.Cheaper = true
	default:
		no.Then = jobs.Spent(r.Tag)
	}
}

// undo gives back what was granted to a call that is not going to be made.
// There is no record of it, so its result need not be remembered.
func (g *Gate) undo(call *jobs.Call) {
	g.mu.Lock()
	delete(g.live, call.ID)
	g.mu.Unlock()
	g.giveBack(call)
}

// giveBack tells the guards that a call was not made.
func (g *Gate) giveBack(call *jobs.Call) {
	g.committer.submit(g.leaving(call, &jobs.Attempt{
		Call: call.ID, Run: call.Run, Model: call.Model.Name, Worker: call.Worker,
		Kind: jobs.Interrupted, Billing: jobs.Free, Message: "the call was not made",
	}, make(chan error, 1)))
}
