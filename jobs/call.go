package jobs

import (
	"time"
)

// Call is the intention to ask one model. Its id makes everything that is
// done for it in shared state idempotent.
type Call struct {
	ID     string // unique for ever
	Worker string // the worker process that makes it

	Job    ID
	Run    int
	Batch  string
	Tenant string
	Model  *Model
	Step   string // see Attempt

	Weight int  // of the batch among its tenant's, 0 means 1
	Urgent bool // the batch comes before its tenant's others

	Limit     USD       // the batch's own budget, 0 for none
	AlertAt   []float64 // shares of it that raise an alert
	CheaperAt float64   // share of it from which cheaper models are asked first; 0 for never
	Cheaper   bool      // a cheaper model of the chain may answer instead

	Input  int64 // tokens sent at the most
	Output int64 // tokens answered at the most
	Worst  USD   // what that costs at the most
}

// Attempt is what became of a call.
type Attempt struct {
	Call    string        `json:"call"`
	Run     int           `json:"run"`
	Model   string        `json:"model"`
	Worker  string        `json:"worker,omitempty"`
	Step    string        `json:"step,omitempty"` // of a job of several calls: turn 3, repair; empty for a plain question
	Started time.Time     `json:"started"`
	Took    time.Duration `json:"took"`

	Kind      Kind   `json:"kind,omitempty"` // empty: answered
	Message   string `json:"message,omitempty"`
	Status    int    `json:"status,omitempty"`
	Unsent    bool   `json:"unsent,omitempty"` // see Failure
	RequestID string `json:"request_id,omitempty"`

	Usage   Usage   `json:"usage,omitzero"`
	Billing Billing `json:"billing"`
	Cost    USD     `json:"cost"` // the true cost, or the worst case if presumed

	// Unpriced says that it may have cost something, and that Cost is 0 because
	// nobody knows the model's price.
	Unpriced bool `json:"unpriced,omitempty"`

	// Waited is how long the call waited to be admitted, before it started. For
	// traces only: it goes on no record.
	Waited time.Duration `json:"-"`

	// For the guards only.
	RetryAfter time.Duration `json:"-"`
	Quota      *Quota        `json:"-"`
}

// Ambiguous reports whether the call was sent and nobody knows what became of
// it: it timed out, its connection broke, the server failed in the middle, or
// our own stop cut it short. An answer whose price alone is unknown is not.
func (a *Attempt) Ambiguous() bool {
	return a.Billing == Presumed && (a.Kind.Retryable() || a.Kind == Interrupted)
}

// UsesTry reports whether the attempt counts against the tries of its model: it
// failed, and the job may be to blame.
func (a *Attempt) UsesTry() bool { return a.Kind != "" && a.Kind.UsesTry() && !a.Unsent }

// Spend is one entry of the book: what a job or a known waste cost, for whom.
type Spend struct {
	Call    string    `json:"call"`
	Job     ID        `json:"job,omitempty"`
	Batch   string    `json:"batch"`
	Tenant  string    `json:"tenant"`
	Model   string    `json:"model"`
	At      time.Time `json:"at"` // when its call began: the turns of budgets go by that
	Cost    USD       `json:"cost"`
	Billing Billing   `json:"billing"`

	Took time.Duration `json:"took,omitempty"` // 0 if nobody knows
}
