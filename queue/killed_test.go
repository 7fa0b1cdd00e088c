package queue

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/drover-batch/drover/jobs"
)

// wide is a document that makes groups short.
var wide = bytes.Repeat([]byte("wide "), 2000)

func (w *world) addWide(m *mortal, wr *Writer, from, to int) error {
	for i := from; i < to; i++ {
		if err := wr.Add(m.ctx, fmt.Sprint(i), jobs.Document{Body: wide}); err != nil {
			return err
		}
	}
	return nil
}

func TestEnqueueingKilledAnywhereLeavesNoGapAndNoDouble(t *testing.T) {
	const all = 25
	enqueue := func(w *world, m *mortal, b string) error {
		m.q.groupBytes = 100_000 // nine jobs, and the cursor
		wr, err := m.q.Enqueue(m.ctx, batch(b))
		if err != nil {
			return err
		}
		if err := w.addWide(m, wr, int(wr.Position().Count), all); err != nil {
			return err
		}
		return wr.Close(m.ctx)
	}
	inWorld(t, Config{}, func(w *world) {
		killedAnywhere(w, func(m *mortal, b string) func() {
			return func() { _ = enqueue(w, m, b) }
		}, func(b string) {
			again := w.mortal()
			defer again.close()
			w.must(enqueue(w, again, b))
			known := map[jobs.ID]struct{}{}
			w.must(w.q.queued(w.ctx, b, known))
			if p := w.progress(b); p.Total != all || p.Queued != all || len(known) != all || p.State != jobs.Live {
				w.Errorf("%d different jobs: %+v", len(known), p)
			}
		})
	})
}

func TestGoingOnReadsNoMoreOfALargeBatch(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		var asked, heard [2]int
		for i, n := range []int{2 * 499, 10 * 499} {
			wr, err := w.q.Enqueue(w.ctx, batch(fmt.Sprint("b", n)))
			w.must(err)
			w.add(wr, 0, n) // and the process dies
			m := w.mortal()
			wr, err = m.q.Enqueue(m.ctx, batch(fmt.Sprint("b", n)))
			w.must(err)
			if wr.Position() != walk(n) {
				t.Errorf("goes on at %+v", wr.Position())
			}
			w.must(wr.Add(m.ctx, "one more", jobs.Document{}))
			w.must(wr.Close(m.ctx))
			asked[i], heard[i] = len(m.sent), m.heard
			m.close()
			if p := w.progress(fmt.Sprint("b", n)); p.Total != int64(n)+1 {
				t.Errorf("progress %+v", p)
			}
		}
		t.Logf("%d requests and %d bytes of replies for a thousand jobs, %d and %d for five thousand", asked[0], heard[0], asked[1], heard[1])
		if asked[0] != asked[1] || heard[1] > heard[0]+100 {
			t.Error("going on with a larger batch takes more")
		}
	})
}

func TestFinishedBatchEnqueuedAgainCostsAFewReads(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 2000)
		w.finishAll(w.source("w1"), "b")
		before := w.progress("b")
		m := w.mortal()
		defer m.close()
		wr, err := m.q.Enqueue(m.ctx, batch("b"))
		w.must(err)
		if !wr.Sealed() || wr.Position() != walk(2000) {
			t.Errorf("sealed %v at %+v", wr.Sealed(), wr.Position())
		}
		w.must(wr.Close(m.ctx))
		if len(m.sent) > 4 || m.heard > 10_000 {
			t.Errorf("it took the messages %v and %d bytes of replies", m.sent, m.heard)
		}
		if p := w.progress("b"); p != before {
			t.Errorf("it was %+v and is %+v", before, p)
		}
	})
}

func TestReplayKilledAnywhereAndRepeatedRunsOnce(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		s := w.source("w1")
		killedAnywhere(w, func(m *mortal, b string) func() {
			w.enqueue(batch(b), 1)
			d := w.take(s, 1)[0]
			w.must(d.Bury(w.ctx, death(d, jobs.Timeout, paid(b+"/1", 1, 3))))
			l, err := m.q.DeadLetter(w.ctx, b, d.Job().ID)
			w.must(err)
			return func() { _ = m.q.Replay(m.ctx, l) }
		}, func(b string) {
			id := jobs.NewID(b, "0")
			var both sync.WaitGroup
			for range 2 { // who see the letter, or do not any more
				m := w.mortal()
				both.Go(func() {
					defer m.close()
					if l, err := m.q.DeadLetter(m.ctx, b, id); err == nil {
						if err := m.q.Replay(m.ctx, l); err != nil {
							w.Errorf("replaying: %v", err)
						}
					} else if !errors.Is(err, ErrNoDeadLetter) {
						w.Error(err)
					}
				})
			}
			both.Wait()
			d := w.take(s, 1)[0]
			if d.Job().Run != 2 {
				w.Errorf("it is run %d", d.Job().Run)
			}
			w.endsOnce(s, d)
		})
	})
}

// endsOnce answers the second run of a batch's one job, after which there is no other.
func (w *world) endsOnce(s *Source, d jobs.Delivery) {
	w.Helper()
	b := d.Job().Batch
	w.must(d.Done(w.ctx, answer(d, "w1", paid(b+"/2", 2, 4))))
	w.nothing(s, 2*time.Second)
	o, err := w.q.Outcome(w.ctx, b, d.Job().ID)
	w.must(err)
	if p := w.progress(b); o.Run != 2 || o.Cost != 7 || p.Dead != 0 || !p.Over() {
		w.Errorf("outcome %+v, progress %+v", o, p)
	}
}

func TestWorkerKilledAnywhereWhileItEndsAJob(t *testing.T) {
	for how, end := range map[string]func(m *mortal, d jobs.Delivery) error{
		"answered": func(m *mortal, d jobs.Delivery) error {
			return d.Done(m.ctx, answer(d, "w1", paid(d.Job().Batch+"/1", 1, 3)))
		},
		"buried": func(m *mortal, d jobs.Delivery) error {
			return d.Bury(m.ctx, death(d, jobs.Refused, paid(d.Job().Batch+"/1", 1, 3)))
		},
		"deferred": func(m *mortal, d jobs.Delivery) error {
			return d.Defer(m.ctx, time.Second, []jobs.Attempt{paid(d.Job().Batch+"/1", 1, 3)})
		},
	} {
		t.Run(how, func(t *testing.T) {
			inWorld(t, Config{StorePatience: 20 * time.Second}, func(w *world) {
				s := w.source("w2")
				killedAnywhere(w, func(m *mortal, b string) func() {
					w.enqueue(batch(b), 1)
					own := w.sourceOf(m.q, "w1")
					d := w.take(own, 1)[0]
					return func() { _ = end(m, d) }
				}, func(b string) { w.goesOn(s, b, how) })
			})
		})
	}
}

// goesOn has another worker take a job that the first let go of, or not, and
// checks that it ends once, with everything paid for on record.
func (w *world) goesOn(s *Source, b, how string) {
	w.Helper()
	id := jobs.NewID(b, "0")
	for {
		p := w.progress(b)
		if p.Queued+p.Running == 0 {
			break
		}
		d := w.take(s, 1)[0]
		if d.Fresh() {
			w.Error("a second delivery calls itself fresh")
		}
		settled, err := d.Settled(w.ctx)
		w.must(err)
		if settled {
			w.must(d.Release(w.ctx))
		} else {
			w.must(d.Done(w.ctx, answer(d, "w2", paid(b+"/2", 1, 4))))
		}
	}
	o, err := w.q.Outcome(w.ctx, b, id)
	w.must(err)
	_, err = w.q.DeadLetter(w.ctx, b, id)
	if dead := o.Status == jobs.Dead; dead != (err == nil) {
		w.Errorf("it is %s and its letter is %v", o.Status, err)
	}
	if o.Worker == "w2" && how != "deferred" && len(w.wastedOn(b)) > 0 {
		w.Errorf("what was never stored is waste: %+v", w.wastedOn(b))
	}
	if p := w.progress(b); p.Done() != 1 || !p.Over() {
		w.Errorf("progress %+v", p)
	}
}

func (w *world) wastedOn(b string) (all []*Waste) {
	w.Helper()
	for x, err := range w.q.Wastes(w.ctx, b) {
		w.must(err)
		all = append(all, x)
	}
	return all
}

func TestGroupThatTheBrokerLostIsStoredAgain(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		for i := range 50 { // as many as it keeps open, of processes that were killed
			m := newMsg(w.q.names.job("other", "0"), nil)
			m.Header.Set(jetstreamext.BatchIDHeader, fmt.Sprint("begun-", i))
			m.Header.Set(jetstreamext.BatchSeqHeader, "1")
			w.must(w.nc.PublishMsg(m))
		}
		began := time.Now()
		w.enqueue(batch("b"), 100)
		if p := w.progress("b"); p.Total != 100 || p.Queued != 100 {
			t.Errorf("progress %+v", p)
		}
		if took := time.Since(began); took < 5*time.Second || took > 20*time.Second {
			t.Errorf("it took %v; the broker forgets the others after ten seconds", took)
		}
	})
}

func TestOutcomeIsStoredOnceTheBrokerHasALeaderAgain(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1)
		d := w.take(w.source("w1"), 1)[0]
		w.must(w.q.js.DeleteStream(w.ctx, w.q.stream("OUTCOMES")))
		refusals := 0
		leaderless, err := w.nc.Subscribe("drover.outcomes.*.*", func(m *nats.Msg) {
			refusals++
			_ = m.Respond([]byte(`{"error":{"code":503,"err_code":10008,"description":"JetStream system temporarily unavailable"}}`))
		})
		w.must(err)
		time.AfterFunc(5*time.Second, func() {
			_ = leaderless.Unsubscribe()
			if err := Create(w.ctx, w.nc, w.cfg); err != nil {
				t.Error(err)
			}
		})
		if err := d.Done(w.ctx, answer(d, "w1")); err != nil || refusals == 0 {
			t.Errorf("after %d refusals: %v", refusals, err)
		}
		if n := len(w.outcomes("b")); n != 1 {
			t.Errorf("%d outcomes", n)
		}
	})
}
