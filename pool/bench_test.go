package pool

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// BenchmarkJob measures what the pool itself costs per job at 5,000 slots: the
// handler takes 10 ms and nothing is settled for real.
func BenchmarkJob(b *testing.B) {
	src := &endlessSource{left: int64(b.N)}
	taking, stop := context.WithCancel(context.Background())
	var left atomic.Int64
	left.Store(int64(b.N))
	p := &Pool{Source: src, Slots: 5000, Handle: func(ctx context.Context, d jobs.Delivery, _ *Slot) jobs.Decision {
		sleep(ctx, 10*time.Millisecond)
		if left.Add(-1) == 0 {
			stop()
		}
		return jobs.Decision{Outcome: &jobs.Outcome{Status: jobs.Answered, Run: 1, Attempts: []jobs.Attempt{{Run: 1, Model: "small"}}}}
	}}
	b.ReportAllocs()
	b.ResetTimer()
	p.Run(taking, context.Background())
	if got := p.Stats().Answered; got != int64(b.N) {
		b.Fatalf("%d of %d jobs were answered", got, b.N)
	}
}

// endlessSource lends jobs that cost nothing to make.
type endlessSource struct{ left int64 }

func (s *endlessSource) Next(ctx context.Context, free int) ([]jobs.Delivery, error) {
	n := min(int64(free), s.left)
	if s.left -= n; n == 0 {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	lent := make([]jobs.Delivery, n)
	for i := range lent {
		lent[i] = &cheap
	}
	return lent, nil
}

func (*endlessSource) Rest(string, time.Duration) {}

// cheap is a delivery that does nothing.
type cheapDelivery struct{}

var (
	cheap      cheapDelivery
	cheapJob   = jobs.Job{ID: "j", Batch: "b", Run: 1}
	cheapBatch = jobs.Batch{ID: "b"}
)

func (*cheapDelivery) Job() *jobs.Job                                             { return &cheapJob }
func (*cheapDelivery) Batch() *jobs.Batch                                         { return &cheapBatch }
func (*cheapDelivery) Fresh() bool                                                { return true }
func (*cheapDelivery) Settled(context.Context) (bool, error)                      { return false, nil }
func (*cheapDelivery) Done(context.Context, *jobs.Outcome) error                  { return nil }
func (*cheapDelivery) Bury(context.Context, *jobs.Outcome) error                  { return nil }
func (*cheapDelivery) Defer(context.Context, time.Duration, []jobs.Attempt) error { return nil }
func (*cheapDelivery) Return(context.Context, []jobs.Attempt) error               { return nil }
func (*cheapDelivery) Tried(context.Context) (map[string]jobs.Tries, error)       { return nil, nil }
func (*cheapDelivery) Resume(context.Context) (*jobs.Checkpoint, error)           { return nil, nil }
func (*cheapDelivery) Checkpoint(context.Context, *jobs.Checkpoint) error         { return nil }
func (*cheapDelivery) Release(context.Context) error                              { return nil }
func (*cheapDelivery) Extend(context.Context) error                               { return nil }
func (*cheapDelivery) Expires() time.Time                                         { return time.Now().Add(30 * time.Second) }
