package jobs

import (
	"fmt"
	"time"
)

// Kind is what sort of failure an attempt or a job ended in.
type Kind string

// The kinds of failure, and who decides them.
const (
	Timeout        Kind = "timeout"         // the model did not answer in its time
	Unreachable    Kind = "unreachable"     // network: refused, reset, no such host
	ServerError    Kind = "server_error"    // the provider's 5xx
	RateLimited    Kind = "rate_limited"    // 429
	NoQuota        Kind = "no_quota"        // 401, 402, 403, insufficient_quota: an operator must act
	Overflow       Kind = "overflow"        // does not fit the model's context
	Refused        Kind = "refused"         // the provider will not answer this content
	InvalidRequest Kind = "invalid_request" // 400, 404, 422
	InvalidAnswer  Kind = "invalid_answer"  // our check of the answer
	Truncated      Kind = "truncated"       // the answer hit its token limit
	Runaway        Kind = "runaway"         // a guardrail stopped it
	OverBudget     Kind = "over_budget"     // the ledger, for good
	Poison         Kind = "poison"          // kills its workers
	Interrupted    Kind = "interrupted"     // our own stop cut the call short
	Internal       Kind = "internal"        // a fault of ours, a panic for example
	PastDeadline   Kind = "past_deadline"   // the batch's deadline has gone by
)

// Kinds lists them all, in the order above.
func Kinds() []Kind {
	return []Kind{
		Timeout, Unreachable, ServerError, RateLimited, NoQuota, Overflow, Refused, InvalidRequest, InvalidAnswer,
		Truncated, Runaway, OverBudget, Poison, Interrupted, Internal, PastDeadline,
	}
}

// Retryable reports whether the same model may answer if asked again.
func (k Kind) Retryable() bool {
	switch k {
	case Timeout, Unreachable, ServerError, RateLimited, Internal:
		return true
	}
	return false
}

// UsesTry reports whether an attempt that failed so counts against the tries
// of its model. A rate limit and our own stop do not.
func (k Kind) UsesTry() bool { return k != RateLimited && k != Interrupted }

// Hopeless reports whether no other model of the chain could do better.
func (k Kind) Hopeless() bool {
	return k == InvalidRequest || k == Runaway || k == Poison || k == PastDeadline
}

// Verdict is what an attempt says about its model's health.
type Verdict string

// Good and Bad move the breaker. Neutral does not: a bad request, refused
// content or a 429 is nobody's outage. Broken opens the circuit at once: no
// call can succeed until an operator acts.
const (
	Good    Verdict = "good"
	Bad     Verdict = "bad"
	Neutral Verdict = "neutral"
	Broken  Verdict = "broken"
)

// Verdict is what a failure of this kind says about the model.
func (k Kind) Verdict() Verdict {
	switch k {
	case "", InvalidAnswer, Truncated: // it did answer
		return Good
	case Timeout, Unreachable, ServerError:
		return Bad
	case NoQuota:
		return Broken
	}
	return Neutral
}

// Billing says whether an attempt cost money.
type Billing string

// Free attempts provably cost nothing: never sent, or rejected. Billed ones
// have the provider's usage. Presumed ones may well have been billed: the
// request was sent and nobody knows, so its worst case counts as spent. Users
// read of those as ambiguous, wherever a cost is shown.
const (
	Free     Billing = "free"
	Billed   Billing = "billed"
	Presumed Billing = "ambiguous"
)

// AfterAmbiguous says what becomes of a job whose call was sent and came to
// nothing that anybody knows of: it may have been paid for, and asking again
// may be a second payment.
type AfterAmbiguous string

// AskAgain, the default, asks the same model again, as after any failure that
// may pass. AskNext leaves that model and goes on with the next. BuryAmbiguous
// ends the job in a dead letter, so that nobody but a replay pays for it again.
const (
	AskAgain      AfterAmbiguous = "again"
	AskNext       AfterAmbiguous = "next"
	BuryAmbiguous AfterAmbiguous = "bury"
)

// Failure is why an attempt, or a whole job, has no answer. It is an error;
// callers steer by its Kind.
type Failure struct {
	Kind    Kind
	Message string // for people: no secrets, no stack trace

	Status     int           // HTTP status, 0 if there was none
	Code       string        // the provider's error code, if it gave one
	RetryAfter time.Duration // not before then; 0 if the provider did not say
	Billing    Billing       // "" reads as Free
	Unsent     bool          // there was not even a connection, whatever the job
	Body       []byte        // the provider's error body, shortened
	Answer     *Answer       // the answer that failed our checks: it was paid for
	Flaws      []Flaw        // what the batch's checks found wrong with it
	Quota      *Quota        // what the headers said
	RequestID  string
}

// Failf makes a failure of the kind with a formatted message.
func Failf(kind Kind, format string, args ...any) *Failure {
	return &Failure{Kind: kind, Message: fmt.Sprintf(format, args...)}
}

func (f *Failure) Error() string {
	if f.Status != 0 {
		return fmt.Sprintf("%s (%d): %s", f.Kind, f.Status, f.Message)
	}
	return fmt.Sprintf("%s: %s", f.Kind, f.Message)
}
