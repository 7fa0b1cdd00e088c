package simulator

import (
	"strconv"
	"sync"
	"time"
)

// Entry is one call in the ledger.
type Entry struct {
	Seq    uint64    `json:"seq"`  // 1 for the first call
	ID     string    `json:"id"`   // as in the response
	Path   string    `json:"path"` // the endpoint's
	Model  string    `json:"model"`
	At     time.Time `json:"at"`
	Prompt string    `json:"prompt"` // see Prompt
	Input  int64     `json:"input"`  // tokens
	Output int64     `json:"output"` // tokens
	Status int       `json:"status"`
	Fault  Fault     `json:"fault,omitempty"`

	Billed    bool `json:"billed"`    // it was paid for
	Delivered bool `json:"delivered"` // and the client got what it paid for
}

// Sums are totals over calls.
type Sums struct {
	Calls       int64 `json:"calls"`
	Billed      int64 `json:"billed"`
	Undelivered int64 `json:"undelivered"` // billed, but the client did not get it
	Input       int64 `json:"input"`       // tokens billed
	Output      int64 `json:"output"`      // tokens billed
}

// Stats are the sums over all calls since the start.
type Stats struct {
	Sums
	Models   map[string]Sums `json:"models"`
	Statuses map[int]int64   `json:"statuses"`
}

// ledger remembers the newest calls and sums up all of them.
type ledger struct {
	keep int

	mu       sync.Mutex
	entries  []Entry // a ring: entry n is at (n-1) % keep
	seq      uint64
	models   map[string]*Sums
	statuses map[int]int64
}

func newLedger(keep int) *ledger {
	return &ledger{keep: keep, models: make(map[string]*Sums), statuses: make(map[int]int64)}
}

// record numbers the entry and adds it, not yet delivered.
func (l *ledger) record(e *Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.seq++
	e.Seq = l.seq
	e.ID = "sim-" + strconv.FormatUint(l.seq, 10)
	if len(l.entries) < l.keep {
		l.entries = append(l.entries, *e)
	} else {
		*l.at(e.Seq) = *e
	}
	sums := l.models[e.Model]
	if sums == nil {
		sums = new(Sums)
		l.models[e.Model] = sums
	}
	sums.Calls++
	l.statuses[e.Status]++
	if e.Billed {
		sums.Billed++
		sums.Undelivered++
		sums.Input += e.Input
		sums.Output += e.Output
	}
}

func (l *ledger) at(seq uint64) *Entry { return &l.entries[(seq-1)%uint64(l.keep)] }

// delivered says that the client of a billed call got the answer after all, or
// did not.
func (l *ledger) delivered(seq uint64, yes bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.at(seq)
	if e.Seq != seq || e.Delivered == yes { // overwritten by a newer one
		return
	}
	e.Delivered = yes
	if yes {
		l.models[e.Model].Undelivered--
	} else {
		l.models[e.Model].Undelivered++
	}
}

// Ledger returns the calls after the one numbered after, oldest first, as far
// as they are kept. A call is in it before its client can have the answer.
func (s *Server) Ledger(after uint64) []Entry { return s.ledger.list(after) }

func (l *ledger) list(after uint64) []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	oldest := l.seq - uint64(len(l.entries))
	after = max(after, oldest)
	var list []Entry
	for seq := after + 1; seq <= l.seq; seq++ {
		list = append(list, *l.at(seq))
	}
	return list
}

// Stats returns the sums over all calls.
func (s *Server) Stats() Stats { return s.ledger.stats() }

func (l *ledger) stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	st := Stats{Models: make(map[string]Sums), Statuses: make(map[int]int64)}
	for model, sums := range l.models {
		st.Models[model] = *sums
		st.Calls += sums.Calls
		st.Billed += sums.Billed
		st.Undelivered += sums.Undelivered
		st.Input += sums.Input
		st.Output += sums.Output
	}
	for status, n := range l.statuses {
		st.Statuses[status] = n
	}
	return st
}
