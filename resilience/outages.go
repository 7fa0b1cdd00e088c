package resilience

import (
	"fmt"
	"sync"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// Outages tells of models that do not answer, once for each outage, and of those
// that are not asked for a long time, for want of money or of quota: of a job
// that waits nobody would know what for. It is shared by the chains of a process
// and may be used from any goroutine. Nil tells nothing.
type Outages struct {
	// Tell is given a sentence for people when a call is first kept from a model
	// whose circuit is open, or refused for its key, and of long waits, Over the
	// model when it has answered since. They must not block.
	Tell, Over func(string)

	mu     sync.Mutex
	models map[string]*outage // those that have failed since they answered last
	waits  Recent             // for money and quota, that were told
}

type outage struct {
	last    string    // failure, "" if no call from here failed
	told    time.Time // zero if it was not
	refused bool      // it was told that the provider wants an operator to act
}

// of is the model's outage, begun if there is none. The caller has the lock.
func (o *Outages) of(model string) *outage {
	if o.models == nil {
		o.models = make(map[string]*outage)
	}
	if o.models[model] == nil {
		o.models[model] = &outage{}
	}
	return o.models[model]
}

// ended takes note of what became of a call.
func (o *Outages) ended(a *jobs.Attempt) {
	verdict := a.Kind.Verdict()
	if o == nil || verdict == jobs.Neutral {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if verdict != jobs.Good {
		o.of(a.Model).last = fmt.Sprintf("%s: %s", a.Kind, a.Message)
		return
	}
	one := o.models[a.Model]
	if one == nil || a.Started.Before(one.told) { // one that was on its way says nothing
		return
	}
	delete(o.models, a.Model)
	if !one.told.IsZero() {
		o.Over(a.Model)
	}
}

// refused takes note of a call that the provider will not answer before an
// operator acts, as with a wrong key. All that were on their way with it are
// refused alike.
func (o *Outages) refused(model string, fail *jobs.Failure) {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	one := o.of(model)
	if one.refused {
		return
	}
	one.refused, one.told = true, time.Now()
	o.Tell(fmt.Sprintf("asking %s: %v. Its calls wait until somebody acts, and a few try it now and then", model, fail))
}

// shut takes note of a call that an open circuit turned away.
func (o *Outages) shut(model, reason string) {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	one := o.of(model)
	if !one.told.IsZero() {
		return
	}
	one.told = time.Now()
	last := "other workers found out"
	if one.last != "" {
		last = "last with " + one.last
	}
	o.Tell(fmt.Sprintf("%s does not answer, %s; %s. Its calls wait, and a few try it now and then", model, last, reason))
}

// A wait for money of more than shortly is told, since it is for the next day,
// week or month, and one for a quota of more than longPause. Both are told again
// after an hour.
const (
	shortly   = 10 * time.Second
	longPause = time.Minute
)

// unpaid takes note of a call for which a budget has no room until its next
// turn. Another tenant's may be another budget.
func (o *Outages) unpaid(model, tenant, reason string) {
	o.tellWait(model+"\x00"+tenant, model+" is not asked for want of money: "+reason+". Its calls wait for the next turn of the budget, or for a higher limit")
}

// paused takes note of a call that its quota keeps from a model for so long,
// because the provider asked for that perhaps.
func (o *Outages) paused(model, reason string, wait time.Duration) {
	o.tellWait(model, fmt.Sprintf("%s is not asked for now: %s. Its calls wait for %v", model, reason, wait.Round(time.Second)))
}

// tellWait tells of a wait, but not of the same one in each call.
func (o *Outages) tellWait(what, text string) {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.waits.News(what) {
		o.Tell(text)
	}
}
