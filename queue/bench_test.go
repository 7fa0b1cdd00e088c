package queue

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"github.com/drover-batch/drover/jobs"
)

// Each with every write fsynced, as it should be run, and without.
func benchmark(b *testing.B, f func(b *testing.B, w *world)) {
	for _, sync := range []bool{true, false} {
		b.Run(fmt.Sprintf("fsync=%v", sync), func(b *testing.B) {
			w := &world{TB: b, ctx: b.Context(), dir: b.TempDir(), sync: sync}
			w.begin()
			defer w.nc.Close()
			defer w.stop()
			f(b, w)
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
		})
	}
}

func (w *world) fill(b *testing.B, n int) {
	wr, err := w.q.Enqueue(w.ctx, batch("b"))
	w.must(err)
	body := bytes.Repeat([]byte("x"), 2<<10)
	for i := range n {
		w.must(wr.Add(w.ctx, fmt.Sprint(i), jobs.Document{Body: body}))
	}
	w.must(wr.Close(w.ctx))
}

func BenchmarkEnqueue(b *testing.B) {
	benchmark(b, func(b *testing.B, w *world) {
		b.ResetTimer()
		w.fill(b, b.N)
	})
}

// BenchmarkFetchOutcomeAck lends, stores an outcome of 1 KiB and lets go.
func BenchmarkFetchOutcomeAck(b *testing.B) {
	for _, slots := range []int{64, 256} {
		b.Run(fmt.Sprintf("slots=%d", slots), func(b *testing.B) {
			benchmark(b, func(b *testing.B, w *world) {
				w.fill(b, b.N)
				s := w.source("w1")
				text := string(bytes.Repeat([]byte("y"), 1<<10))
				free := make(chan struct{}, slots)
				for range slots {
					free <- struct{}{}
				}
				var wg sync.WaitGroup
				b.ResetTimer()
				for left := b.N; left > 0; {
					n := 0
					for <-free; ; <-free { // as the pool does: a few at a time
						if n++; n == left || len(free) == 0 && n >= slots/8 {
							break
						}
					}
					got, err := s.Next(w.ctx, n)
					w.must(err)
					left -= len(got)
					for range n - len(got) {
						free <- struct{}{}
					}
					for _, d := range got {
						wg.Go(func() {
							o := answer(d, "w1")
							o.Answer = text
							if err := d.Done(w.ctx, o); err != nil {
								b.Error(err)
							}
							free <- struct{}{}
						})
					}
				}
				wg.Wait()
				w.flush()
			})
		})
	}
}

// BenchmarkReplay runs dead letters again, as many side by side as enqueue dead
// replay does.
func BenchmarkReplay(b *testing.B) {
	benchmark(b, func(b *testing.B, w *world) {
		w.fill(b, b.N)
		w.buryAll(w.source("w1"), b.N)
		b.ResetTimer()
		w.replayAll(w.q)
	})
}

// replayAll replays all letters there are, many side by side.
func (w *world) replayAll(q *Queue) {
	free := make(chan struct{}, 64)
	var wg sync.WaitGroup
	for l, err := range q.Dead(w.ctx, DeadFilter{}) {
		w.must(err)
		free <- struct{}{}
		wg.Go(func() {
			if err := q.Replay(w.ctx, l); err != nil {
				w.Error(err)
			}
			<-free
		})
	}
	wg.Wait()
}

// buryAll lends n jobs and has all of them die.
func (w *world) buryAll(s *Source, n int) {
	var wg sync.WaitGroup
	for left := n; left > 0; {
		got, err := s.Next(w.ctx, min(left, 256))
		w.must(err)
		left -= len(got)
		for _, d := range got {
			wg.Go(func() {
				if err := d.Done(w.ctx, death(d, jobs.InvalidRequest)); err != nil {
					w.Error(err)
				}
			})
		}
		wg.Wait()
	}
}

// BenchmarkRemoveWaste removes batches with records of waste, of a name that
// has been removed before or not.
func BenchmarkRemoveWaste(b *testing.B) {
	for _, before := range []bool{false, true} {
		b.Run(fmt.Sprintf("again=%v", before), func(b *testing.B) {
			benchmark(b, func(b *testing.B, w *world) {
				if before {
					w.squander("b", 1)
					w.must(w.q.Remove(w.ctx, "b"))
				}
				w.squander("b", b.N)
				b.ResetTimer()
				w.must(w.q.Remove(w.ctx, "b"))
			})
		})
	}
}

// squander makes a batch that is over and has so many records of waste.
func (w *world) squander(id string, n int) {
	w.enqueue(batch(id), 1)
	d := w.take(w.source("w1"), 1)[0]
	w.must(d.Done(w.ctx, answer(d, "w1")))
	free := make(chan struct{}, 256)
	var wg sync.WaitGroup
	for i := range n {
		free <- struct{}{}
		wg.Go(func() {
			job := jobs.NewID(id, fmt.Sprint(i))
			if err := w.q.Waste(w.ctx, id, job, "lost", []jobs.Attempt{paid(string(job), 1, 5)}); err != nil {
				w.Error(err)
			}
			<-free
		})
	}
	wg.Wait()
}
