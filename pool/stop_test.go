package pool

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/drover-batch/drover/jobs"
)

func TestNeverLendsMoreThanFreeSlots(t *testing.T) {
	inWorld(t, func(ctx context.Context, d jobs.Delivery) jobs.Decision {
		return answers(time.Duration(len(d.Job().ID))*time.Second)(ctx, d)
	}, func(w *world) {
		var all []*delivery
		for i := range 50 {
			all = append(all, w.offer(&delivery{job: &jobs.Job{ID: jobs.ID(fmt.Sprintf("%0*d", 1+i%7, i)), Batch: "b", Run: 1}}))
		}
		w.start()
		w.sleep(time.Hour)
		if w.most > 6 { // half of the slots may go on while answers are let go of
			w.Errorf("%d jobs were lent at once to 4 slots", w.most)
		}
		for _, d := range all {
			w.equal(string(d.job.ID), d.ended(), "done")
		}
	})
}

func TestSlotsAreFilledTogether(t *testing.T) {
	inWorld(t, answers(time.Second), func(w *world) {
		w.pool.Slots = 64
		for i := range 640 {
			w.offer(&delivery{job: &jobs.Job{ID: jobs.ID(fmt.Sprint(i)), Batch: "b", Run: 1}})
		}
		w.start()
		w.sleep(time.Minute)
		w.equal("answered", w.pool.Stats().Answered, int64(640))
		if w.asked > 110 { // eight at a time would be 80, and one more to wait for
			w.Errorf("the source was asked %d times", w.asked)
		}
	})
}

func TestStopLetsRunningJobsFinish(t *testing.T) {
	inWorld(t, answers(20*time.Second), func(w *world) {
		d := w.offer(&delivery{})
		w.start()
		w.sleep(time.Second)
		w.stop()
		late := w.offer(&delivery{})
		<-w.ended
		w.equal("end", d.ended(), "done")
		w.equal("end of what came later", late.ended(), "")
	})
}

func TestStopHandsBackAfterTheGracePeriod(t *testing.T) {
	var cause error
	handle := func(ctx context.Context, _ jobs.Delivery) jobs.Decision {
		<-ctx.Done()
		cause = context.Cause(ctx)
		return jobs.Decision{Back: true, Attempts: []jobs.Attempt{{Run: 1, Cost: 5}}}
	}
	inWorld(t, handle, func(w *world) {
		w.pool.Grace = 10 * time.Second
		d := w.offer(&delivery{})
		w.start()
		w.sleep(time.Second)
		w.stop()
		stopped := time.Now()
		<-w.ended
		w.equal("end", d.ended(), "return")
		w.equal("attempts", len(d.tries), 1)
		w.equal("after", time.Since(stopped), 10*time.Second)
		w.equal("cause", cause, ErrStopping)
	})
}

func TestSecondStopIsImmediate(t *testing.T) {
	inWorld(t, answers(time.Hour), func(w *world) {
		d := w.offer(&delivery{})
		w.start()
		w.sleep(time.Second)
		w.stop()
		w.kill()
		stopped := time.Now()
		<-w.ended
		w.equal("end", d.ended(), "return")
		w.equal("after", time.Since(stopped), time.Duration(0))
	})
}

func TestJobsLentWhileStoppingGoBackUnhandled(t *testing.T) {
	inWorld(t, func(context.Context, jobs.Delivery) jobs.Decision {
		t.Error("a job was begun while stopping")
		return jobs.Decision{Back: true}
	}, func(w *world) {
		w.pool.Source = lateSource{w}
		d := w.offer(&delivery{})
		w.start()
		w.sleep(time.Second)
		w.stop()
		<-w.ended
		w.equal("end", d.ended(), "return")
	})
}

// lateSource lends what it has when the worker stops.
type lateSource struct{ *world }

func (l lateSource) Next(ctx context.Context, free int) ([]jobs.Delivery, error) {
	<-ctx.Done()
	return l.world.Next(context.WithoutCancel(ctx), free)
}

func TestSourceOutOfReachIsAskedEverMoreSlowly(t *testing.T) {
	inWorld(t, answers(0), func(w *world) {
		w.nextErr = errAway
		w.start()
		w.sleep(10 * time.Minute)
		if w.asked < 60 || w.asked > 100 {
			w.Errorf("asked %d times in ten minutes", w.asked)
		}
		w.mu.Lock()
		w.nextErr = nil
		w.mu.Unlock()
		d := w.offer(&delivery{})
		w.sleep(11 * time.Second)
		w.equal("end", d.ended(), "done")
	})
}

func TestSourceThatDoesNotWaitIsNotABusyLoop(t *testing.T) {
	inWorld(t, answers(0), func(w *world) {
		asked := 0
		w.pool.Source = idleSource{w, &asked}
		w.start()
		w.sleep(10 * time.Second)
		if asked > 101 {
			w.Errorf("asked %d times in ten seconds", asked)
		}
	})
}

type idleSource struct {
	*world
	asked *int
}

func (i idleSource) Next(context.Context, int) ([]jobs.Delivery, error) {
	*i.asked++
	return nil, nil
}

func TestDefaultsAreThoseThatAreNamed(t *testing.T) {
	t.Parallel()
	var p Pool
	p.setDefaults()
	if p.Slots != 64 || p.Grace != 30*time.Second || p.Limit != time.Minute || p.Longest != time.Hour || p.Random == nil {
		t.Errorf("%d slots, %v of grace, %v for a write, %v for a job", p.Slots, p.Grace, p.Limit, p.Longest)
	}
}
