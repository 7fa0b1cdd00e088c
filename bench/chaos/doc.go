// Command chaos runs a fleet of real processes through faults, and then has
// what Drover promises verified by internal/audit:
//
//	go run ./bench/chaos                     a minute of one schedule
//	go run ./bench/chaos --seed 7 --for 15s  another, shorter one
//	go run ./bench/chaos --cluster           NATS is three servers, whose leader dies
//	go run ./bench/chaos --soak --for 4h     a steady rate for hours; fails on growth
//
// nats-server is built from the module that Drover is tested with,
// redis-server has to be on the PATH or in $REDIS_SERVER. Everything listens on
// loopback, on ports that the system gives out, and keeps its data in a
// temporary folder.
//
// Each worker reaches NATS, Redis and the provider through proxies of its own,
// which break its connections, delay them, and swallow replies. The provider is
// llm/simulator, in this process: its ledger says what was paid for, and the
// proxies say who asked.
//
// The seed decides what is done to whom when. What comes of it also depends on
// the machine: real processes do not run twice in the same way. docs/chaos.md
// tells how to read the table.
package main
