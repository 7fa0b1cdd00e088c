package audit

import "time"

// Figures are what people want to know first.
type Figures struct {
	Accepted int `json:"accepted"`
	Outcomes int `json:"outcomes"` // of accepted jobs
	Lost     int `json:"lost"`
	Doubles  int `json:"double_outcomes"`

	Paid       int            `json:"paid"`       // calls
	Needed     int            `json:"needed"`     // the first of a run with each model
	Extra      map[string]int `json:"extra"`      // the others, by what excuses them
	Unrecorded int            `json:"unrecorded"` // paid for, and on no record

	Accounts []Account `json:"accounts"`

	// Recovery is from the last fault to the last outcome that was stored; 0
	// if there were no faults or all was over before.
	Recovery time.Duration `json:"recovery"`
}

func (a *Audit) count() {
	f := &a.Figures
	for _, b := range a.Batches {
		f.Accepted += len(b.Accepted)
	}
	f.Outcomes = f.Accepted - f.Lost
	f.Paid = len(a.calls)
	f.Extra = map[string]int{}
	for _, c := range a.calls {
		if c.again != "" {
			f.Extra[c.again]++
		} else {
			f.Needed++
		}
	}
	var last, stored time.Time
	for _, x := range a.Faults {
		if x.To.After(last) {
			last = x.To
		}
	}
	for _, o := range a.outcomes {
		if o.Stored.After(stored) {
			stored = o.Stored
		}
	}
	if !last.IsZero() {
		f.Recovery = max(0, stored.Sub(last))
	}
}
