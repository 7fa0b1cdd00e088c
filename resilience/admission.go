package resilience

import (
	"context"
	"fmt"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// Admission asks everything the replicas share whether a call may be made,
// and tells it afterwards what became of the call. *Gate is the real one.
type Admission interface {
	// Enter asks all guards at once. It blocks for the shared state to answer
	// and perhaps for the call's turn among those of this process, not for a
	// refusal to lapse. An error means that nobody could be asked: the call
	// must not be made.
	Enter(ctx context.Context, call *jobs.Call) (Pass, error)

	// Ahead tells how long a call of the model would wait, as far as this
	// process knows without asking: behind others of its own, or until a pause
	// is over.
	Ahead(call *jobs.Call) time.Duration

	// Due tells how long an admitted call that has waited for its turn has to
	// wait on: a provider may have asked for a pause meanwhile, or the model's
	// circuit have opened. It is 0 if nobody could be asked.
	Due(ctx context.Context, call *jobs.Call) time.Duration

	// Leave tells all guards what became of a call that was admitted. It is
	// idempotent by the call's id.
	Leave(ctx context.Context, call *jobs.Call, a *jobs.Attempt) error
}

// Pass is the answer to Enter.
type Pass struct {
	// Wait is how long an admitted call has to wait before it is sent: the
	// limiter reserves start times a little ahead.
	Wait time.Duration

	// Refusal is nil for an admitted call.
	Refusal *Refusal

	// Generation is what GateConfig.Generation said when the guards were asked.
	Generation uint64
}

// The guards a Refusal can come from.
const (
	BreakerGuard = "breaker" // the model's circuit is open
	LimiterGuard = "limiter" // the quota is used up for now
	LedgerGuard  = "ledger"  // the money is spent or held
	ClaimGuard   = "claim"   // another worker has a live call for this very job
)

// Refusal says who turned a call away, why, and for how long.
type Refusal struct {
	Guard  string
	Reason string        // a clause for people
	Wait   time.Duration // asking again earlier is no use; 0 if Final
	Behind time.Duration // the part of it that other calls in the line take
	Final  bool          // waiting does not help: the money does not suffice

	// Of the breaker alone: the state of the circuit.
	Circuit string

	// Of the ledger alone. Never says that no call as large as this one fits,
	// Cheaper that a cheaper model is to be asked first. Then is what becomes of
	// the job, if the budget that refused says so.
	Never, Cheaper bool
	Then           jobs.Spent
}

func (r *Refusal) String() string {
	if r.Final {
		return fmt.Sprintf("%s: %s", r.Guard, r.Reason)
	}
	return fmt.Sprintf("%s: %s, again in %v", r.Guard, r.Reason, r.Wait.Round(time.Millisecond))
}
