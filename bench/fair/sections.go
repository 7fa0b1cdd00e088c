package main

import (
	"context"
	"fmt"
	"time"

	"github.com/drover-batch/drover/bench/process"
	"github.com/drover-batch/drover/jobs"
)

// behind shows how long ten jobs take alone, and behind a large batch.
func behind(ctx context.Context, r *rig) error {
	r.print("TEN JOBS BEHIND %d                     ALONE    BEHIND   RATIO", r.large)
	for _, s := range []struct {
		what string
		crew crew
	}{
		{"slots are scarce", crew{name: "slots", workers: 2, slots: 32, latency: 500 * time.Millisecond}},
		{"600 requests a minute", crew{name: "quota", workers: 2, slots: 64, latency: 500 * time.Millisecond, rpm: 600}},
	} {
		err := r.with(ctx, s.crew, func(ctx context.Context, c *crew) error {
			alone, err := c.tenTake(ctx, jobs.Batch{ID: "alone"})
			if err != nil {
				return err
			}
			r.say("enqueueing %d jobs", r.large)
			if err := c.submit(ctx, jobs.Batch{ID: "large"}, r.large); err != nil {
				return err
			}
			process.Pause(ctx, 5*time.Second)
			for _, tenant := range []string{"acme", "globex"} {
				took, err := c.tenTake(ctx, jobs.Batch{ID: "behind-" + tenant, Tenant: tenant})
				if err != nil {
					return err
				}
				whose := map[string]string{"acme": "same tenant", "globex": "another tenant"}[tenant]
				r.print("%-38s %6.2fs  %6.2fs  %5.2f", s.what+", "+whose, alone.Seconds(), took.Seconds(), took.Seconds()/alone.Seconds())
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
	}
	return nil
}

// weights shows what three batches get of the same slots, and of a quota.
func weights(ctx context.Context, r *rig) error {
	r.print("\nWEIGHTS 1 : 2 : 5                        JOBS            WANT 12.5 %% : 25 %% : 62.5 %%")
	for _, s := range []struct {
		what string
		crew crew
	}{
		{"slots are scarce", crew{name: "wslots", workers: 2, slots: 16, latency: 300 * time.Millisecond}},
		{"1,800 requests a minute", crew{name: "wquota", workers: 2, slots: 48, latency: 300 * time.Millisecond, rpm: 1800}},
	} {
		err := r.with(ctx, s.crew, func(ctx context.Context, c *crew) error {
			all := []jobs.Batch{{ID: "one", Weight: 1}, {ID: "two", Weight: 2}, {ID: "five", Weight: 5}}
			for _, b := range all {
				if err := c.submit(ctx, b, 400*b.Weight+200); err != nil {
					return err
				}
			}
			process.Pause(ctx, 3*time.Second)
			from, got, sum := time.Now(), map[string]int{}, 0
			process.Pause(ctx, 12*time.Second)
			for _, b := range all {
				ends, err := c.ends(ctx, b.ID)
				if err != nil {
					return err
				}
				for _, at := range ends {
					if at.After(from) {
						got[b.ID]++
						sum++
					}
				}
			}
			part := func(id string) float64 { return 100 * float64(got[id]) / float64(max(sum, 1)) }
			r.print("%-38s %4d %4d %4d  %.1f %% : %.1f %% : %.1f %%", s.what, got["one"], got["two"], got["five"], part("one"), part("two"), part("five"))
			return nil
		})
		if err != nil {
			return fmt.Errorf("%s: %w", s.what, err)
		}
	}
	return nil
}

// deadline shows a batch that meets its deadline since it has told of it.
func deadline(ctx context.Context, r *rig) error {
	r.print("\nDEADLINE IN 25 s, NEEDS 3/4 OF THE SLOTS     IN TIME   LAST AFTER")
	for _, told := range []bool{true, false} {
		name := map[bool]string{true: "told", false: "untold"}[told]
		err := r.with(ctx, crew{name: name, workers: 2, slots: 8, latency: 500 * time.Millisecond}, func(ctx context.Context, c *crew) error {
			if err := c.submit(ctx, jobs.Batch{ID: "large"}, 2000); err != nil {
				return err
			}
			process.Pause(ctx, time.Second)
			began, n := time.Now(), 25*16*2*3/4
			hasty := jobs.Batch{ID: "hasty"}
			if told {
				hasty.Deadline = began.Add(25 * time.Second)
			}
			if err := c.submit(ctx, hasty, n); err != nil {
				return err
			}
			if err := c.over(ctx, "hasty"); err != nil {
				return err
			}
			ends, err := c.ends(ctx, "hasty")
			if err != nil {
				return err
			}
			in := 0
			for _, at := range ends {
				if at.Before(began.Add(25 * time.Second)) {
					in++
				}
			}
			r.print("%-38s %4d of %4d   %6.1fs", "the deadline is "+name, in, n, ends[len(ends)-1].Sub(began).Seconds())
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
