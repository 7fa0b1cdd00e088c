// Command power cuts the power under NATS and Redis, and fills the disk under
// NATS, while a fleet is at work, and then has what Drover promises verified by
// internal/audit:
//
//	go run ./bench/power                     ten cuts with every write synced, three without, a full disk
//	go run ./bench/power --cuts 30 --unsynced 0 --full=false
//
// It needs Linux, root, xfsprogs and redis-server, and says so and ends with 0
// where one of them is missing. nats-server is built from the module that
// Drover is tested with.
//
// A cut is real as far as software can make it: the data of both servers is on
// an XFS file system of its own, in a file, which is told to shut down without
// writing anything more: what was not synced by then is gone. Both servers are
// killed at the same moment, the file system is mounted anew, which replays its
// journal, and they start again on what is left.
//
// All mounts are in a mount namespace of this program's and vanish with it,
// however it ends; so do the processes. docs/power.md tells how to read the
// table.
package main
