package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// ErrLeaseLost says that a delivery is somebody else's by now. Whoever gets it
// lets go of the job and touches nothing more.
var ErrLeaseLost = errors.New("the lease on this job has ended")

// ErrSettled says that the job already has an outcome of this run or a later
// one; the caller's own was not stored.
var ErrSettled = errors.New("the job already has an outcome")

// ErrSpooled says that the broker is away and that what was to be stored is on
// this machine's disk instead. It is stored when the broker is back.
var ErrSpooled = errors.New("NATS is away: this waits on disk until it is back")

// ErrNoTurn says that a limit has no room for something before whoever wants it
// stops waiting.
var ErrNoTurn = errors.New("no turn in time")

// Delivery is a job on loan to a worker. It ends in exactly one of Done, Bury
// and Defer, goes back untouched with Return, or is let go of with Release.
// Its methods may be called from any goroutine, but the ending ones only once.
//
// Once the lease has ended, Done and Bury still store the outcome, and Defer
// and Return still record the waste; but none of them touches the job any
// more: they, and Release, return ErrLeaseLost.
type Delivery interface {
	Job() *Job
	Batch() *Batch // as it was when the job was lent; do not change

	// Fresh reports whether this is certainly the job's only delivery so far,
	// so that no other worker can have called a model or stored an outcome. It
	// may cease to be certain while the job is lent.
	Fresh() bool

	// Tried tells how each model failed this run of the job, by name, in
	// earlier deliveries that handed it back. It is empty for a first one.
	Tried(ctx context.Context) (map[string]Tries, error)

	// Settled asks the broker whether the job already has its outcome.
	Settled(ctx context.Context) (bool, error)

	// Done stores the outcome and then lets go of the job. ErrSettled means
	// that somebody else's outcome stands: the job is let go of, and what the
	// attempts of this one cost is recorded as waste. ErrSpooled means that
	// both come later.
	Done(ctx context.Context, o *Outcome) error

	// Bury stores a dead outcome and its dead letter, then lets go of the
	// job, so that a crash in between leaves it in both places rather than
	// in neither. Errors as for Done.
	Bury(ctx context.Context, o *Outcome) error

	// Defer hands the job back, to be delivered again after wait. What the
	// attempts cost is recorded as waste first; none are forgotten. After
	// ErrSpooled they will be, and the job comes back when its lease ends.
	Defer(ctx context.Context, wait time.Duration, attempts []Attempt) error

	// Return hands the job back for immediate delivery, like Defer without a
	// wait.
	Return(ctx context.Context, attempts []Attempt) error

	// Resume returns how far this run of the job has come, nil if no step of
	// it is on record.
	Resume(ctx context.Context) (*Checkpoint, error)

	// Checkpoint puts on record how far the job has come, in place of what was
	// there. From then on its attempts are in the book: Defer and Return leave
	// them out, and the outcome has to include them. ErrLeaseLost means that
	// somebody else has the job. After any other error the job may go on: a
	// later checkpoint, or the outcome, has what this one would have had. It
	// blocks for up to two seconds while NATS is away.
	Checkpoint(ctx context.Context, c *Checkpoint) error

	// Release lets go of a job that has its outcome, as Settled told: nothing
	// is stored, the job is only acknowledged.
	Release(ctx context.Context) error

	// Extend renews the lease and returns when the broker has confirmed it.
	// ErrLeaseLost once it is too late.
	Extend(ctx context.Context) error

	// Expires is when the lease ends unless renewed, on this process's
	// monotonic clock. Every confirmed Extend moves it.
	Expires() time.Time
}

// Checkpoint is how far a job of several calls has come, for whoever gets it
// next to go on from there.
type Checkpoint struct {
	State    json.RawMessage `json:"state"`    // what it takes to go on
	Attempts []Attempt       `json:"attempts"` // of this run so far
}

// Decision is what a handler made of a delivery: exactly one of Outcome, Wait
// or Back is set.
type Decision struct {
	Outcome *Outcome      // the end of the job
	Wait    time.Duration // nobody can take it now: again after this long
	Back    bool          // hand it back untouched: this worker is stopping

	// Rest says that Wait holds for all jobs of the batch, not only this one:
	// its circuits are open, its quota is used up.
	Rest bool

	// Short, with Wait or Back, pauses the whole batch until there is money.
	Short *Shortage

	// Attempts that were made without leading to an outcome.
	Attempts []Attempt
}

// Shortage is why a batch is paused for want of money; Needs is as in Batch.
type Shortage struct {
	Reason string
	Needs  map[string]USD
}

// Tries is how a model failed one run of a job in earlier deliveries.
type Tries struct {
	Failed  int    `json:"failed"` // calls that used up a try
	Kind    Kind   `json:"kind"`   // of the last
	Message string `json:"message,omitempty"`

	// Ambiguous counts the calls that may have been paid for, those that our
	// own stop cut short included; see Attempt.Ambiguous.
	Ambiguous int `json:"ambiguous,omitempty"`
}
