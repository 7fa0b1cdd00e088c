// Package pool runs jobs: a [Pool] lends them from a [Source], as many as it has
// free slots or will have when they arrive, hands each to a handler, keeps its
// lease alive meanwhile and settles it as the handler decides.
//
// One job's way through it:
//
//	Source.Next → is there an outcome already? → Handle → settle
//
// Settling is storing an outcome (Done, Bury), or handing the job back (Defer,
// Return). It does not stop when the worker does: it has its own time limit.
//
// # Slots
//
// A slot is there for calls. A handler gives its [Slot] to another job when it
// has an answer and only what comes after it is to be done. While all slots are
// taken, a few jobs of batches that would wait for one are worked on beyond
// them: see [Pool].Newcomers.
//
// # Leases
//
// A lease is renewed at every third of it. When it is lost, the handler's
// context is cancelled with jobs.ErrLeaseLost as its cause: the job is
// somebody else's by now, and only an outcome may still be stored.
//
// # Stopping
//
// Run has two contexts. Cancel the first to stop taking jobs: running handlers
// have the grace period to end, then their contexts are cancelled with
// ErrStopping and what they hand back is returned for others. Cancel the
// second to cut the grace period short.
package pool
