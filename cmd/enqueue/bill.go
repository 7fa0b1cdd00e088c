package main

import (
	"encoding/json"

	"github.com/drover-batch/drover/jobs"
)

// bill is what something has cost, or that nobody knows: null for scripts.
type bill struct {
	cost    jobs.USD
	unknown bool
}

func billOf(o *jobs.Outcome) bill { return bill{o.Cost, o.CostUnknown()} }

// MarshalJSON implements json.Marshaler.
func (b bill) MarshalJSON() ([]byte, error) { return json.Marshal(known(b.cost, !b.unknown)) }

func (b bill) String() string {
	if b.unknown {
		return "unknown"
	}
	return b.cost.String()
}

// short shows it for reading along.
func (b bill) short() string {
	if b.unknown {
		return b.String()
	}
	return b.cost.Short()
}
