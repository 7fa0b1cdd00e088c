package jobs

import "fmt"

// Dedupe says which identical requests are paid for once.
type Dedupe string

// DedupeOff, the default, asks for every document by itself: whoever submits
// one twice may want two answers. DedupeBatch pays once for identical requests
// of a batch, DedupeTenant for those of all its tenant's batches that say so.
const (
	DedupeOff    Dedupe = "off"
	DedupeBatch  Dedupe = "batch"
	DedupeTenant Dedupe = "tenant"
)

// Validate reports a word that is none of them; empty is the default.
func (d Dedupe) Validate() error {
	switch d {
	case "", DedupeOff, DedupeBatch, DedupeTenant:
		return nil
	}
	return fmt.Errorf("dedupe %q: use off, batch or tenant", string(d))
}

// Same names the job whose answer served for another with the same request.
type Same struct {
	Batch    string `json:"batch"`
	Job      ID     `json:"job"`
	CustomID string `json:"custom_id"`
}
