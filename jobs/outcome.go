package jobs

import (
	"encoding/json"
	"slices"
	"time"
)

// Status is how a job ended.
type Status string

// The four ways a job ends. Dead is the one that can be replayed.
const (
	Answered     Status = "answered"
	Dead         Status = "dead"
	WasCancelled Status = "cancelled"
	Expired      Status = "expired"
)

// Degradation is how an answer falls short of what was asked for.
type Degradation string

// Partial answers come from a later model of the chain, or are to a shortened
// document; Cached ones are earlier answers to the same request; Unavailable
// is the batch's own text, used when nobody could answer.
const (
	Partial     Degradation = "partial"
	Cached      Degradation = "cached"
	Unavailable Degradation = "unavailable"
)

// Outcome is the one terminal record of a job.
type Outcome struct {
	Job      ID     `json:"job"`
	Batch    string `json:"batch"`
	CustomID string `json:"custom_id"`
	Source   string `json:"source,omitempty"`
	Tenant   string `json:"tenant"`
	Run      int    `json:"run"`
	Ready    bool   `json:"ready,omitempty"` // the job came as a ready request

	// Chain, Prompt and System are set where the run was asked with another than
	// the batch says: the chain's name, and the Digest of a prompt.
	Chain  string `json:"chain,omitempty"`
	Prompt string `json:"prompt,omitempty"`
	System string `json:"system,omitempty"`

	Status   Status      `json:"status"`
	Degraded Degradation `json:"degraded,omitempty"`
	Reason   string      `json:"reason,omitempty"` // the degradation or the end, in a sentence for people

	// SameAs is set if the answer is another job's to the same request.
	SameAs *Same `json:"same_as,omitempty"`

	Model  string `json:"model,omitempty"` // who answered
	Answer string `json:"answer,omitempty"`
	Finish string `json:"finish,omitempty"`

	// Checked says how the answer came to pass the batch's checks; empty if it
	// has none. Quotes are where the answer's quotes stand in the document.
	Checked Rung    `json:"checked,omitempty"`
	Quotes  []Quote `json:"quotes,omitempty"`

	// Pieces is into how many the document was cut, 0 if it was asked about
	// whole. Shortened is how many bytes of it were left out.
	Pieces    int `json:"pieces,omitempty"`
	Shortened int `json:"shortened,omitempty"`

	// Response is the provider's whole response, kept for jobs that came as
	// ready requests: their output file repeats it.
	Response json.RawMessage `json:"response,omitempty"`

	// Kind and ErrorBody tell why a dead job died.
	Kind      Kind            `json:"kind,omitempty"`
	Code      int             `json:"code,omitempty"` // HTTP status of the last failure
	ErrorBody json.RawMessage `json:"error_body,omitempty"`

	Usage    Usage     `json:"usage,omitzero"` // of all attempts of all runs
	Cost     USD       `json:"cost"`           // of all attempts of all runs
	Attempts []Attempt `json:"attempts,omitempty"`
	Skipped  []Skip    `json:"skipped,omitempty"`

	// Rejected are the answers that did not pass the batch's checks.
	Rejected []Rejection `json:"rejected,omitempty"`

	// Transcript is the conversation of a job with tools, shortened.
	Transcript []Message `json:"transcript,omitempty"`

	Finished time.Time `json:"finished"`
	Worker   string    `json:"worker,omitempty"`
}

// Skip tells why a model of the chain was not asked.
type Skip struct {
	Model string `json:"model"`
	Why   string `json:"why"`
}

// NewOutcome starts the outcome of a job in a batch; attempts and their sums
// include those of earlier runs.
func NewOutcome(j *Job, b *Batch, status Status, attempts []Attempt) *Outcome {
	o := &Outcome{
		Job: j.ID, Batch: j.Batch, CustomID: j.CustomID, Source: j.Document.Source,
		Tenant: b.Tenant, Run: j.Run, Ready: j.Document.Ready(), Status: status,
	}
	o.note(j.Instead)
	o.Attempts = append(append(o.Attempts, j.Earlier...), attempts...)
	for _, a := range o.Attempts {
		o.Usage = o.Usage.Add(a.Usage)
		o.Cost += a.Cost
	}
	return o
}

// Repeat takes over the answer of an earlier outcome, with whoever gave it and
// what its checks found; not what it cost, nor how it was degraded.
func (o *Outcome) Repeat(earlier *Outcome) {
	o.Model, o.Answer, o.Finish, o.Response = earlier.Model, earlier.Answer, earlier.Finish, earlier.Response
	o.Checked, o.Quotes = earlier.Checked, earlier.Quotes
}

// Ambiguous is the part of the cost that is presumed and not known.
func (o *Outcome) Ambiguous() USD {
	var sum USD
	for _, a := range o.Attempts {
		if a.Billing == Presumed {
			sum += a.Cost
		}
	}
	return sum
}

// CostUnknown reports whether the cost is 0 because nobody knows the price of
// what was asked.
func (o *Outcome) CostUnknown() bool {
	return o.Cost == 0 && slices.ContainsFunc(o.Attempts, func(a Attempt) bool { return a.Unpriced })
}

// DeadLetter is a job that ended dead, kept whole.
type DeadLetter struct {
	Job     *Job
	Outcome *Outcome
	// Sequence is the stream sequence of the dead outcome, which a replay
	// replaces.
	Sequence uint64
}
