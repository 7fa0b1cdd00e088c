// Command fair shows how real worker processes share their time:
//
//	go run ./bench/fair              all sections, in a minute or two
//	go run ./bench/fair --million    with a million jobs in the large batch
//	go run ./bench/fair --only live  one section: behind, weights, deadline, crowd or live
//
// It prints how long ten jobs take alone and behind a large batch, what batches
// get by weight, whether a deadline is met with and without telling, what becomes
// of batches behind a thousand others, and what 1, 100 and 1,000 live batches
// cost. The provider is llm/simulator, in this process; NATS and Redis are
// processes that sync every write. All listen on loopback. docs/fairness.md has
// figures.
package main
