package audit

import (
	"time"

	"github.com/drover-batch/drover/budget"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/llm/simulator"
	"github.com/drover-batch/drover/queue"
)

// Job names a job as its user does. The zero Job stands for no one job.
type Job struct{ Batch, ID string }

func (j Job) String() string { return j.Batch + "/" + j.ID }

// Evidence is what can be seen of a fleet from outside, after all faults are
// over and its batches too.
type Evidence struct {
	Batches []Batch

	Outcomes []Outcome             // every one that was seen, replaced ones included if they were
	Wastes   []*queue.Waste        // of money, what was presumed included
	Letters  []*jobs.DeadLetter    // that are there at rest
	Rest     map[string]Rest       // by batch
	Sums     []budget.Sum          // of the ledger
	Budgets  []budget.Budget       // those that the configuration names
	Prices   map[string]jobs.Price // by model

	Ledger []simulator.Entry // the provider's
	Sent   []Sent            // who made which call
	Faults []Fault           // what was done to whom when

	// Unended are the calls that went on record before they were made, and
	// whose end is not on record. Some may be in an outcome or waste by now.
	Unended []jobs.Spend

	Quotas []Quota

	// Secrets must appear in no Text and in nothing that is stored, whole.
	// Confidences are what documents and prompts say: they may be in answers
	// and in the documents themselves, and nowhere else.
	Secrets, Confidences []string
	Texts                []Text
}

// Batch is what was submitted.
type Batch struct {
	ID, Tenant string
	Limit      jobs.USD // its budget, 0 for none
	Accepted   []string // custom ids
}

// Outcome is an outcome and when the broker stored it, as which message of
// its stream.
type Outcome struct {
	*jobs.Outcome
	Stored   time.Time
	Sequence uint64
}

// Rest is what a batch still has in the broker.
type Rest struct {
	Total, Queued, Unacknowledged int64
}

// Sent is a call as it was seen on its way to the provider.
type Sent struct {
	At     time.Time
	Worker string
	Job    Job
	Prompt string // see simulator.Prompt
}

// Kind is what sort of thing was done.
type Kind string

// What can be done to a fleet. A Stop is one in good order; Redis, Flush,
// Provider and Enqueuer excuse no second payment.
const (
	Kill     Kind = "worker killed"
	Freeze   Kind = "worker frozen"
	Stop     Kind = "worker stopped"
	Broker   Kind = "NATS away"
	Redis    Kind = "Redis away"
	Flush    Kind = "Redis flushed"
	Network  Kind = "network"
	Provider Kind = "provider"
	Enqueuer Kind = "enqueuer"
)

// Fault is something that was done, to one worker or to all that there are.
type Fault struct {
	Kind     Kind
	Worker   string // "" for all
	What     string // for people, if the kind does not say it all
	From, To time.Time
}

// about reports whether the fault was done to the worker, or to everybody.
func (f *Fault) about(worker string) bool { return f.Worker == "" || f.Worker == worker }

// overlaps reports whether any of the fault happened between the two times.
func (f *Fault) overlaps(from, to time.Time) bool { return !f.From.After(to) && !f.To.Before(from) }

// Quota is what a provider allows for some models together.
type Quota struct {
	Name     string
	Models   []string
	Requests int // per minute
	Burst    int // more than that at once, as the fleet may begin
}

// Text is something written that people read: a log, a page of metrics.
type Text struct {
	Name string
	Text string
}
