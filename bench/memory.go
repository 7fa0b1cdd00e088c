package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"time"
)

// memory is what a call in flight costs while it waits for its answer.
func (b *bench) memory(ctx context.Context) error {
	calls, shortest, longest := 1000, time.Second, 3*time.Second
	b.table.heading(fmt.Sprintf("resident memory of the worker, %s calls of %v to %v in flight", number(float64(calls)), shortest, longest))
	kinds := b.kinds(realSynced)
	if len(kinds) == 0 {
		kinds = []kind{embeddedOnes}
	}
	for _, tls := range []bool{true, false} {
		over := "TLS and HTTP/2"
		if !tls {
			over = "HTTP/1"
		}
		if b.short && !tls {
			continue
		}
		t := task{Role: "memory", Jobs: b.fewer(5, 2) * calls, Slots: calls, Body: body}
		b.say("memory: %d jobs, %d slots, %s", t.Jobs, t.Slots, over)
		r, err := b.measure(ctx, kinds[0], &task{Latency: shortest, Longest: longest, TLS: tls}, t)
		if err != nil {
			return err
		}
		figure := fmt.Sprintf("%.0f KiB a call", r.PerCall/1024)
		b.table.add(row{what: fmt.Sprintf("over %s, %d at once: %s", over, r.Alive, kinds[0]), figure: figure})
		if tls {
			b.table.reached(aimMemory, r.PerCall/1024)
		}
	}
	return nil
}

// playMemory compares a worker at rest with one whose slots are all taken.
func playMemory(ctx context.Context, t *task, out *json.Encoder) (err error) {
	s, err := open(ctx, t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if err := s.fill(ctx, "warm", 10); err != nil {
		return err
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	if err := s.await(ctx, 10, func(int) {}); err != nil {
		return err
	}
	debug.FreeOSMemory()
	before, ok := residentOf(os.Getpid())
	if !ok {
		return errors.New("this system does not tell how much memory a process has")
	}
	if err := s.fill(ctx, "bench", t.Jobs); err != nil {
		return err
	}
	r := &report{}
	watching, stop := context.WithCancel(ctx)
	var sizes []uint64
	s.running.Go(func() { sizes = s.watch(watching, r) })
	err = s.await(ctx, 1, func(int) {})
	s.meter.begin()
	if err == nil {
		err = s.await(ctx, t.Jobs-1, func(int) {})
	}
	stop()
	if err != nil {
		return err
	}
	r.Answered = s.meter.end(t.Jobs - t.Slots) // the first of all slots end at about the same time
	s.stop()
	s.running.Wait()
	if len(sizes) == 0 {
		return errors.New("the slots were never taken")
	}
	slices.Sort(sizes)
	r.PerCall = (float64(sizes[len(sizes)/2]) - float64(before)) / float64(r.Alive)
	return out.Encode(r)
}

// watch looks at the memory while nearly all slots are taken.
func (s *subject) watch(ctx context.Context, r *report) (sizes []uint64) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return sizes
		case <-tick.C:
		}
		running := s.worker.Pool.Stats().Running
		if n, ok := residentOf(os.Getpid()); ok && running >= s.Slots*95/100 {
			sizes = append(sizes, n)
			r.Alive = max(r.Alive, running)
		}
	}
}
