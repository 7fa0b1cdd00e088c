// Command circuits has a model die under fleets of real worker processes, and
// come back, and shows what that costs:
//
//	go run ./bench/circuits              1, 4 and 8 workers, in about a minute
//	go run ./bench/circuits --workers 4  four only
//	go run ./bench/circuits --json       one JSON object a line rather than a table
//
// The provider is llm/simulator, in this process. NATS and Redis are processes
// that sync every write, and all listen on loopback. docs/circuits.md tells how
// to read the table.
package main
