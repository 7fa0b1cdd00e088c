package pool_test

import (
	"context"
	"fmt"
	"time"

	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/pool"
)

// A pool lends jobs from a source to its slots, keeps their leases, and
// carries out what the handler decides.
func Example() {
	taking, stop := context.WithCancel(context.Background())
	p := &pool.Pool{
		Source: &source{jobs: []jobs.Delivery{lease{}}},
		Slots:  2,
		Handle: func(_ context.Context, d jobs.Delivery, _ *pool.Slot) jobs.Decision {
			return jobs.Decision{Outcome: jobs.NewOutcome(d.Job(), d.Batch(), jobs.Answered, nil)}
		},
		OnOutcome: func(o *jobs.Outcome) {
			fmt.Println(o.CustomID, o.Status)
			stop()
		},
	}
	p.Run(taking, context.Background())
	fmt.Println(p.Stats().Answered)
	// Output:
	// lease.txt answered
	// 1
}

// source stands in for a queue.Source.
type source struct{ jobs []jobs.Delivery }

func (s *source) Next(ctx context.Context, free int) ([]jobs.Delivery, error) {
	n := min(free, len(s.jobs))
	if n == 0 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	lent := s.jobs[:n]
	s.jobs = s.jobs[n:]
	return lent, nil
}

func (s *source) Rest(string, time.Duration) {}

// lease is the delivery of one job.
type lease struct{ jobs.Delivery }

func (lease) Job() *jobs.Job {
	return &jobs.Job{ID: jobs.NewID("contracts", "lease.txt"), Batch: "contracts", CustomID: "lease.txt", Run: 1}
}
func (lease) Batch() *jobs.Batch                        { return &jobs.Batch{ID: "contracts", Tenant: "acme"} }
func (lease) Fresh() bool                               { return true }
func (lease) Done(context.Context, *jobs.Outcome) error { return nil }
func (lease) Expires() time.Time                        { return time.Now().Add(time.Minute) }
