// Package audit verifies what Drover promises from what can be seen outside
// of it, and knows nothing of how the workers do their work.
//
// Whoever ran a fleet through faults gathers the Evidence: what was accepted,
// what the broker and the ledger hold at rest, what the provider charged for,
// and what was done to whom when. Examine says what is wrong with it. It is
// the same examination for fleets in virtual time, in internal/wire, and for
// real processes, in bench/chaos:
//
//	found := audit.Examine(evidence)
//	for _, o := range found.Objections {
//		fmt.Println(o, found.Story(o.Job))
//	}
package audit
