package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"sync/atomic"
	"time"
)

// busy is the share of the slots' time in which a call is in flight, as the
// model sees it, once every slot had a job and until none is waiting.
func (b *bench) busy(ctx context.Context) error {
	const shortest, longest = 200 * time.Millisecond, 2 * time.Second
	b.table.heading(fmt.Sprintf("slots busy: a call of theirs is in flight at the model, calls of %v to %v", shortest, longest))
	kinds := b.kinds(realSynced)
	if len(kinds) == 0 {
		kinds = []kind{embeddedOnes}
	}
	for _, point := range []struct {
		slots int
		aim   string
	}{{500, aimBusy500}, {2000, aimBusy2000}, {5000, aimBusy5000}} {
		t := task{Role: "busy", Jobs: b.fewer(16, 8) * point.slots, Slots: point.slots, Body: body}
		b.say("busy: %d jobs, %d slots, %s", t.Jobs, t.Slots, kinds[0])
		r, err := b.measure(ctx, kinds[0], &task{Latency: shortest, Longest: longest}, t)
		if err != nil {
			return err
		}
		share := 100 * r.Flying / float64(point.slots)
		cores := r.Answered.cpuEach() * r.Answered.rate() / 1e6
		b.table.add(row{
			fmt.Sprintf("%s in flight at the most, %s", number(float64(point.slots)), kinds[0]),
			fmt.Sprintf("%.1f %% at %s", share, perSecond(r.Answered, "jobs")), r.Answered,
			fmt.Sprintf("%.1f of %d cores; %s", cores, runtime.NumCPU(), r.Shares),
		})
		b.table.reached(point.aim, share)
		if b.short {
			return nil
		}
	}
	return nil
}

// playBusy answers jobs, and looks at where the slots' time goes between the
// moments when each has had two on average and when two for each are left.
func playBusy(ctx context.Context, t *task, out *json.Encoder) (err error) {
	s, err := open(ctx, t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	calls := &counted{RoundTripper: t.client().Transport}
	s.own = &http.Client{Transport: calls}
	if err := s.fill(ctx, "bench", t.Jobs); err != nil {
		return err
	}
	if err := s.prepare(ctx); err != nil {
		return err
	}
	s.run(ctx)
	if err := s.await(ctx, 2*t.Slots, func(int) {}); err != nil {
		return err
	}
	stop, err := profile(t.Profile)
	if err != nil {
		return err
	}
	looking, look := context.WithCancel(ctx)
	found := make(chan shares)
	go func() { found <- s.look(looking, &calls.flying) }()
	s.meter.begin()
	steady := t.Jobs - 4*t.Slots
	err = s.await(ctx, steady, func(int) {})
	look()
	r := &report{Shares: <-found}
	if err != nil {
		return err
	}
	r.Answered = s.meter.end(steady)
	stop()
	if err := s.await(ctx, 2*t.Slots, func(int) {}); err != nil {
		return err
	}
	samples, err := t.load(ctx)
	if err != nil {
		return err
	}
	r.Flying = inFlight(samples, s.meter.began, s.meter.began.Add(r.Answered.Took))
	return out.Encode(r)
}

// look looks until ctx ends, and returns what the slots did meanwhile.
func (s *subject) look(ctx context.Context, calling *atomic.Int64) shares {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var looks, taken, called float64
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			all := max(looks, 1) * float64(s.Slots)
			return shares{Waiting: (taken - called) / all, Idle: 1 - taken/all}
		}
		looks++
		called += float64(calling.Load()) // the innermost first: none is seen without what it is part of
		taken += float64(s.worker.Pool.Stats().Running)
	}
}

// shares are what slots do with their time while no call of theirs is in
// flight, as parts of all of it.
type shares struct {
	Waiting float64 // for the guards and the record of calls, or for others to be stored
	Idle    float64 // without a job
}

func (s shares) String() string {
	return fmt.Sprintf("waiting %.1f %%, no job %.1f %%", 100*s.Waiting, 100*s.Idle)
}

// counted knows how many calls are in flight.
type counted struct {
	http.RoundTripper
	flying atomic.Int64
}

// RoundTrip implements http.RoundTripper.
func (c *counted) RoundTrip(r *http.Request) (*http.Response, error) {
	c.flying.Add(1)
	defer c.flying.Add(-1)
	return c.RoundTripper.RoundTrip(r)
}
