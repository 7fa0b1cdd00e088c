package queue

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drover-batch/drover/jobs"
)

func TestEveryJobGetsItsOutcome(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1203)
		if p := w.progress("b"); p.Total != 1203 || p.Queued != 1203 || p.State != jobs.Live {
			t.Fatalf("after enqueueing: %+v", p)
		}
		s := w.source("w1")
		w.finishAll(s, "b")
		if got := len(w.outcomes("b")); got != 1203 {
			t.Errorf("%d outcomes", got)
		}
		w.nothing(s, time.Second)
		if p := w.progress("b"); p.State != jobs.Finished || !p.Over() || p.Done() != 1203 {
			t.Errorf("at the end: %+v", p)
		}
	})
}

func TestEnqueueingGoesOnWhereItStopped(t *testing.T) {
	for _, stop := range []int{0, 1, 498, 499, 500, 998, 1100} {
		t.Run(fmt.Sprint(stop), func(t *testing.T) {
			inWorld(t, Config{}, func(w *world) {
				wr, err := w.q.Enqueue(w.ctx, batch("b"))
				w.must(err)
				w.add(wr, 0, stop) // and the process dies
				stored := stop / 499 * 499

				wr, err = w.q.Enqueue(w.ctx, batch("b"))
				w.must(err)
				at := wr.Position()
				if at.Count != int64(stored) {
					t.Fatalf("goes on at %d, expected %d", at.Count, stored)
				}
				if want := walk(stored); at != want {
					t.Errorf("position %+v, expected %+v", at, want)
				}
				if wr.Batch().Resumed != (stored > 0) {
					t.Errorf("resumed is %v", wr.Batch().Resumed)
				}
				w.add(wr, stored, 1200)
				w.must(wr.Close(w.ctx))
				if p := w.progress("b"); p.Total != 1200 || p.Queued != 1200 {
					t.Errorf("progress %+v", p)
				}
				known, err := wr.Known(w.ctx)
				w.must(err)
				if len(known) != 1200 {
					t.Errorf("%d different jobs", len(known))
				}
			})
		})
	}
}

func walk(n int) (p Position) {
	for i := range n {
		p = p.Next(fmt.Sprint(i), "")
	}
	return p
}

func TestSealedBatchTakesNothingMore(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 10)
		wr, err := w.q.Enqueue(w.ctx, batch("b"))
		w.must(err)
		if !wr.Sealed() || wr.Position() != walk(10) {
			t.Errorf("sealed %v at %+v", wr.Sealed(), wr.Position())
		}
		if err := wr.Add(w.ctx, "new", jobs.Document{}); !errors.Is(err, ErrSealed) {
			t.Errorf("adding: %v", err)
		}
		w.must(wr.Close(w.ctx))
		if p := w.progress("b"); p.Total != 10 || p.Queued != 10 {
			t.Errorf("progress %+v", p)
		}
	})
}

func TestSecondEnqueuerFencesTheFirst(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		first, err := w.q.Enqueue(w.ctx, batch("b"))
		w.must(err)
		second, err := w.q.Enqueue(w.ctx, batch("b"))
		w.must(err)
		w.add(second, 0, 499)
		for i := 0; err == nil; i++ {
			err = first.Add(w.ctx, fmt.Sprint(i), jobs.Document{})
		}
		if !errors.Is(err, ErrEnqueuedElsewhere) {
			t.Fatalf("the first one: %v", err)
		}
		w.add(second, 499, 600)
		w.must(second.Close(w.ctx))
		if p := w.progress("b"); p.Queued != 600 {
			t.Errorf("progress %+v", p)
		}
	})
}

func TestGroupOnItsWayFromADeadEnqueuerRefusesNobody(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		dead, err := w.q.Enqueue(w.ctx, batch("b"))
		w.must(err)
		w.add(dead, 0, 10)
		again, err := w.q.Enqueue(w.ctx, batch("b"))
		w.must(err)
		if err := dead.Close(w.ctx); !errors.Is(err, ErrEnqueuedElsewhere) { // as if it arrived only now
			t.Errorf("the group of before: %v", err)
		}
		w.add(again, int(again.Position().Count), 20)
		w.must(again.Close(w.ctx))
		if p := w.progress("b"); p.Queued != 20 || p.Total != 20 {
			t.Errorf("progress %+v", p)
		}
	})
}

func TestLostReplyOfAGroupIsFoundOut(t *testing.T) {
	inBrokenWorld(t, Config{}, func(w *world) {
		l := &line{}
		nc := w.connect(l)
		defer nc.Close()
		wr, err := w.open(nc).Enqueue(w.ctx, batch("b"))
		w.must(err)
		w.add(wr, 0, 498)
		l.deaf.Store(true)
		go func() {
			time.Sleep(5 * time.Second)
			l.cut()
		}()
		w.add(wr, 498, 600)
		w.must(wr.Close(w.ctx))
		if p := w.progress("b"); p.Queued != 600 || p.Total != 600 {
			t.Errorf("progress %+v", p)
		}
	})
}

func TestChangedInputIsNoticedAndOnlyNewJobsAdded(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		wr, err := w.q.Enqueue(w.ctx, batch("b"))
		w.must(err)
		w.add(wr, 0, 499)
		s := w.source("w1")
		for _, d := range w.take(s, 200) { // some are answered already
			w.must(d.Done(w.ctx, answer(d, "w1")))
		}
		wr, err = w.q.Enqueue(w.ctx, batch("b"))
		w.must(err)
		var p Position
		for i := 100; p.Count < wr.Position().Count; i++ {
			p = p.Next(fmt.Sprint(i), "")
		}
		if p == wr.Position() {
			t.Fatal("the changed input looks the same")
		}
		known, err := wr.Known(w.ctx)
		w.must(err)
		if len(known) != 499 {
			t.Fatalf("%d jobs known", len(known))
		}
		for i := 100; i < 700; i++ {
			if _, ok := known[jobs.NewID("b", fmt.Sprint(i))]; !ok {
				w.add(wr, i, i+1)
			}
		}
		w.must(wr.Close(w.ctx))
		if p := w.progress("b"); p.Total != 700 || p.Queued != 500 {
			t.Errorf("progress %+v", p)
		}
	})
}

func TestFullQueueMakesEnqueueingWait(t *testing.T) {
	inWorld(t, Config{MaxBytes: 1 << 20}, func(w *world) {
		wr, err := w.q.Enqueue(w.ctx, batch("b"))
		w.must(err)
		var told atomic.Int64
		wr.Full = func(time.Duration) { told.Add(1) }
		done := make(chan error, 1)
		go func() {
			var err error
			for i := 0; i < 3000 && err == nil; i++ {
				err = wr.Add(w.ctx, fmt.Sprint(i), jobs.Document{Body: bytes.Repeat([]byte("x"), 1000)})
			}
			done <- errors.Join(err, wr.Close(w.ctx))
		}()
		time.Sleep(time.Minute)
		s := w.source("w1")
		if told.Load() == 0 || w.progress("b").Queued > 1000 {
			t.Errorf("told %d times, progress %+v", told.Load(), w.progress("b"))
		}
		for range 30 {
			for _, d := range w.take(s, 100) {
				w.must(d.Done(w.ctx, answer(d, "w1")))
			}
		}
		w.must(<-done)
		if p := w.progress("b"); p.Total != 3000 || p.Queued != 0 {
			t.Errorf("progress %+v", p)
		}
	})
}

func TestBigDocumentsTravelThroughTheObjectStore(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		wr, err := w.q.Enqueue(w.ctx, batch("b"))
		w.must(err)
		big := bytes.Repeat([]byte("0123456789abcdef"), 3<<16) // 3 MiB
		w.must(wr.Add(w.ctx, "big", jobs.Document{Body: big}))
		if err := wr.Add(w.ctx, "huge", jobs.Document{Body: make([]byte, MaxBody+1)}); !errors.Is(err, ErrTooLarge) {
			t.Errorf("a huge document: %v", err)
		}
		w.must(wr.Close(w.ctx))
		s := w.source("w1")
		d := w.take(s, 1)[0]
		if !bytes.Equal(d.Job().Document.Body, big) {
			t.Fatal("the document came out differently")
		}
		o := death(d, jobs.Overflow)
		o.Reason = string(big[:2<<20])
		w.must(d.Bury(w.ctx, o))
		l := w.letter("b", d.Job().ID)
		if !bytes.Equal(l.Job.Document.Body, big) || l.Outcome.Reason != o.Reason {
			t.Error("the dead letter came out differently")
		}
		w.must(w.q.Replay(w.ctx, l))
		again := w.take(s, 1)[0]
		if again.Job().Run != 2 || !bytes.Equal(again.Job().Document.Body, big) {
			t.Error("the replayed document came out differently")
		}
	})
}

func TestMissingStreamsAreAClearError(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		_, err := Open(w.ctx, w.nc, Config{Prefix: "other"})
		if err == nil || !bytes.Contains([]byte(err.Error()), []byte("enqueue setup lays them out")) {
			t.Errorf("opening: %v", err)
		}
		w.must(Create(w.ctx, w.nc, Config{MaxBytes: 1 << 30})) // again, and with a change
		if _, err := w.q.Batch(w.ctx, "nope"); !errors.Is(err, ErrNoBatch) {
			t.Errorf("unknown batch: %v", err)
		}
		ctx, cancel := context.WithCancel(w.ctx)
		cancel()
		if _, err := w.q.Enqueue(ctx, batch("b")); err == nil {
			t.Error("a cancelled context is not heeded")
		}
	})
}

// What handed jobs in is named in a header beside them: builds that do not know
// it read the same job.
func TestTraceparentTravelsBesideTheJob(t *testing.T) {
	const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	inWorld(t, Config{}, func(w *world) {
		began := time.Now()
		wr, err := w.q.Enqueue(w.ctx, batch("b"))
		w.must(err)
		wr.Traceparent = traceparent
		w.add(wr, 0, 2)
		w.must(wr.Close(w.ctx))
		time.Sleep(time.Hour)
		s := w.source("w1")
		lent := w.take(s, 2)
		for _, d := range lent {
			if j := d.Job(); j.Traceparent != traceparent || j.Queued.Before(began) || j.Queued.Sub(began) > time.Minute {
				t.Errorf("%q, queued %v after the beginning", j.Traceparent, j.Queued.Sub(began))
			}
		}
		w.must(lent[1].Done(w.ctx, answer(lent[1], "w1")))
		j := *lent[0].Job()
		with, err := j.MarshalBinary()
		w.must(err)
		j.Traceparent, j.Queued = "", time.Time{}
		without, err := j.MarshalBinary()
		w.must(err)
		if !bytes.Equal(with, without) {
			t.Errorf("it is part of the job: %s", with)
		}

		w.must(lent[0].Bury(w.ctx, death(lent[0], jobs.Timeout)))
		w.must(w.q.Replay(w.ctx, w.letter("b", j.ID)))
		if d := w.take(s, 1)[0]; d.Job().Traceparent != "" || d.Job().Queued.Sub(began) < time.Hour {
			t.Errorf("the replay was handed in by %q, %v after the beginning", d.Job().Traceparent, d.Job().Queued.Sub(began))
		}
	})
}
