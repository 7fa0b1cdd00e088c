package queue

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/drover-batch/drover/jobs"
)

// spends returns the book by call, failing if one is in it twice.
func (w *world) spends() map[string]jobs.USD {
	w.Helper()
	all := map[string]jobs.USD{}
	for s, err := range w.q.Book(w.ctx) {
		w.must(err)
		if _, twice := all[s.Call]; twice {
			w.Errorf("call %s is in the book twice", s.Call)
		}
		all[s.Call] = s.Cost
	}
	return all
}

func TestPresumedCallIsReplacedByWhatItTurnsOutToBe(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 3)
		s := w.source("w1")
		for i, d := range w.take(s, 3) {
			call := []string{"answered", "wasted", "dead"}[i]
			lapsed := jobs.Spend{Call: call, Job: d.Job().ID, Batch: "b", Model: "small", At: time.Now(), Cost: 100}
			for i := range 2 {
				news, err := w.q.Presume(w.ctx, lapsed, "its worker died")
				w.must(err)
				if news != (i == 0) {
					t.Errorf("told for the time %d: %v", i+1, news)
				}
			}
			switch call {
			case "answered": // its worker was only frozen
				w.must(d.Done(w.ctx, answer(d, "w1", paid(call, 1, 30))))
				news, err := w.q.Presume(w.ctx, jobs.Spend{Call: "answered", Job: d.Job().ID, Batch: "b", Cost: 100}, "too late")
				w.must(err)
				if news {
					t.Error("what is in an outcome is told")
				}
			case "wasted":
				w.must(d.Defer(w.ctx, time.Hour, []jobs.Attempt{paid(call, 1, 40)}))
			}
		}
		book := w.spends()
		if book["answered"] != 30 || book["wasted"] != 40 || book["dead"] != 100 || len(book) != 3 {
			t.Errorf("the book is %v", book)
		}
		var lapsed, all []string
		for waste, err := range w.q.Wastes(w.ctx, "b") {
			w.must(err)
			all = append(all, waste.Attempts[0].Call)
			if waste.Lapsed {
				lapsed = append(lapsed, waste.Attempts[0].Call)
			}
		}
		if !slices.Equal(lapsed, []string{"dead"}) || !slices.Equal(all, []string{"wasted", "dead"}) {
			t.Errorf("wasted are %v, of which presumed %v", all, lapsed)
		}
	})
}

// The ledger counts a call in the turn of a window in which it was admitted: one
// that ended after midnight was of the next day once the sums were rebuilt.
func TestBookHasACallOfTheDayInWhichItBegan(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 2)
		s := w.source("w1")
		began := time.Now()
		call := paid("over midnight", 1, 3)
		call.Started, call.Took = began, time.Minute
		many := make([]jobs.Attempt, 500) // do not fit a header
		for i := range many {
			many[i] = call
			many[i].Call = fmt.Sprintf("%s, of many %d", call.Call, i)
		}
		for i, d := range w.take(s, 2) {
			w.must(d.Done(w.ctx, answer(d, "w1", [][]jobs.Attempt{{call}, many}[i]...)))
		}
		n := 0
		for spend, err := range w.q.Book(w.ctx) {
			w.must(err)
			if n++; spend.At.Sub(began).Abs() > time.Microsecond || spend.Took != time.Minute {
				t.Fatalf("%s: %v after it began, it took %v", spend.Call, spend.At.Sub(began), spend.Took)
			}
		}
		if n != 501 {
			t.Errorf("%d calls", n)
		}
	})
}

func TestReplayThatEndsWhileTheBookIsReadIsNotCountedTwice(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 2*readGroup)
		s := w.source("w1")
		for i, d := range w.take(s, 2*readGroup) {
			if i == 0 {
				w.must(d.Bury(w.ctx, death(d, jobs.Timeout, paid("of the dead run", 1, 3))))
				continue
			}
			w.must(d.Done(w.ctx, answer(d, "w1", paid(d.Job().CustomID, 1, 1))))
		}
		seen := map[string]int{}
		for spend, err := range w.q.Book(w.ctx) {
			w.must(err)
			if seen[spend.Call]++; len(seen) > 1 {
				continue
			}
			for l, err := range w.q.Dead(w.ctx, DeadFilter{}) {
				w.must(err)
				w.must(w.q.Replay(w.ctx, l))
			}
			d := w.take(s, 1)[0]
			w.must(d.Done(w.ctx, answer(d, "w1", paid("of the replay", 2, 4))))
			synctest.Wait() // the reader's consumer hears of it when it comes to it
		}
		if seen["of the dead run"] != 1 || seen["of the replay"] != 1 || len(seen) != 2*readGroup+1 {
			t.Errorf("%d and %d times, of %d calls", seen["of the dead run"], seen["of the replay"], len(seen))
		}
	})
}

func TestNeighboursOfAPoisonedJobAreNotBlamedForWaiting(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 6)
		s := w.source("w1")
		for range suspicious {
			w.take(s, 6)
			time.Sleep(31 * time.Second) // the worker dies with all of them
		}
		for range 6 {
			got, err := s.Next(w.ctx, 6) // one alone, while the others are handed back again and again
			w.must(err)
			w.must(got[0].Done(w.ctx, answer(got[0], "w1")))
			time.Sleep(time.Second)
		}
		for id, o := range w.outcomes("b") {
			if o.Status != jobs.Answered {
				t.Errorf("%s is %s: %s", id, o.Status, o.Reason)
			}
		}
	})
}

func TestAnswersAreStoredBeforeJobsAreLentAgain(t *testing.T) {
	inBrokenWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 2)
		holder := w.source("w1")
		d := w.take(holder, 1)[0]
		nc := w.connect(nil)
		defer nc.Close()
		idle := w.sourceOf(w.open(nc), "w2")
		w.take(idle, 1)
		w.stop()
		stored := make(chan error)
		go func() {
			time.Sleep(42 * time.Second) // it is the last to try again
			stored <- d.Done(w.ctx, answer(d, "w1"))
		}()
		go func() {
			time.Sleep(40 * time.Second) // both leases end
			w.start()
		}()
		for n := 0; n < 2; {
			got, err := idle.Next(w.ctx, 2)
			w.must(err)
			for _, d := range got {
				n++
				if settled, err := d.Settled(w.ctx); err != nil || settled != (d.Job().CustomID == "0") {
					t.Errorf("%s was lent before its answer was stored: %v, %v", d.Job().CustomID, settled, err)
				}
			}
		}
		if err := <-stored; !errors.Is(err, jobs.ErrLeaseLost) {
			t.Error(err)
		}
	})
}

func TestPauseFoundWithAnEarlierBudgetIsForgotten(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		b := batch("b")
		b.Budget = 100
		w.enqueue(b, 2)
		d := w.take(w.source("w1"), 1)[0]
		w.must(w.q.SetBudget(w.ctx, "b", 500))
		w.must(w.q.PauseLent(w.ctx, d.Batch(), &jobs.Shortage{Reason: "the money is spent", Needs: map[string]jobs.USD{"small": 5}}))
		if p := w.progress("b"); p.State != jobs.Live {
			t.Errorf("paused for a budget that was raised: %+v", p)
		}
		now, err := w.q.Batch(w.ctx, "b")
		w.must(err)
		w.must(w.q.PauseLent(w.ctx, now, &jobs.Shortage{Reason: "the money is spent", Needs: map[string]jobs.USD{"small": 5}}))
		if p := w.progress("b"); p.State != jobs.Paused || p.Reason != "the money is spent" {
			t.Errorf("not paused: %+v", p)
		}
	})
}

// Running out of money used to overwrite why somebody had paused a batch.
func TestWhatSomebodyPausedIsNotPausedForMoney(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 2)
		w.enqueue(batch("poor"), 2)
		short := w.q.Shortages()
		lacking := func(want ...string) {
			t.Helper()
			list, err := short.List(w.ctx)
			w.must(err)
			var got []string
			for _, b := range list {
				got = append(got, b.ID)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%q lack money, not %q", got, want)
			}
		}
		b, err := w.q.Batch(w.ctx, "b")
		w.must(err)
		w.must(w.q.Pause(w.ctx, "b", "lunch"))
		needs := &jobs.Shortage{Reason: "the money is spent", Needs: map[string]jobs.USD{"small": 5}}
		w.must(w.q.PauseLent(w.ctx, b, needs))
		if p := w.progress("b"); p.Reason != "lunch" {
			t.Errorf("paused because %s", p.Reason)
		}
		poor, err := w.q.Batch(w.ctx, "poor")
		w.must(err)
		w.must(w.q.PauseLent(w.ctx, poor, needs))
		lacking("poor")
		if ended, err := w.q.GoOn(w.ctx, "b"); ended || err != nil {
			t.Errorf("money ended somebody's pause: %v, %v", ended, err)
		}
		if ended, err := w.q.GoOn(w.ctx, "poor"); !ended || err != nil || w.progress("poor").State != jobs.Live {
			t.Errorf("money ended no pause: %v, %v", ended, err)
		}
		lacking()
		w.must(w.q.PauseLent(w.ctx, poor, needs))
		w.must(w.q.Pause(w.ctx, "poor", needs.Reason)) // somebody means it
		lacking()
	})
}

// A broker that took more than two seconds to answer made poison of the jobs
// that it was asked for: each time they came too late and were handed back.
func TestJobsThatComeTooLateAreNoPoison(t *testing.T) {
	inBrokenWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1)
		l := &line{}
		nc := w.connect(l)
		defer nc.Close()
		w.q = w.open(nc)
		s := w.source("w1")
		time.Sleep(settleFirst)
		w.must(s.refresh(w.ctx))
		b := s.known["b"]
		w.must(s.bind(w.ctx, b))
		for range 3 * w.q.cfg.MaxDeliveries {
			l.late.Store(int64(pullTimeout + time.Second))
			if got, err := s.fetch(w.ctx, []*live{b}, 1, 0); len(got) > 0 || err != nil {
				t.Fatalf("%d came in time, %v", len(got), err)
			}
			time.Sleep(time.Second)
			l.late.Store(0)
			time.Sleep(time.Second)
			s.pulls.sweep(w.ctx)
		}
		d := w.take(s, 1)[0].(*delivery)
		if deaths, err := w.q.deaths(w.ctx, d); deaths != 0 || err != nil || int(d.deliveries) <= w.q.cfg.MaxDeliveries {
			t.Errorf("of %d deliveries %d are taken for deaths, %v", d.deliveries, deaths, err)
		}
	})
}

// A job that had come too late was handed back whenever the worker next had a
// slot free. If its lease had ended by then, it was taken from whoever had it.
func TestJobThatCameTooLateIsLeftToWhoHasItNow(t *testing.T) {
	inBrokenWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1)
		l := &line{}
		nc := w.connect(l)
		defer nc.Close()
		s, next, third := w.sourceOf(w.open(nc), "w1"), w.source("w2"), w.source("w3")
		w.must(s.refresh(w.ctx))
		b := s.known["b"]
		w.must(s.bind(w.ctx, b))
		l.late.Store(int64(pullTimeout + time.Second))
		for range 2 { // the first may be read already
			if got, err := s.fetch(w.ctx, []*live{b}, 1, 0); len(got) > 0 || err != nil {
				t.Fatalf("%d came in time, %v", len(got), err)
			}
		}
		time.Sleep(35 * time.Second)
		d := w.take(next, 1)[0]
		l.late.Store(0)
		s.pulls.sweep(w.ctx)
		w.nothing(third, 20*time.Second)
		w.must(d.Done(w.ctx, answer(d, "w2")))
	})
}

// A document that could not be fetched for a while made its job poison.
func TestJobWhoseDocumentIsOutOfReachIsNoPoison(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		wr, err := w.q.Enqueue(w.ctx, batch("b"))
		w.must(err)
		w.must(wr.Add(w.ctx, "large", jobs.Document{Body: make([]byte, 2<<20)}))
		w.must(wr.Close(w.ctx))
		all, err := w.q.docs.List(w.ctx)
		w.must(err)
		body, err := w.q.docs.GetBytes(w.ctx, all[0].Name)
		w.must(err)
		w.must(w.q.js.DeleteObjectStore(w.ctx, w.q.stream("DOCS")))
		s := w.source("w1")
		w.nothing(s, time.Minute)
		_, err = w.q.js.CreateObjectStore(w.ctx, jetstream.ObjectStoreConfig{Bucket: w.q.stream("DOCS")})
		w.must(err)
		_, err = w.q.docs.PutBytes(w.ctx, all[0].Name, body)
		w.must(err)
		d := w.take(s, 1)[0].(*delivery)
		if deaths, err := w.q.deaths(w.ctx, d); deaths != 0 || err != nil || int(d.deliveries) <= w.q.cfg.MaxDeliveries {
			t.Errorf("of %d deliveries %d are taken for deaths, %v", d.deliveries, deaths, err)
		}
	})
}

// TestCallOfABatchThatIsGoneIsBookedAllTheSame has its worker die before the
// batch was removed, or NATS put back to before it was submitted.
func TestCallOfABatchThatIsGoneIsBookedAllTheSame(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		lapsed := jobs.Spend{Call: "dead", Job: jobs.NewID("gone", "0"), Batch: "gone", Tenant: "acme", Model: "small", At: time.Now(), Cost: 100}
		for range 2 {
			_, err := w.q.Presume(w.ctx, lapsed, "its worker died")
			w.must(err)
		}
		for s, err := range w.q.Book(w.ctx) {
			w.must(err)
			if s.Tenant != "acme" || s.Cost != 100 {
				t.Errorf("the book has %+v", s)
			}
		}
		if book := w.spends(); len(book) != 1 {
			t.Errorf("the book is %v", book)
		}
	})
}

func TestCallOfADeadWorkerIsPresumedThoughAnotherHasAnswered(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		_, d := w.lendOne(batch("b"))
		w.must(d.Done(w.ctx, answer(d, "w1", paid("answered", 1, 30))))
		news, err := w.q.Presume(w.ctx, jobs.Spend{Call: "dead", Job: d.Job().ID, Batch: "b", Model: "small", At: time.Now(), Cost: 100}, "its worker died")
		w.must(err)
		if !news {
			t.Error("nobody is told")
		}
		w.wantBook(map[string]jobs.USD{"answered": 30, "dead": 100})
	})
}
