package queue

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/drover-batch/drover/jobs"
)

// stumbling is a broker that cannot write down the first consumers it is to
// make, as a real one in the moment after it removed another of that name.
type stumbling struct {
	jetstream.JetStream
	left int
}

func (s *stumbling) CreateConsumer(ctx context.Context, stream string, c jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	if s.left--; s.left >= 0 {
		return nil, &jetstream.APIError{Code: 500, ErrorCode: 10012, Description: "rename o.dat.tmp o.dat: no such file or directory"}
	}
	return s.JetStream.CreateConsumer(ctx, stream, c)
}

func TestReclaimGoesOnWhereTheBrokerStumbles(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 3)
		s := w.source("killed")
		w.take(s, 2)
		w.must(s.Close())
		w.q.js = &stumbling{w.q.js, 2}
		w.must(w.q.Reclaim(w.ctx))
		w.finishAll(w.source("next"), "b")
		if n := len(w.outcomes("b")); n != 3 {
			t.Errorf("%d outcomes", n)
		}
	})
}

func TestReclaimedJobsAreLentAtOnce(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 3)
		s := w.source("killed")
		lent := w.take(s, 3)
		w.must(lent[0].Defer(w.ctx, time.Hour, nil))
		w.must(s.Close())
		w.must(w.q.Reclaim(w.ctx))

		began := time.Now()
		for _, d := range w.take(w.source("next"), 3) {
			if d.Fresh() && !d.Batch().Resumed {
				t.Error("a reclaimed job would not be looked up")
			}
			w.must(d.Done(w.ctx, answer(d, "next")))
		}
		if took := time.Since(began); took > time.Second {
			t.Errorf("took %s", took)
		}
	})
}

// Jobs that are done behind one that is not are lent again once all are taken
// back, and count as done all the same.
func TestReclaimedJobsThatAreDoneCountAsDone(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 9)
		s := w.source("stopped")
		lent := w.take(s, 6)
		w.must(lent[0].Defer(w.ctx, time.Hour, nil))
		for _, d := range lent[1:5] {
			w.must(d.Done(w.ctx, answer(d, "stopped")))
		}
		w.must(lent[5].Bury(w.ctx, death(lent[5], jobs.Timeout)))
		w.must(s.Close())
		w.flush()
		for range 2 {
			w.must(w.q.Reclaim(w.ctx))
			if p := w.progress("b"); p.Done() != 5 || p.Queued != 4 {
				t.Errorf("progress is %+v", p)
			}
		}
		for l, err := range w.q.Dead(w.ctx, DeadFilter{}) {
			w.must(err)
			w.must(w.q.Replay(w.ctx, l))
		}
		if p := w.progress("b"); p.Done() != 4 {
			t.Errorf("after a replay progress is %+v", p)
		}
		if n, err := w.q.Ended(w.ctx, "b"); err != nil || n != 4 {
			t.Errorf("after a replay %d have ended, %v", n, err)
		}
		next := w.source("next")
		for range 10 {
			d := w.take(next, 1)[0]
			if settled, err := d.Settled(w.ctx); err != nil || settled {
				w.must(errors.Join(err, d.Release(w.ctx)))
				continue
			}
			w.must(d.Done(w.ctx, answer(d, "next")))
		}
		if p := w.progress("b"); p.Done() != 9 || !p.Over() {
			t.Errorf("at the end progress is %+v", p)
		}
	})
}
