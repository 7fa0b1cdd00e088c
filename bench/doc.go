// Bench measures Drover against its aims, itself and its peers, on this
// machine, and prints one table.
//
//	go run ./bench              # everything; a quarter of an hour on two idle cores
//	go run ./bench -short       # fewer jobs and settings; about a minute
//	go run ./bench -only peers  # Drover, asynq and River in turn
//	go run ./bench --json       # the same for programs
//
// Every line is measured in a process of its own, made by running this program
// again. The model is the simulator, without latency unless the line says so,
// in another process; NATS and Redis are the embedded ones or real servers
// (nats-server and redis-server on the PATH, or $NATS_SERVER and
// $REDIS_SERVER), on loopback, with their data in a temporary folder. All of it
// is gone when the program ends, however it ends.
//
// The peers are a module of their own, bench/peers, which is built when they
// are measured. River's server is PostgreSQL (postgres on the PATH, in
// /usr/lib/postgresql or $POSTGRES). What is missing is left out, with a line
// that says so.
//
// A rate says as much about what else the machine was doing as about Drover:
// judge by the CPU a job takes over all processes, and by the ratios, whose
// sides are measured in turn in the same run. -repeat 3 keeps the best of
// three.
//
// The CPU and the resident memory of processes are read from /proc; elsewhere
// those columns stay empty.
package main
