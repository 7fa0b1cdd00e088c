package resilience

import (
	"fmt"
	"strings"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// sort is what sort of obstacle a model, or the whole run, met.
type sort int

const (
	unfit   sort = iota // the input is too long for it
	blind               // the input has images, and it sees none
	barred              // the call is larger than its quota ever allows
	open                // its circuit is open
	ramping             // its circuit has just closed, and it has as many calls as it may
	limited             // its quota is used up for now, and another model was to be asked
	putOff              // our retries are used up for now
	held                // the money for it is held by other calls
	spent               // the money is gone until somebody raises the limit
	never               // it costs more than the whole budget
	dear                // a cheaper model is to be asked first
	failed              // it was asked and failed for good

	hopeless // it failed, and no other model could do better
	doubtful // its call may have been paid for, and no second one is wanted
	queued   // its quota is used up for now, and no other model is to be asked
	stopping // the worker stops, or has lost the job
	settled  // the job has its outcome already
	claimed  // another worker has a live call for this job
	dropped  // its batch was paused or cancelled
	away     // what the replicas share cannot be reached
	late     // the batch's deadline has gone by
)

func (s sort) endsRun() bool { return s >= hopeless }
func (s sort) waits() bool {
	return s == open || s == ramping || s == limited || s == putOff || s == queued || s == held
}
func (s sort) money() bool { return s == spent || s == never }

// obstacle is why a model was passed over, or why the run ended.
type obstacle struct {
	sort    sort
	model   string
	why     string // for people, to be read after the model's name
	wait    time.Duration
	failure *jobs.Failure // the last one, if the model was asked
	tries   int           // calls made to the model
	failed  int           // those that used up a try
	unruled bool          // there is an answer, but the judge cannot be asked

	need jobs.USD   // of one about money: what the call costs at the most
	then jobs.Spent // and what becomes of the job, if the budget says so
}

// clause says so in words that follow "because".
func (o *obstacle) clause() string {
	switch {
	case o.unruled:
		return "the judge " + o.ruling()
	case o.sort == unfit:
		return fmt.Sprintf("the input is too long for %s: %s", o.model, o.why)
	case o.failure != nil && o.tries == 0: // not a call's: the conversation's
		return o.failure.Message
	case o.failure != nil && o.tries > 1:
		return fmt.Sprintf("%s failed %d times, last with %s", o.model, o.tries, o.why)
	case o.failure != nil:
		return fmt.Sprintf("%s failed with %s", o.model, o.why)
	}
	if o.sort == blind {
		return fmt.Sprintf("%s %s", o.model, o.why)
	}
	if o.sort == dear {
		return fmt.Sprintf("%s was spared: %s", o.model, o.why)
	}
	return fmt.Sprintf("%s was not available: %s", o.model, o.why)
}

// ruling is why a judge did not rule, to be read after "the judge".
func (o *obstacle) ruling() string {
	if o.sort == unfit {
		return fmt.Sprintf("%s has no room for request and answer: %s", o.model, o.why)
	}
	plain := *o
	plain.unruled = false
	return plain.clause()
}

// clauses tells all obstacles of the run, in the order they were met.
func (r *run) clauses() string {
	all := make([]string, len(r.obstacles))
	for i, o := range r.obstacles {
		all[i] = o.clause()
	}
	return strings.Join(all, "; ")
}

// skipped lists the models that were not asked.
func (r *run) skipped() []jobs.Skip {
	var all []jobs.Skip
	for _, o := range r.obstacles {
		if o.tries == 0 && !o.sort.endsRun() {
			all = append(all, jobs.Skip{Model: o.model, Why: o.why})
		}
	}
	return all
}
