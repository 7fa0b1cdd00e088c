// Package queue keeps batches, jobs, outcomes and dead letters in NATS
// JetStream, and lends jobs to workers.
//
// [Create] lays out the streams, [Open] binds a [Queue] to them. One job's way
// through it:
//
//	Enqueue → Writer.Add → JOBS → Source.Next → Delivery.Done → OUTCOMES
//	                                          ↘ Delivery.Bury → OUTCOMES, DEAD → Replay → JOBS
//
// # Enqueueing
//
// A [Writer] stores jobs in groups that the broker takes whole or not at all.
// The last message of each group is a cursor, which says how far enqueueing
// has come and may only follow the cursor before it. So jobs and position
// never disagree, whatever crashes; a second enqueuer of the same batch is
// refused; and to find out where to go on takes one read.
//
// # Lending
//
// A batch is a durable consumer. A [Source] deals the slots of its worker among
// the live batches, by tenant, then by weight, and asks the broker for as many
// jobs as there are slots, never more. A lease counts from when the job was
// asked for and is moved by confirmed renewals only. Past its end, a delivery
// stores an outcome or waste and nothing else.
//
// A pause or a cancel is a change of the batch's manifest, which every Source
// hears of at once and, in case it has missed it, looks for within seconds. The
// manifest is the one truth: consumers are not paused too.
//
// # Outcomes
//
// Each job has one subject in OUTCOMES, which holds one message. An outcome is
// stored only if the newest there is the one the job was issued against, so a
// job has one outcome whoever answers late. The acknowledgement comes after
// and is only an optimisation: a job that comes back is looked up before it is
// paid for. A delivery's Fresh spares that lookup when no earlier delivery can
// have been forgotten. On a single server that is known from its id, so
// workers should connect to the server that holds the streams and not through
// a leaf node.
//
// While NATS is away a [Spool] keeps outcomes on disk. While it is connected and
// stores nothing, for want of room, nothing is lent: see [Queue.Full].
//
// # The book
//
// What a job cost is repeated in the headers of its outcome, and money that
// bought none is recorded in WASTE. [Queue.Book] reads both, headers only. Calls
// that are on their way are in neither: a [CallLog] has each on record before it
// is made, for [Queue.InFlight].
package queue
