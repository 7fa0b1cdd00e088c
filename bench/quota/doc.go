// Command quota has fleets of real worker processes use up a provider's quota,
// and shows how much of it they get and how often they run into it:
//
//	go run ./bench/quota                      all scenes: 1, 2, 4 and 8 replicas
//	go run ./bench/quota --replicas 4         those of four
//	go run ./bench/quota --only 6000 --churn  one, with replicas that come, leave and are killed
//	go run ./bench/quota --short              measured for half as long
//	go run ./bench/quota --full               all quotas with all numbers of replicas, for twice as long
//	go run ./bench/quota --json               one JSON object a line rather than a table
//
// The provider is llm/simulator, in this process: it enforces requests and
// tokens a minute with token buckets of two seconds' worth, answers 429 with
// Retry-After, and says in headers what is left. NATS and Redis are processes
// as well, and all listen on loopback. docs/quotas.md tells how to read the
// table.
package main
