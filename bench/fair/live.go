package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/drover-batch/drover/bench/process"
	"github.com/drover-batch/drover/jobs"
)

// live shows what many live batches cost: the same jobs in 1, 100 and 1,000.
func live(ctx context.Context, r *rig) error {
	const total = 10_000
	r.print("\n%d JOBS IN …   JOBS/S   CPU A JOB: WORKER   NATS  REDIS", total)
	for _, batches := range []int{1, 100, 1000} {
		c := crew{name: fmt.Sprint("live", batches), workers: 1, slots: 64}
		err := r.with(ctx, c, func(ctx context.Context, c *crew) error {
			ids := make([]string, batches)
			c.working[0].Freeze()
			for i := range ids {
				ids[i] = fmt.Sprint("b", i)
				if err := c.submit(ctx, jobs.Batch{ID: ids[i], Tenant: fmt.Sprint("t", i%10)}, total/batches); err != nil {
					return err
				}
			}
			procs := append([]*process.Child{c.working[0]}, r.servers...)
			before := cpu(procs)
			began := time.Now()
			c.working[0].Thaw()
			for left := int64(1); left > 0; process.Pause(ctx, 100*time.Millisecond) {
				if ctx.Err() != nil {
					return errors.New("interrupted")
				}
				var err error
				if left, err = c.queue.Queue.Backlog(ctx); err != nil {
					return err
				}
			}
			took := time.Since(began)
			each := func(i int) time.Duration { return (cpu(procs)[i] - before[i]) / total }
			r.print("%4d batches %14.0f %18.0fµs %5.0fµs %5.0fµs", batches, total/took.Seconds(), micros(each(0)), micros(each(1)), micros(each(2)))
			idle := cpu(procs)
			process.Pause(ctx, 5*time.Second)
			r.say("afterwards idle: %.1f %% of a processor in the worker", 100*(cpu(procs)[0]-idle[0]).Seconds()/5)
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// cpu is the processor time that each has used, in user and kernel; 0 where the
// system does not tell as Linux does.
func cpu(of []*process.Child) []time.Duration {
	const tick = 10 * time.Millisecond
	all := make([]time.Duration, len(of))
	for i, c := range of {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.PID()))
		if err != nil {
			continue
		}
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
		if len(fields) < 13 {
			continue
		}
		user, _ := strconv.ParseInt(fields[11], 10, 64)
		system, _ := strconv.ParseInt(fields[12], 10, 64)
		all[i] = time.Duration(user+system) * tick
	}
	return all
}
