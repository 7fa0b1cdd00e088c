package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drover-batch/drover/jobs"
)

func TestBatchThatIsFinishedIsNeitherPausedNorCancelledBeforeAWorkerNotices(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1)
		d := w.take(w.source("w1"), 1)[0]
		w.must(d.Done(w.ctx, answer(d, "w1")))
		time.Sleep(time.Second) // for the broker to take the acknowledgement in
		if err := w.q.Pause(w.ctx, "b", "lunch"); err == nil || !strings.Contains(err.Error(), "finished") {
			t.Errorf("pausing it: %v", err)
		}
		if _, err := w.q.Cancel(w.ctx, "b"); err == nil || !strings.Contains(err.Error(), "finished") {
			t.Errorf("cancelling it: %v", err)
		}
		if p := w.progress("b"); p.State != jobs.Finished {
			t.Errorf("it is %s", p.State)
		}
	})
}

func TestSmallBatchDoesNotWaitBehindALargeOne(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("large"), 3000)
		s := w.source("w1")
		for _, d := range w.take(s, 100) {
			w.must(d.Done(w.ctx, answer(d, "w1")))
		}
		w.enqueue(batch("small"), 10)
		time.Sleep(time.Second)
		small := 0
		for range 10 {
			for _, d := range w.take(s, 4) {
				if d.Job().Batch == "small" {
					small++
				}
				w.must(d.Done(w.ctx, answer(d, "w1")))
			}
		}
		if small != 10 {
			t.Errorf("%d of 10 small jobs among the next 40", small)
		}
	})
}

func TestSlotsAreSharedByTenantThenWeight(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		heavy, light, globex := batch("heavy"), batch("light"), batch("globex")
		heavy.Weight, globex.Tenant = 3, "globex"
		for _, b := range []*jobs.Batch{heavy, light, globex} {
			w.enqueue(b, 400)
		}
		s := w.source("w1")
		got := map[string]int{}
		for _, free := range []int{1, 1, 1, 5, 8, 64, 80} {
			for _, d := range w.take(s, free) {
				got[d.Job().Batch]++
			}
		}
		want := map[string]int{"heavy": 60, "light": 20, "globex": 80}
		for b, n := range want {
			if got[b] < n-3 || got[b] > n+3 {
				t.Errorf("%s got %d slots, expected about %d", b, got[b], n)
			}
		}
	})
}

func TestOnlySoManyBatchesAreLive(t *testing.T) {
	inWorld(t, Config{MaxLiveBatches: 2}, func(w *world) {
		for i := range 4 {
			w.enqueue(batch(fmt.Sprint("b", i)), 2)
			time.Sleep(time.Second)
		}
		s := w.source("w1")
		first := w.take(s, 4)
		for _, d := range first {
			if d.Job().Batch > "b1" {
				t.Errorf("batch %s did not wait its turn", d.Job().Batch)
			}
		}
		w.nothing(s, 5*time.Second)
		for _, d := range first {
			w.must(d.Done(w.ctx, answer(d, "w1")))
		}
		for _, d := range w.take(s, 4) {
			if d.Job().Batch < "b2" {
				t.Errorf("batch %s came again", d.Job().Batch)
			}
		}
	})
}

func TestPausedBatchIsNotLentUntilResumed(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 10)
		s := w.source("w1")
		w.take(s, 1)
		w.must(w.q.Pause(w.ctx, "b", "budget spent"))
		time.Sleep(refreshEvery)
		w.nothing(s, 20*time.Second)
		if p := w.progress("b"); p.State != jobs.Paused || p.Reason != "budget spent" || p.Over() {
			t.Errorf("progress %+v", p)
		}
		w.must(w.q.SetBudget(w.ctx, "b", 5*jobs.Dollar))
		w.must(w.q.Resume(w.ctx, "b"))
		d := w.take(s, 1)[0]
		if d.Batch().Budget != 5*jobs.Dollar || d.Batch().State != jobs.Live {
			t.Errorf("batch %+v", d.Batch())
		}
	})
}

func TestRestingBatchIsSkipped(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("a"), 10)
		w.enqueue(batch("b"), 10)
		s := w.source("w1")
		w.take(s, 2)
		s.Rest("a", time.Minute)
		for _, d := range w.take(s, 5) {
			if d.Job().Batch == "a" {
				t.Error("a resting batch was dealt")
			}
		}
		s.Rest("b", 30*time.Second)
		began := time.Now()
		for _, d := range w.take(s, 2) {
			if d.Job().Batch == "a" {
				t.Error("a resting batch was dealt")
			}
		}
		if took := time.Since(began); took < 29*time.Second || took > 31*time.Second {
			t.Errorf("woke after %s", took)
		}
	})
}

func TestBatchIsDroppedWhileItIsPaused(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 2)
		s := w.source("w1")
		w.take(s, 1)
		w.must(w.q.Pause(w.ctx, "b", "lunch"))
		time.Sleep(time.Second)
		if !s.Dropped("b") {
			t.Error("nothing is known of the pause")
		}
		s.news.mark("b", jobs.Paused, false) // and the end of it is missed
		w.must(w.q.Resume(w.ctx, "b"))
		w.take(s, 1)
		if s.Dropped("b") {
			t.Error("it counts as paused when it goes on")
		}
	})
}

func TestRestOfABatchThatIsOverIsForgotten(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		s := w.source("w1")
		s.Rest("b", time.Second)
		w.nothing(s, 10*time.Second)
		if len(s.rests) != 0 {
			t.Errorf("still known: %v", s.rests)
		}
	})
}

func TestCancelledJobsEndWithoutACall(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1300)
		s := w.source("w1")
		lent := w.take(s, 3)
		w.must(lent[2].Defer(w.ctx, time.Minute, nil))
		n, err := w.q.Cancel(w.ctx, "b")
		w.must(err)
		if n != 1297 {
			t.Errorf("settled %d jobs", n)
		}
		w.must(lent[0].Done(w.ctx, answer(lent[0], "w1"))) // this one wins
		if err := w.q.Settle(w.ctx, lent[1].Job(), answer(lent[1], "w1")); err != nil {
			t.Errorf("a lent job may be answered: %v", err)
		}
		w.nothing(s, 2*time.Minute) // the deferred one is settled meanwhile
		status := map[jobs.Status]int{}
		for _, o := range w.outcomes("b") {
			status[o.Status]++
		}
		if status[jobs.Answered] != 2 || status[jobs.WasCancelled] != 1298 {
			t.Errorf("outcomes %v", status)
		}
		if p := w.progress("b"); p.State != jobs.Cancelled || !p.Over() || p.Done() != 1300 {
			t.Errorf("progress %+v", p)
		}
		if _, err := w.q.Enqueue(w.ctx, batch("b")); !errors.Is(err, ErrCancelled) {
			t.Errorf("enqueueing again: %v", err)
		}
	})
}

// Jobs that wait for an hour, as for a quota of the day, kept a cancelled batch
// from being over as long.
func TestCancelledBatchWaitedForJobsThatWereDeferred(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 20)
		s := w.source("w1")
		for _, d := range w.take(s, 20) {
			w.must(d.Defer(w.ctx, time.Hour, nil))
		}
		_, err := w.q.Cancel(w.ctx, "b")
		w.must(err)
		w.nothing(s, 5*time.Second)
		if p := w.progress("b"); !p.Over() || p.Done() != 20 {
			t.Errorf("after five seconds %+v", p)
		}
	})
}

func TestCancelStopsEnqueueing(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		wr, err := w.q.Enqueue(w.ctx, batch("b"))
		w.must(err)
		w.add(wr, 0, 600)
		n, err := w.q.Cancel(w.ctx, "b")
		w.must(err)
		if err := wr.Close(w.ctx); !errors.Is(err, ErrCancelled) {
			t.Errorf("closing: %v", err)
		}
		if p := w.progress("b"); n != 499 || p.Total != 499 || p.Done() != 499 {
			t.Errorf("settled %d, progress %+v", n, p)
		}
	})
}

func TestJobsPastTheDeadlineExpire(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		b := batch("b")
		b.Deadline = time.Now().Add(time.Hour)
		w.enqueue(b, 700)
		s := w.source("w1")
		w.must(w.take(s, 1)[0].Return(w.ctx, nil))
		time.Sleep(2 * time.Hour)
		w.nothing(s, 10*time.Second)
		all := w.outcomes("b")
		if o := all["5"]; len(all) != 700 || o.Status != jobs.Expired || o.Kind != jobs.PastDeadline {
			t.Errorf("%d outcomes, one is %+v", len(all), o)
		}
	})
}

func TestPausedBatchWhoseJobsHaveAllEndedIsFinished(t *testing.T) {
	tests := map[string]func(w *world, s *Source){
		"its deadline goes by": func(w *world, _ *Source) {
			w.must(w.q.PauseLent(w.ctx, &jobs.Batch{ID: "b"}, &jobs.Shortage{Reason: "no money", Needs: map[string]jobs.USD{"small": 7}}))
			time.Sleep(2 * time.Hour)
		},
		"its last jobs were lent": func(w *world, s *Source) {
			lent := w.take(s, 10)
			w.must(w.q.Pause(w.ctx, "b", "lunch"))
			for _, d := range lent {
				w.must(d.Done(w.ctx, answer(d, "w1")))
			}
		},
	}
	for name, end := range tests {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Config{}, func(w *world) {
				b := batch("b")
				b.Deadline = time.Now().Add(time.Hour)
				w.enqueue(b, 10)
				s := w.source("w1")
				end(w, s)
				w.nothing(s, 10*time.Second)
				if p := w.progress("b"); p.State != jobs.Finished || !p.Over() || p.Done() != 10 || p.Reason != "" {
					t.Errorf("progress %+v", p)
				}
				b, err := w.q.Batch(w.ctx, "b")
				w.must(err)
				if short, err := w.q.Shortages().List(w.ctx); err != nil || len(short) > 0 || b.State != jobs.Finished {
					t.Errorf("%d batches lack money, it is %s: %v", len(short), b.State, err)
				}
			})
		})
	}
}

func TestRestartedServerLosesNothing(t *testing.T) {
	inBrokenWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 300)
		s := w.source("w1")
		for _, d := range w.take(s, 50) {
			w.must(d.Done(w.ctx, answer(d, "w1")))
		}
		lent := w.take(s, 50)
		w.flush()
		w.stop()
		stored := make(chan error, len(lent))
		for _, d := range lent {
			go func() { stored <- d.Done(w.ctx, answer(d, "w1")) }()
		}
		ctx, cancel := context.WithTimeout(w.ctx, 10*time.Second)
		if got, err := s.Next(ctx, 5); len(got) > 0 || err == nil {
			t.Errorf("lent %d without a server", len(got))
		}
		cancel()
		w.start()
		for range lent {
			if err := <-stored; err != nil {
				t.Errorf("storing over the restart: %v", err)
			}
		}
		for _, d := range w.take(s, 200) {
			if d.Fresh() {
				t.Fatal("a delivery after a restart calls itself fresh")
			}
			if settled, err := d.Settled(w.ctx); err != nil || settled {
				t.Errorf("settled %v, %v", settled, err)
			}
			w.must(d.Done(w.ctx, answer(d, "w1")))
		}
		w.onlySettled(s, time.Minute)
		if got := len(w.outcomes("b")); got != 300 {
			t.Errorf("%d outcomes", got)
		}
		if p := w.progress("b"); p.State != jobs.Finished {
			t.Errorf("progress %+v", p)
		}
	})
}

func TestJobLentByAServerThatDiedIsLookedUp(t *testing.T) {
	inBrokenWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1)
		d := w.take(w.source("w1"), 1)[0]
		if !d.Fresh() {
			t.Error("the first delivery is not fresh")
		}
		w.stop()
		w.start()
		time.Sleep(10 * time.Second) // until the connection is made again
		if d.Fresh() {
			t.Error("it calls itself fresh though the new server may have lent it again")
		}
	})
}

func TestLostConsumerMakesJobsBeLookedUp(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 2)
		s := w.source("w1")
		if !w.take(s, 1)[0].Fresh() {
			t.Error("the first delivery is not fresh")
		}
		w.must(w.q.js.DeleteConsumer(w.ctx, w.q.stream("JOBS"), "b"))
		for _, d := range w.take(w.source("w2"), 2) {
			if d.Fresh() {
				t.Error("a delivery by a second consumer calls itself fresh")
			}
		}
	})
}

// A restarted broker lent a job again to the worker that was just storing its
// answer, and the job was paid for twice.
func TestJobAtWorkIsNotLentToTheSameWorkerAgain(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		s, d := w.lendOne(batch("b"))
		w.must(w.q.js.DeleteConsumer(w.ctx, w.q.stream("JOBS"), "b"))
		w.nothing(s, 10*time.Second)
		w.must(d.Extend(w.ctx))
		w.nothing(s, 25*time.Second)
		w.must(d.Done(w.ctx, answer(d, "w1")))
		w.onlySettled(s, time.Minute)
		if p := w.progress("b"); p.State != jobs.Finished {
			t.Errorf("progress %+v", p)
		}
	})
}

// A restarted broker had forgotten that a lease was renewed, lent the job to
// another worker and went on confirming the renewals of the first, which asked
// the model again after the other's outcome: its delivery was a fresh one.
func TestDeliveryThatTheBrokerMayHaveForgottenIsNotFresh(t *testing.T) {
	inBrokenWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 2)
		s := w.source("w1")
		d := w.take(s, 1)[0]
		w.stop()
		time.Sleep(time.Second) // until the client has noticed
		if !d.Fresh() {
			t.Error("it is not fresh while nobody can lend it to anybody")
		}
		w.start()
		time.Sleep(5 * time.Second)
		if d.Fresh() {
			t.Error("it is fresh to a broker that was restarted")
		}
	})
}

func TestDeliveryIsFreshForItsFirstLeaseOnly(t *testing.T) {
	inWorld(t, Config{Lease: 10 * time.Second}, func(w *world) {
		w.enqueue(batch("b"), 1)
		d := w.take(w.source("w1"), 1)[0]
		time.Sleep(8 * time.Second)
		w.must(d.Extend(w.ctx))
		if !d.Fresh() {
			t.Error("it is not fresh in its first lease")
		}
		time.Sleep(4 * time.Second)
		if d.Fresh() {
			t.Error("it is fresh beyond its first lease, of which the broker may have lost count")
		}
	})
}

func TestUnreadableJobEndsAsADeadLetter(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1)
		_, err := w.q.js.PublishMsg(w.ctx, newMsg(w.q.names.job("b", "0"), []byte("rubbish")))
		w.must(err)
		s := w.source("w1")
		w.finishAll(s, "b")
		if p := w.progress("b"); p.Dead != 1 {
			t.Errorf("progress %+v", p)
		}
	})
}

func TestBacklogCountsJobsOnly(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("a"), 600)
		w.enqueue(batch("b"), 7)
		if n, err := w.q.Backlog(w.ctx); err != nil || n != 607 {
			t.Errorf("backlog %d, %v", n, err)
		}
		all, err := w.q.Batches(w.ctx)
		w.must(err)
		if len(all) != 2 || all[0].ID != "a" {
			t.Errorf("batches %v", all)
		}
	})
}

// A slot's time is what is shared: a batch whose jobs take ten times as long
// gets a tenth of the jobs.
func TestSlotsAreSharedByTheTimeThatJobsTake(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("slow"), 400)
		w.enqueue(batch("quick"), 2000)
		s := w.source("w1")
		got := map[string]int{}
		ended := make(chan struct{}, 16)
		ctx, cancel := context.WithTimeout(w.ctx, 10*time.Minute)
		defer cancel()
		free, running := 16, 0
		for ctx.Err() == nil {
			list, err := s.Next(ctx, free)
			if err != nil {
				break
			}
			free -= len(list)
			for _, d := range list {
				running++
				go func() {
					took := time.Second
					if d.Job().Batch == "slow" {
						took = 10 * time.Second
					}
					time.Sleep(took)
					_ = d.Done(w.ctx, answer(d, "w1"))
					ended <- struct{}{}
				}()
				got[d.Job().Batch]++
			}
			for more := true; more; {
				if free == 0 {
					<-ended
					free, running = free+1, running-1
				}
				select {
				case <-ended:
					free, running = free+1, running-1
				default:
					more = false
				}
			}
			if got["quick"] >= 1500 {
				break
			}
		}
		for range running {
			<-ended
		}
		if ratio := float64(got["quick"]) / float64(got["slow"]); ratio < 8.5 || ratio > 11 {
			t.Errorf("%v jobs, a ratio of %.1f; want 10", got, ratio)
		}
	})
}

// What jobs took used to be charged when they ended, so that a batch of long ones
// had all slots before any did.
func TestLongJobsAreChargedForWhileTheyLast(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("slow"), 100)
		w.enqueue(batch("quick"), 2000)
		s := w.source("w1")
		got := map[string]int{}
		var lent []jobs.Delivery
		for range 50 {
			list, err := s.Next(w.ctx, 16-len(lent))
			w.must(err)
			lent = append(lent, list...)
			for _, d := range list {
				got[d.Job().Batch]++
			}
			time.Sleep(time.Second)
			lent = slices.DeleteFunc(lent, func(d jobs.Delivery) bool {
				quick := d.Job().Batch == "quick"
				if quick {
					w.must(d.Done(w.ctx, answer(d, "w1")))
				}
				return quick
			})
		}
		if got["slow"] > 12 || got["quick"] < 150 { // in the first second nobody knows
			t.Errorf("%v jobs were lent; want some of 16 slots to be left to the quick ones", got)
		}
	})
}

func TestSlotTimeIsOwedUntilItIsTakenAndLateBeyond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &Source{began: time.Now(), lent: map[*delivery]struct{}{}, byJob: map[jobs.ID]*delivery{}, freed: make(chan struct{}, 1)}
		l := &live{charge: 5}
		lend := func(id jobs.ID) *delivery {
			d := &delivery{l: l, job: &jobs.Job{ID: id}}
			s.lendOut(d)
			s.begins(d)
			return d
		}
		want := func(when string, owing, late, cost float64) {
			t.Helper()
			s.account()
			if now := s.clock(); l.owing(now) != owing || l.late(now) != late || l.cost() != cost {
				t.Errorf("%s %v are owed, it is late by %v, and a job takes %v; want %v, %v and %v", when, l.owing(now), l.late(now), l.cost(), owing, late, cost)
			}
		}
		time.Sleep(10 * time.Second)
		first, second := lend("1"), lend("2")
		time.Sleep(2 * time.Second)
		want("after 2 of 5 s", 6, 0, usually)
		time.Sleep(5 * time.Second)
		want("after 7 s", 0, 4, usually)
		s.ended(first)
		s.ended(second)
		want("once they have ended", 0, 0, 7)
		third := lend("3")
		time.Sleep(15 * time.Second)
		s.ended(third)
		want("after one of 15 s", 0, 0, 8)
	})
}

func TestNewcomersAreLentWhenNoSlotIsFree(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("large"), 100)
		s := w.source("w1")
		w.take(s, 8)
		if got, err := s.Newcomers(w.ctx, 4); err != nil || len(got) > 0 {
			t.Errorf("lent %d of a batch that has its slots, %v", len(got), err)
		}
		w.enqueue(batch("small"), 3)
		time.Sleep(soonest)
		got, err := s.Newcomers(w.ctx, 4)
		w.must(err)
		if len(got) != 3 || got[0].Job().Batch != "small" {
			t.Errorf("lent %d newcomers", len(got))
		}
		w.enqueue(batch("third"), 10)
		time.Sleep(soonest)
		if got, err := s.Newcomers(w.ctx, 10); err != nil || len(got) < 5 || got[0].Job().Batch != "third" {
			t.Errorf("lent %d of another, %v", len(got), err)
		}
	})
}

func TestNewBatchIsNoticedAtOnce(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		s := w.source("w1")
		w.nothing(s, 3*time.Second)
		var enqueued sync.WaitGroup
		enqueued.Go(func() { w.enqueue(batch("b"), 1) })
		defer enqueued.Wait()
		began := time.Now()
		w.take(s, 1)
		if took := time.Since(began); took > 100*time.Millisecond {
			t.Errorf("noticed after %v", took)
		}
	})
}

func TestIdleSourceAsksLittle(t *testing.T) {
	inWorld(t, Config{Lease: 10 * time.Minute}, func(w *world) {
		for i := range 20 {
			w.enqueue(batch(fmt.Sprint("b", i)), 1)
		}
		s := w.source("w1")
		lent := w.take(s, 20)
		w.nothing(s, 10*time.Second)
		before := w.nc.Stats().OutMsgs
		w.nothing(s, time.Minute)
		if n := (w.nc.Stats().OutMsgs - before) / 60; n > 150 {
			t.Errorf("%d messages a second while all jobs of 20 batches are lent", n)
		}
		for _, d := range lent {
			w.must(d.Done(w.ctx, answer(d, "w1")))
		}
		w.nothing(s, 10*time.Second)
		before = w.nc.Stats().OutMsgs
		w.nothing(s, time.Minute)
		if n := w.nc.Stats().OutMsgs - before; n > 60 {
			t.Errorf("%d messages in a minute without work", n)
		}
	})
}

func TestBatchThatWouldMissItsDeadlineComesFirst(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("large"), 1000)
		other := batch("other")
		other.Tenant = "globex"
		w.enqueue(other, 1000)
		hasty := batch("hasty")
		hasty.Deadline = time.Now().Add(60 * time.Second)
		w.enqueue(hasty, 130) // a quarter of the slots would do 120
		s := w.source("w1")
		got := map[string]int{}
		for range 59 {
			lent := w.take(s, 8)
			time.Sleep(time.Second)
			for _, d := range lent {
				if d.Batch().Urgent && d.Job().Batch != "hasty" {
					t.Error("a batch without a deadline is urgent")
				}
				got[d.Job().Batch]++
				w.must(d.Done(w.ctx, answer(d, "w1")))
			}
		}
		if got["hasty"] != 130 || got["other"] < 225 || got["other"] > 245 || got["large"] < 85 {
			t.Errorf("got %v; the deadline needs 130, and the other tenant has half of 472", got)
		}
	})
}

func TestBatchThatIsOverIsNotDealtThoughTheListCouldNotBeMadeAnew(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("a"), 3)
		w.enqueue(batch("b"), 3)
		s := w.source("w1")
		w.take(s, 2)
		m, err := w.q.manifest(w.ctx, "a")
		w.must(err)
		over := *m
		over.Over, over.revision = true, m.revision+1
		s.note(&over) // the broker is gone before the list is made anew
		ready, _ := s.ready()
		for _, l := range s.deal(ready, 4) {
			if l.Name != "b" {
				t.Errorf("batch %s is dealt from", l.Name)
			}
		}
	})
}
