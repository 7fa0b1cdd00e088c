package jobs

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// State is where a batch stands.
type State string

// The states of a batch. It moves from Enqueueing to Live when its last job
// is in, and to Finished when its last outcome is; a replay makes it Live
// again. Paused comes and goes in between; Cancelled is for good.
const (
	Enqueueing State = "enqueueing"
	Live       State = "live"
	Paused     State = "paused"
	Cancelled  State = "cancelled"
	Finished   State = "finished"
)

// Spent says what becomes of a batch's remaining jobs when its budget is used
// up.
type Spent string

// PauseWhenSpent, the default, keeps the jobs until the limit is raised;
// BuryWhenSpent turns each into a dead letter, ExpireWhenSpent ends it without.
const (
	PauseWhenSpent  Spent = "pause"
	BuryWhenSpent   Spent = "bury"
	ExpireWhenSpent Spent = "expire"
)

// Validate reports a word that is none of them; empty is the default.
func (s Spent) Validate() error {
	switch s {
	case "", PauseWhenSpent, BuryWhenSpent, ExpireWhenSpent:
		return nil
	}
	return fmt.Errorf("when_spent %q: use pause, bury or expire", string(s))
}

// Batch is jobs submitted together under one id, prompt, chain, budget and
// deadline.
type Batch struct {
	ID      string    `json:"id"`
	Name    string    `json:"name"`
	Tenant  string    `json:"tenant"` // whom work and money belong to; default "default"
	Created time.Time `json:"created"`

	Prompt string `json:"prompt,omitempty"` // a template over the document
	System string `json:"system,omitempty"` // a template too; empty sends none
	Chain  string `json:"chain"`            // a chain of the configuration

	Budget    USD       `json:"budget,omitempty"`     // 0 means no limit of its own
	WhenSpent Spent     `json:"when_spent,omitempty"` // default pause
	AlertAt   []float64 `json:"alert_at,omitempty"`   // shares of Budget that raise an alert
	CheaperAt float64   `json:"cheaper_at,omitempty"` // share of Budget from which cheaper models are asked first; 0 for never
	Deadline  time.Time `json:"deadline,omitzero"`    // jobs not answered by then expire
	Weight    int       `json:"weight,omitempty"`     // share of its tenant's slots and calls, default 1

	WhenLimited WhenLimited `json:"when_limited,omitempty"` // default: what the chain says

	// Urgent is set on what is lent while the batch would miss its deadline at
	// its share: its calls come before those of the tenant's other batches.
	Urgent bool `json:"-"`

	// Instead is set on what is lent of a job that is asked with something else
	// than the batch says; see Asking.
	Instead *Instead `json:"-"`

	// Chains are those, besides Chain, that dead letters were replayed with.
	Chains []string `json:"chains,omitempty"`

	Degrade Degrade `json:"degrade,omitzero"`

	Answer     Demands    `json:"answer,omitzero"`    // what an answer must be like
	Overflow   Overlong   `json:"overflow,omitempty"` // of a document too long for a model; default larger
	Combine    string     `json:"combine,omitempty"`  // how the answers to its pieces are put together; empty for the default
	Tools      []string   `json:"tools,omitempty"`    // that its jobs may use, of those its chain may; empty for all of them, "none" for none
	Guardrails Guardrails `json:"guardrails,omitzero"`
	Dedupe     Dedupe     `json:"dedupe,omitempty"` // which identical requests are paid for once; default none

	State  State  `json:"state"`
	Reason string `json:"reason,omitempty"` // why it is paused or cancelled

	// Needs is set while it is paused for want of money: what the call that did
	// not fit costs at the most, by model, 0 where no price is known. It goes on
	// by itself as soon as one of them fits.
	Needs map[string]USD `json:"needs,omitempty"`

	Total int64 `json:"total"` // jobs enqueued; final once Live

	// Resumed is set when enqueueing was interrupted and taken up again: its
	// jobs are looked up before they are paid for.
	Resumed bool `json:"resumed,omitempty"`
}

// Degrade is what a batch accepts instead of an answer by one of its models.
type Degrade struct {
	// Cached allows an earlier answer to the same request when no model can
	// answer.
	Cached bool `json:"cached,omitempty"`
	// Unavailable is the text that stands in when no model can answer and
	// nothing is cached; empty makes such a job a dead letter.
	Unavailable string `json:"unavailable,omitempty"`
}

// BatchID makes an id for a batch from its name and whatever else makes it
// the same batch when it is submitted again. It is safe inside a subject, a
// key and a file name.
func BatchID(name string, parts ...string) string {
	h := sha256.New()
	for _, p := range append([]string{name}, parts...) {
		fmt.Fprintf(h, "%d:%s", len(p), p)
	}
	return slug(name) + "-" + hex.EncodeToString(h.Sum(nil)[:5])
}

func slug(name string) string {
	s := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '-', r == '_':
			return r
		case r >= 'A' && r <= 'Z':
			return r + ('a' - 'A')
		}
		return '-'
	}, name)
	s = strings.Trim(s, "-")
	if len(s) > 40 {
		s = strings.TrimRight(s[:40], "-")
	}
	if s == "" {
		return "batch"
	}
	return s
}

// MostWeight is the largest weight of a batch: what is shared is counted in
// integers.
const MostWeight = 1_000_000

// mostName bounds what a batch's tenant and chain are called: the tenant travels
// in the head of each message about it, which NATS bounds.
const mostName = 256

// Validate reports what is wrong with a batch before it is registered.
func (b *Batch) Validate() error {
	var errs []error
	if !safeToken(b.ID) {
		errs = append(errs, fmt.Errorf("batch id %q: use 1 to 64 letters, digits, '-' or '_'", b.ID))
	}
	if b.Chain == "" {
		errs = append(errs, errors.New("a batch needs a chain of models"))
	}
	if b.Tenant == "" {
		errs = append(errs, errors.New("a batch needs a tenant"))
	}
	if len(b.Tenant) > mostName || len(b.Chain) > mostName {
		errs = append(errs, fmt.Errorf("the names of a batch's tenant and of its chain have %d bytes at the most", mostName))
	}
	if b.Budget < 0 {
		errs = append(errs, errors.New("a budget cannot be negative"))
	}
	if b.Weight < 0 || b.Weight > MostWeight {
		errs = append(errs, fmt.Errorf("weight %d: use 1 to %d", b.Weight, MostWeight))
	}
	return errors.Join(append(errs, b.WhenSpent.Validate(), b.WhenLimited.Validate(), b.Overflow.Validate(), b.Guardrails.Validate(), b.Dedupe.Validate(), b.validateShares())...)
}

func (b *Batch) validateShares() error {
	if b.Budget == 0 && (len(b.AlertAt) > 0 || b.CheaperAt != 0) {
		return errors.New("alert_at and cheaper_at are shares of the batch's own budget: give it one")
	}
	if b.CheaperAt != 0 {
		if err := CheckShare(b.CheaperAt); err != nil {
			return fmt.Errorf("cheaper_at %w", err)
		}
	}
	for _, s := range b.AlertAt {
		if err := CheckShare(s); err != nil {
			return fmt.Errorf("alert_at %w", err)
		}
	}
	return nil
}

// CheckShare reports what is wrong with a share of a limit.
func CheckShare(s float64) error {
	if !(s > 0 && s <= 1) {
		return fmt.Errorf("%v: use shares above 0 and up to 1, such as 0.8", s)
	}
	return nil
}

func safeToken(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for _, r := range s {
		ok := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_'
		if !ok {
			return false
		}
	}
	return true
}

// Progress is how far a batch has come. Queued and Running are exact.
type Progress struct {
	State   State  `json:"state"`
	Reason  string `json:"reason,omitempty"`
	Total   int64  `json:"total"`   // jobs enqueued so far
	Queued  int64  `json:"queued"`  // waiting for a worker
	Running int64  `json:"running"` // on loan to a worker, or deferred
	Dead    int64  `json:"dead"`    // dead letters not replayed or dropped

	// Unpriced says that nobody knows what some of it has cost.
	Unpriced bool `json:"-"`
}

// Done is the number of jobs that have an outcome.
func (p Progress) Done() int64 { return max(0, p.Total-p.Queued-p.Running) }

// Over reports whether every job has its outcome and no more can come.
func (p Progress) Over() bool {
	return p.State != Enqueueing && p.State != Paused && p.Queued+p.Running == 0
}
