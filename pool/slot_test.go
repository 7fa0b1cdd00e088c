package pool

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// resting has every job use its slot for ten seconds, rest for a minute, and use
// it for another ten.
func resting(ctx context.Context, d jobs.Delivery, slot *Slot) jobs.Decision {
	sleep(ctx, 10*time.Second)
	slot.Rest()
	sleep(ctx, time.Minute)
	slot.Take(ctx)
	sleep(ctx, 10*time.Second)
	return jobs.Decision{Outcome: jobs.NewOutcome(d.Job(), d.Batch(), jobs.Answered, nil)}
}

func TestRestingJobsMakeRoomForOthers(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.pool.Handle = resting
		w.pool.Slots = 8
		w.crowd(24, func(int) int { return 1 }) // for eight slots, of which four may rest
		w.start()
		w.sleep(5 * time.Second)
		w.equal("lent", w.onLoan(), 8)
		w.sleep(10 * time.Second) // at 10s four rest, and four keep their slots
		w.equal("lent", w.onLoan(), 12)
		w.equal("slots taken", w.pool.Stats().Running, 8)
		w.sleep(57 * time.Second) // at 70s those four want to go on, and four others are through
		w.equal("slots taken", w.pool.Stats().Running, 8)
		w.sleep(10 * time.Minute)
		w.equal("answered", w.pool.Stats().Answered, int64(24))
		w.equal("slots taken", w.pool.Stats().Running, 0)
		w.mu.Lock()
		w.equal("most at once", w.most, 12)
		w.mu.Unlock()
	})
}

func TestJobThatRestedGoesBeforeThoseThatNeverHadASlot(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(4)
		first, other := s.take(false), s.take(false)
		for range 2 {
			s.take(false)
		}
		if !first.restNow() {
			t.Fatal("it may not rest")
		}
		taker, newcomer := s.take(false), s.take(false)
		awake := false
		go func() { awake = first.wake(t.Context()) }()
		synctest.Wait()
		taker.leave()
		synctest.Wait()
		if !awake {
			t.Error("it has no slot")
		}
		other.leave()
		if <-newcomer.come; newcomer.left {
			t.Error("the newcomer has none after that")
		}
	})
}

func TestJobThatRestedTakesUpASlotAgain(t *testing.T) {
	t.Parallel()
	s := newSlots(2)
	first := s.take(false)
	if !first.restNow() || s.wanted() != 2 {
		t.Errorf("%d jobs are wanted while it rests, of 2 slots", s.wanted())
	}
	if !first.wake(t.Context()) || s.wanted() != 1 {
		t.Errorf("%d jobs are wanted once it goes on, of 2 slots", s.wanted())
	}
}

// Where a worker waits a moment for more slots to become free, the one that is
// may be gone by then.
func TestJobsAreTakenStillOnceAFreeSlotWasTakenUpAgain(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.pool.Slots = 16
		w.pool.Handle = func(ctx context.Context, d jobs.Delivery, slot *Slot) jobs.Decision {
			sleep(ctx, time.Second)
			if d.Job().ID == "0" {
				slot.Rest()
				sleep(ctx, linger/2)
				slot.Take(ctx)
			}
			sleep(ctx, 10*time.Second)
			return jobs.Decision{Outcome: jobs.NewOutcome(d.Job(), d.Batch(), jobs.Answered, nil)}
		}
		w.crowd(16, func(int) int { return 1 })
		w.start()
		w.sleep(2 * time.Second)
		w.crowd(4, func(int) int { return 1 })
		w.sleep(time.Minute)
		w.equal("answered", w.pool.Stats().Answered, int64(20))
	})
}

func TestJobThatRestsEndsWithoutASlotWhenStopped(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		w.pool.Handle = resting
		w.pool.Slots = 4
		w.pool.Grace = time.Second
		all := w.crowd(5, func(int) int { return 1 })
		w.start()
		w.sleep(15 * time.Second)
		w.stop()
		<-w.ended
		for _, d := range all {
			w.equal("ended", d.ended(), "done")
		}
		w.equal("slots taken", w.pool.Stats().Running, 0)
	})
}
