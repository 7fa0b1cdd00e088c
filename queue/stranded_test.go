package queue

import (
	"testing"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// A consumer that will not deliver what the stream still has: here because the
// broker was told to give up after one delivery, after a full disk because an
// acknowledgement could not remove the job.
func TestStrandedJobsAreRescued(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 3)
		s := w.source("w1")
		for _, d := range w.take(s, 3)[:2] {
			w.must(d.Done(w.ctx, answer(d, "w1")))
		}
		cfg := w.q.consumerConfig("b")
		cfg.MaxDeliver = 1
		_, err := w.q.js.UpdateConsumer(w.ctx, w.q.stream("JOBS"), cfg)
		w.must(err)
		time.Sleep(time.Minute) // the last one's worker is dead
		if p := w.progress("b"); p.Queued != 1 || p.Running != 0 {
			t.Fatalf("it is not stranded: %+v", p)
		}
		d := w.take(s, 1)[0]
		if d.Fresh() {
			t.Error("it is not looked up before it is paid for")
		}
		w.must(d.Done(w.ctx, answer(d, "w1")))
		if p := w.progress("b"); p.State != jobs.Finished {
			t.Errorf("progress %+v", p)
		}
	})
}

func TestDeferredAndLentJobsAreNotStranded(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 2)
		s, other := w.source("w1"), w.source("w2")
		all := w.take(s, 2)
		w.must(all[0].Defer(w.ctx, 10*time.Minute, nil))
		for range 10 {
			w.must(all[1].Extend(w.ctx))
			w.nothing(other, 20*time.Second)
		}
		w.must(all[1].Done(w.ctx, answer(all[1], "w1")))
		w.nothing(other, 5*time.Minute)
	})
}
