package resilience

import (
	"cmp"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// Retry says how often and how soon a model that failed is asked again.
type Retry struct {
	Tries int           // calls to one model that may fail, default 3
	Most  int           // the same over all deliveries of a job, most of them probes during an outage; default 10
	Base  time.Duration // bound of the first wait, doubled by each further one; default 1s
	Max   time.Duration // bound of all waits, default 60s

	// Ambiguous says what becomes of a job after a call that was sent and of
	// which nobody knows whether it was paid for; default jobs.AskAgain. It
	// does not apply to calls that were never sent, or rejected.
	Ambiguous jobs.AfterAmbiguous

	// Budget is shared by all chains of a process; nil sets no bound.
	Budget *RetryBudget

	// Random returns a number in [0,1); default math/rand/v2's.
	Random func() float64
}

func (r *Retry) complete() bool {
	return r.Tries > 0 && r.Most > 0 && r.Base > 0 && r.Max > 0 && r.Ambiguous != "" && r.Random != nil
}

func (r Retry) withDefaults() Retry {
	if r.Tries <= 0 {
		r.Tries = 3
	}
	if r.Most <= 0 {
		r.Most = 10
	}
	if r.Base <= 0 {
		r.Base = time.Second
	}
	if r.Max <= 0 {
		r.Max = time.Minute
	}
	if r.Ambiguous == "" {
		r.Ambiguous = jobs.AskAgain
	}
	if r.Random == nil {
		r.Random = rand.Float64
	}
	return r
}

// Delay is how long to wait after the given number of failures: anything
// between nothing and min(Max, Base·2^(failures-1)), all equally likely, so
// that callers who failed together do not return together. It is never shorter
// than after, which is the provider's Retry-After.
func (r Retry) Delay(failures int, after time.Duration) time.Duration {
	r = r.withDefaults()
	bound := r.Max
	if n := max(0, failures-1); n < 63 && r.Base <= r.Max>>n {
		bound = r.Base << n
	}
	return max(after, min(bound, time.Duration(r.Random()*float64(bound))))
}

const (
	retriesPerCall   = 0.2
	retriesPerSecond = 1 // whatever the calls
)

// RetryBudget keeps the retries of a process a small part of its calls, so
// that an outage cannot multiply traffic. The zero value is ready to use.
type RetryBudget struct {
	Credit float64 // most retries saved up, and what it starts with; default 100

	mu    sync.Mutex
	saved float64
	at    time.Time // when saved was right; zero before the first use
}

// Call notes a call that is made for the first time. It earns a part of a
// retry.
func (b *RetryBudget) Call() {
	if b == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.earn(retriesPerCall)
}

// Take reports whether a retry may be made now, and takes it from the budget.
func (b *RetryBudget) Take() bool {
	if b == nil {
		return true
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.earn(0)
	if b.saved < 1 {
		return false
	}
	b.saved--
	return true
}

func (b *RetryBudget) earn(more float64) {
	now := time.Now()
	credit := cmp.Or(b.Credit, 100)
	if b.at.IsZero() {
		b.at, b.saved = now, credit
	}
	b.saved = min(credit, b.saved+more+retriesPerSecond*now.Sub(b.at).Seconds())
	b.at = now
}
