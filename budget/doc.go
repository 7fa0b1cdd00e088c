// Package budget keeps spend within hard limits, whatever crashes.
//
// The [Ledger] is a guard of the gate. Before a call it reserves the call's
// worst case in every account that applies: its batch's and those of the
// configured [Budget]s for its tenant, its model and the present day, week or
// month; in all of them or in none. After the call the hold is settled to what
// the call did cost. A hold whose worker died becomes spend, presumed until
// somebody knows better: the call may well have been billed.
//
//	Enter ── hold ──┬─ Leave: billed ──── spent
//	                ├─ Leave: presumed ── spent, ambiguous
//	                ├─ Leave: free ────── nothing
//	                └─ worker dies ────── spent, presumed ── Leave after all: the truth
//
// So spent and held together never exceed a limit, given true prices and
// providers that honour the output limit. A hold also claims its job, which
// has one live call at a time. A call belongs to the turn of a window in which
// it was admitted; the store's clock decides, to the microsecond.
//
// Sums live in Redis, as integer millionths of a dollar, and are exact up to
// nine billion dollars. When Redis has lost them the gate is shut, and
// [Ledger.Rebuild] refills them from the book and from the record of calls in
// flight. A call that is missing for another reason, such as a failover that
// lost the last second, is held again by its own worker: [Ledger.Resume].
package budget
