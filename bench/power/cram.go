package main

import (
	"context"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/drover-batch/drover/bench/process"
	"github.com/drover-batch/drover/internal/audit"
)

// The disk that is filled, in MiB, of which the queue may have 16, see
// configure; and how long nobody makes room.
const (
	memory = 64
	hold   = 20 * time.Second
)

// cram fills the disk under NATS while a batch is submitted and worked on,
// leaves it full for a while and then makes room.
func (f *fleet) cram(ctx context.Context, t *trial) ([]*batch, []audit.Fault, error) {
	const feeding = 8 * time.Second
	for _, w := range f.workers {
		if err := f.hire(w); err != nil {
			return nil, nil, err
		}
	}
	b := newBatch("one", f.rig.jobs, 8<<10, feeding)
	submitted := make(chan error, 1)
	go func() { submitted <- f.submit(ctx, b) }()
	process.Pause(ctx, feeding/2)
	fault := audit.Fault{Kind: audit.Broker, What: "full disk", From: time.Now()}
	ballast, err := f.disk.fill()
	if err != nil {
		return nil, nil, err
	}
	if err := until(2*time.Minute, "a worker says that there is no room", f.oneSaysFull); err != nil {
		return nil, nil, err
	}
	full := time.Now()
	process.Pause(ctx, 2*time.Second) // calls on their way come back
	before := len(f.provider.Sent())
	process.Pause(ctx, hold)
	t.Calls, t.Held = len(f.provider.Sent())-before, time.Since(full)
	if err := os.Remove(ballast); err != nil {
		return nil, nil, err
	}
	if until(15*time.Second, "workers find room", f.noneSaysFull) != nil || !f.healthy() {
		t.Restarted = true
		f.nats.stop()
		if err := f.startNATS(); err != nil {
			return nil, nil, err
		}
		if err := until(time.Minute, "workers find room", f.noneSaysFull); err != nil {
			return nil, nil, err
		}
	}
	fault.To = time.Now()
	f.rig.say("%s: %d calls were begun in %v without room; NATS had to be started again: %v", t.How, t.Calls, t.Held.Round(time.Second), t.Restarted)
	if err := <-submitted; err != nil {
		return nil, nil, err
	}
	t.Accepted = len(b.docs)
	return []*batch{b}, []audit.Fault{fault}, nil
}

func (f *fleet) oneSaysFull() bool {
	return slices.ContainsFunc(f.workers, func(w *worker) bool { return w.says("1") })
}

func (f *fleet) noneSaysFull() bool {
	return !slices.ContainsFunc(f.workers, func(w *worker) bool { return !w.says("0") })
}

// says reports whether the worker's metric for a full disk has the value.
func (w *worker) says(value string) bool {
	return strings.Contains(w.get("/metrics"), "\ndrover_storage_full "+value+"\n")
}
