// Package resilience takes a job through its chain of models, and keeps a fleet
// of workers from calling models that are down, over their limits or beyond a
// budget.
//
// # The chain
//
// A [Chain] asks its models in order until one answers: retries with jitter,
// moves on when a model will not do, checks answers, tells in the outcome how
// the answer falls short, and ends every job in exactly one decision. What the
// replicas share is behind one interface, [Admission]: before a call the chain
// enters, after it it leaves.
//
// # The gate
//
// [Gate] is the real Admission. It composes what its guards have to check into
// one script, so a call is admitted by all of them or by none, in one round
// trip to Redis:
//
//	breaker := resilience.NewBreaker(resilience.BreakerConfig{})
//	limiter := resilience.NewLimiter(resilience.LimiterConfig{Quotas: quotas})
//	gate := resilience.NewGate(resilience.GateConfig{
//		Redis: rdb, Worker: "worker-1",
//		Guards: []resilience.Guard{breaker, ledger, limiter},
//	})
//	go gate.Run(ctx) // keeps the calls in flight alive
//
// While one script is on its way, all that arrives waits for the next, which
// takes it along. One call alone is sent at once, a thousand share four round
// trips. Where calls come in crowds a group lingers for a moment.
//
// Every operation is idempotent by the call's id, so a lost reply is asked for
// again. A call whose worker dies lapses with its lease. While Redis is away
// nothing enters, and results are kept and delivered later. When Redis has lost
// its sums, nothing enters until one replica has rebuilt them.
//
// # The guards
//
// [Breaker] has a circuit for each model, for the fleet and for each replica:
// closed, open after failures that a majority of the replicas sees, half-open
// for three leased probes, and then a ramp instead of a stampede.
//
// [Limiter] reserves start times up to a second ahead, first come, first
// served, in requests and in tokens, and counts the calls in flight. Pauses by
// Retry-After hold for everybody. In front of it every replica has a line for
// each quota: calls that have to wait do so there, in order, and one at a time
// asks again, rather than all of them asking Redis all the time.
//
// The third guard, the ledger, is package budget's.
//
// # Without Redis
//
// [Allowance] stands in front of the gate where a worker may go on for a while:
// it makes calls within an amount that the ledger held for it beforehand.
package resilience
