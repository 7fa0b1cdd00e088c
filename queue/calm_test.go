package queue

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/drover-batch/drover/jobs"
)

// Workers that waited for a model, all their jobs with them, used to ask the
// broker twice in half a second what jobs and batches there are.
func TestSourceLooksLessOftenWhereNothingMoves(t *testing.T) {
	inWorld(t, Config{Lease: 5 * time.Minute}, func(w *world) {
		var asked atomic.Int32
		_, err := w.nc.Subscribe("$JS.API.STREAM.INFO.>", func(*nats.Msg) { asked.Add(1) })
		w.must(err)
		w.enqueue(batch("b"), 3)
		busy, idle := w.source("w1"), w.source("w2")
		lent := w.take(busy, 3)
		w.nothing(idle, 3*time.Second)
		asked.Store(0)
		w.nothing(idle, 3*time.Minute)
		if n := asked.Load(); n < 85 || n > 95 {
			t.Errorf("it asked %d times in three minutes", n)
		}

		began := time.Now()
		w.must(lent[0].Return(w.ctx, nil))
		d := w.take(idle, 1)[0]
		if took := time.Since(began); took > refreshEvery {
			t.Errorf("a job that came back was lent after %v", took)
		}
		w.nothing(busy, 10*time.Second)
		for _, d := range append(lent[1:], d) {
			w.must(d.Done(w.ctx, answer(d, "w1")))
		}
		w.nothing(busy, 2*refreshEvery)
		if m, err := w.q.manifest(w.ctx, "b"); err != nil || m.State != jobs.Finished {
			t.Errorf("the batch whose last job ended here is not over: %+v, %v", m, err)
		}
	})
}

// Jobs of a batch that is being submitted may come late, and are no news.
func TestJobThatComesLateIsLentSoon(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		wr, err := w.q.Enqueue(w.ctx, batch("b"))
		w.must(err)
		s := w.source("w1")
		w.nothing(s, time.Minute+time.Millisecond)
		began := time.Now()
		w.add(wr, 0, 1)
		w.must(wr.flush(w.ctx))
		w.take(s, 1)
		if took := time.Since(began); took > refreshEvery {
			t.Errorf("it was lent after %v", took)
		}
	})
}
