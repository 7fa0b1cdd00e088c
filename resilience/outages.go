package resilience

import (
	"fmt"
	"sync"

	"github.com/drover-batch/drover/jobs"
)

// Outages tells of models that do not answer, once for each outage: of a job
// that waits nobody would know what for. It is shared by the chains of a
// process and may be used from any goroutine. Nil tells nothing.
type Outages struct {
	// Tell is given a sentence for people when a call is first kept from a model
	// whose circuit is open, Over the model when it has answered since. They must
	// not block.
	Tell, Over func(string)

	mu      sync.Mutex
	failing map[string]string // model -> its newest failure
	told    map[string]bool
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
		if o.failing == nil {
			o.failing, o.told = make(map[string]string), make(map[string]bool)
		}
		o.failing[a.Model] = fmt.Sprintf("%s: %s", a.Kind, a.Message)
		return
	}
	delete(o.failing, a.Model)
	if o.told[a.Model] {
		delete(o.told, a.Model)
		o.Over(a.Model)
	}
}

// shut takes note of a call that an open circuit turned away.
func (o *Outages) shut(model, reason string) {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.told[model] {
		return
	}
	if o.told == nil {
		o.failing, o.told = make(map[string]string), make(map[string]bool)
	}
	o.told[model] = true
	last := "other workers found out"
	if f := o.failing[model]; f != "" {
		last = "last with " + f
	}
	o.Tell(fmt.Sprintf("%s does not answer, %s; %s. Its calls wait, and a few try it now and then", model, last, reason))
}
