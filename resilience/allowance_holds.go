package resilience

import (
	"context"
	"slices"
	"time"

	"github.com/drover-batch/drover/jobs"
)

const (
	atRest    = time.Minute     // without a call, or without money: nothing is held for so long
	tidyEvery = 5 * time.Second // what is held and not needed is given back
	tryAgain  = 5 * time.Second // after a hold could not be taken
)

// pot is what a standing hold is for.
type pot struct{ tenant, batch, model string }

func potOf(c *jobs.Call) pot { return pot{c.Tenant, c.Batch, c.Model.Name} }

// standing is money held for calls to come. Its fields are under Allowance.mu.
type standing struct {
	call     *jobs.Call // what the ledger and the record take it for
	accounts []string
	ready    bool            // it is held, and on record
	left     jobs.USD        // of it, after calls that were made on it at their cost, and those in flight at their worst
	bare     map[string]bool // calls made on it that Redis has not heard of: it covers them
	used     time.Time       // when a call like those it is for was last admitted
	closing  bool            // nothing more is spent on it
	leaving  bool            // the ledger is being told
}

// hold begins to hold money for calls like this one. Callers hold mu.
func (a *Allowance) hold(call *jobs.Call, now time.Time) {
	if a.over || !a.since.IsZero() {
		return
	}
	id := standingID()
	h := &standing{
		call: &jobs.Call{
			ID: id, Worker: call.Worker, Job: jobs.ID(id), Batch: call.Batch, Tenant: call.Tenant,
			Limit: call.Limit, AlertAt: call.AlertAt, CheaperAt: call.CheaperAt, Model: call.Model, Worst: a.config.Amount,
		},
		left: a.config.Amount, bare: map[string]bool{}, used: now,
	}
	h.accounts = a.purse.Accounts(h.call, now)
	for _, account := range h.accounts {
		if now.Before(a.barred[account]) {
			return
		}
		delete(a.barred, account)
	}
	a.holds[potOf(call)], a.taken[id] = h, h
	a.tasks.Go(func() { a.take(h) })
}

// bar has nothing held in the accounts for a while. Callers hold mu.
func (a *Allowance) bar(accounts []string, d time.Duration) {
	for _, account := range accounts {
		a.barred[account] = time.Now().Add(d)
	}
}

// take asks the ledger for a hold and puts it on record.
func (a *Allowance) take(h *standing) {
	var generation uint64
	if a.config.Record != nil {
		generation = a.config.Record.Generation()
	}
	pass, err := a.gate.ask(a.life, h.call, nil)()
	if err != nil || pass.Refusal != nil { // should it be held all the same, the gate gives it back
		a.mu.Lock()
		defer a.mu.Unlock()
		a.forget(h)
		if err != nil {
			a.bar(h.accounts, tryAgain)
		} else {
			a.bar(h.accounts, atRest)
		}
		return
	}
	if a.config.Record != nil {
		err = a.config.Record.Begin(a.life, h.call, generation)
	}
	turned := !slices.Equal(a.purse.Accounts(h.call, time.Now()), h.accounts)
	a.mu.Lock()
	h.ready = true
	var free []*standing
	if err != nil || turned || h.closing {
		h.closing = false
		free = a.close(func(other *standing) bool { return other == h })
	}
	a.mu.Unlock()
	a.release(free)
}

// forget drops a hold that is none. Callers hold mu.
func (a *Allowance) forget(h *standing) {
	delete(a.taken, h.call.ID)
	if p := potOf(h.call); a.holds[p] == h {
		delete(a.holds, p)
	}
}

// close ends the holds that are so, and returns those to be released at once.
// Callers hold mu.
func (a *Allowance) close(is func(*standing) bool) []*standing {
	for _, h := range a.taken {
		if h.closing || !is(h) {
			continue
		}
		h.closing = true
		if p := potOf(h.call); a.holds[p] == h {
			delete(a.holds, p)
		}
	}
	return a.free()
}

// free marks and returns the holds that are closing and cover no call any more.
// Callers hold mu.
func (a *Allowance) free() []*standing {
	var list []*standing
	for _, h := range a.taken {
		if h.closing && h.ready && !h.leaving && len(h.bare) == 0 {
			h.leaving = true
			list = append(list, h)
		}
	}
	return list
}

// release gives holds back. Whatever was spent on them Redis has been told
// before, so what is spent and held together is never less than it is.
func (a *Allowance) release(holds []*standing) {
	for _, h := range holds {
		a.gate.giveBack(h.call)
	}
}

// known is told that the ledger knows of a call by itself: it holds money for
// it, or counts its cost.
func (a *Allowance) known(calls ...string) {
	a.mu.Lock()
	for _, call := range calls {
		for _, h := range a.taken {
			delete(h.bare, call)
		}
	}
	free := a.free()
	a.mu.Unlock()
	a.release(free)
}

// left is told that the ledger has heard the end of a call or of a hold.
func (a *Allowance) left(call string) {
	a.mu.Lock()
	h := a.taken[call]
	if h != nil {
		a.forget(h)
	}
	a.mu.Unlock()
	if h == nil {
		a.known(call)
	} else if a.config.Record != nil {
		a.config.Record.End(call)
	}
}

// lapsed is told that a call in flight is over for the ledger, which counts it
// as spent or has heard of its end.
func (a *Allowance) lapsed(call string) {
	a.mu.Lock()
	free := a.close(func(h *standing) bool { return h.call.ID == call })
	a.mu.Unlock()
	a.release(free)
	a.known(call)
}

// gone is told that Redis cannot be reached.
func (a *Allowance) gone() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.since = time.Now()
	for _, p := range a.paces {
		p.begin(a.since)
	}
}

// back is told that Redis can be reached again. What was spent on, or may have
// lapsed, is given back as soon as Redis knows of every call.
func (a *Allowance) back() {
	a.mu.Lock()
	long := time.Since(a.since) > a.gate.config.Lease/2
	told := a.told
	a.since, a.told = time.Time{}, false
	for _, p := range a.paces {
		p.end()
	}
	free := a.close(func(h *standing) bool { return long || len(h.bare) > 0 || h.left < h.call.Worst })
	a.mu.Unlock()
	a.release(free)
	select {
	case a.wake <- struct{}{}:
	default:
	}
	if told {
		a.config.OnAway(false)
	}
}

// Run gives back what is held and not needed. It blocks until ctx ends, and
// then until everything is given back or a few seconds have gone by; the gate
// has to run until it returns. What is not given back lapses, and counts as
// spent.
func (a *Allowance) Run(ctx context.Context) {
	tick := time.NewTicker(tidyEvery)
	defer tick.Stop()
	for {
		select {
		case now := <-tick.C:
			a.tidy(now)
		case <-a.wake:
			a.gate.beat() // the calls made meanwhile get holds of their own
		case <-ctx.Done():
			a.stop()
			return
		}
	}
}

// tidy gives back what nobody has needed for a while, or is held in a window
// that has ended.
func (a *Allowance) tidy(now time.Time) {
	a.mu.Lock()
	free := a.close(func(h *standing) bool {
		return a.since.IsZero() && now.Sub(h.used) > atRest || !slices.Equal(a.purse.Accounts(h.call, now), h.accounts)
	})
	for account, until := range a.barred {
		if now.After(until) {
			delete(a.barred, account)
		}
	}
	a.mu.Unlock()
	a.release(free)
}

func (a *Allowance) stop() {
	a.mu.Lock()
	a.over = true
	a.mu.Unlock()
	a.end()
	a.tasks.Wait()
	a.mu.Lock()
	free := a.close(func(*standing) bool { return true })
	a.mu.Unlock()
	a.release(free)
	for end := time.Now().Add(lastWait); a.holding() && time.Now().Before(end); {
		<-time.After(retryEvery / 10)
	}
}

func (a *Allowance) holding() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.taken) > 0
}
