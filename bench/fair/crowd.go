package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/drover-batch/drover/bench/process"
	"github.com/drover-batch/drover/jobs"
)

const (
	crowded = 1000 // batches that are there first
	each    = 40   // jobs of each
)

// crowd shows what becomes of everybody when a thousand batches are live.
func crowd(ctx context.Context, r *rig) error {
	r.print("\nBEHIND %d BATCHES OF ONE TENANT, %d JOBS EACH", crowded, each)
	busy := crew{name: "crowd", workers: 2, slots: 32, latency: 500 * time.Millisecond}
	return r.with(ctx, busy, func(ctx context.Context, c *crew) error {
		alone, err := c.tenTake(ctx, jobs.Batch{ID: "alone"})
		if err != nil {
			return err
		}
		r.print("%-38s %6.2fs", "ten jobs alone", alone.Seconds())
		if err := c.gather(ctx); err != nil {
			return err
		}
		process.Pause(ctx, 20*time.Second)
		r.print("%-38s %s", "ten jobs of another tenant", c.soon(ctx, jobs.Batch{ID: "globex", Tenant: "globex"}))
		r.print("%-38s %s", "ten of the same, due in 15 s", c.soon(ctx, jobs.Batch{ID: "hasty", Deadline: time.Now().Add(15 * time.Second)}))
		process.Pause(ctx, 20*time.Second)
		least, middle, most, err := c.spread(ctx)
		if err != nil {
			return err
		}
		r.print("%-38s %d, %d, %d", "jobs answered of a batch: least, mid, most", least, middle, most)
		return nil
	})
}

// soon is how long ten jobs take, if it is less than a minute.
func (c *crew) soon(ctx context.Context, b jobs.Batch) string {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	took, err := c.tenTake(ctx, b)
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%6.2fs", took.Seconds())
}

// gather submits the crowd's batches and lets the workers begin with all of
// them at once.
func (c *crew) gather(ctx context.Context) error {
	for _, w := range c.working {
		w.Freeze()
	}
	for i := range crowded {
		if err := c.submit(ctx, jobs.Batch{ID: fmt.Sprint("b", i)}, each); err != nil {
			return err
		}
	}
	for _, w := range c.working {
		w.Thaw()
	}
	return nil
}

// spread tells how many jobs of the crowd's batches have been answered.
func (c *crew) spread(ctx context.Context) (least, middle, most int64, err error) {
	got := make([]int64, crowded)
	for i := range got {
		p, err := c.queue.Queue.Progress(ctx, fmt.Sprint("b", i))
		if err != nil {
			return 0, 0, 0, err
		}
		got[i] = p.Done()
	}
	slices.Sort(got)
	return got[0], got[len(got)/2], got[len(got)-1], nil
}
