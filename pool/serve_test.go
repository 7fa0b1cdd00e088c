package pool

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drover-batch/drover/jobs"
)

func TestOutcomeIsStoredAndCounted(t *testing.T) {
	inWorld(t, answers(time.Second), func(w *world) {
		earlier := []jobs.Attempt{{Run: 1, Model: "small", Cost: 500}}
		d := w.runs(&delivery{job: &jobs.Job{ID: "j", Batch: "b", Run: 2, Earlier: earlier}})
		w.equal("end", d.ended(), "done")
		w.equal("outcomes told", len(w.stored), 1)
		s := w.pool.Stats()
		w.equal("answered", s.Answered, int64(1))
		w.equal("cost, of this run only", s.Cost, jobs.USD(120))
		w.equal("cost of small", s.Models["small"].Cost, jobs.USD(120))
		w.equal("tokens", s.Usage.Total(), int64(110))
		w.equal("running", s.Running, 0)
		w.equal("slots", s.Slots, 4)
	})
}

func TestCallsAndFailuresAreCountedByModel(t *testing.T) {
	attempts := []jobs.Attempt{{Run: 1, Model: "small", Kind: jobs.Timeout}, {Run: 1, Model: "small"}, {Run: 1, Model: "large", Kind: jobs.Refused}}
	inWorld(t, decides(jobs.Decision{Back: true, Attempts: attempts}), func(w *world) {
		w.runs(&delivery{})
		s := w.pool.Stats()
		w.equal("small", s.Models["small"], ModelStats{Calls: 2, Failed: 1})
		w.equal("large", s.Models["large"], ModelStats{Calls: 1, Failed: 1})
	})
}

func TestDeadOutcomeIsBuried(t *testing.T) {
	dead := &jobs.Outcome{Status: jobs.Dead}
	inWorld(t, decides(jobs.Decision{Outcome: dead}), func(w *world) {
		w.equal("end", w.runs(&delivery{}).ended(), "bury")
		w.equal("dead", w.pool.Stats().Dead, int64(1))
	})
}

func TestWaitingJobIsDeferredAndItsBatchRests(t *testing.T) {
	paid := []jobs.Attempt{{Run: 1, Model: "small", Kind: jobs.Timeout, Cost: 7}}
	wait := jobs.Decision{Wait: time.Minute, Rest: true, Attempts: paid}
	inWorld(t, decides(wait), func(w *world) {
		d := w.runs(&delivery{})
		w.equal("end", d.ended(), "defer 1m0s")
		w.equal("attempts", len(d.tries), 1)
		w.equal("rest", w.rests["b"], time.Minute)
		w.equal("deferred", w.pool.Stats().Deferred, int64(1))
		w.equal("cost of what was deferred", w.pool.Stats().Cost, jobs.USD(7))
	})
}

// It was the wait, not the pause, that kept it back for half a minute after
// there was money again.
func TestJobOfAPausedBatchIsReadyWhenItGoesOn(t *testing.T) {
	wait := jobs.Decision{Wait: time.Minute, Rest: true, Short: &jobs.Shortage{Reason: "the money is spent"}}
	inWorld(t, decides(wait), func(w *world) {
		w.equal("end", w.runs(&delivery{}).ended(), "defer 1s")
		w.equal("rest", w.rests["b"], time.Second)
		w.equal("pause", strings.Join(w.pauses, ""), "b: the money is spent")
	})
}

func TestWaitOfOneJobDoesNotRestItsBatch(t *testing.T) {
	inWorld(t, decides(jobs.Decision{Wait: time.Minute}), func(w *world) {
		w.runs(&delivery{})
		w.equal("rests", len(w.rests), 0)
	})
}

func TestEmptyDecisionIsNotATightLoop(t *testing.T) {
	inWorld(t, decides(jobs.Decision{}), func(w *world) {
		w.equal("end", w.runs(&delivery{}).ended(), "defer 5s")
	})
}

func TestSettledJobIsReleasedUnhandled(t *testing.T) {
	for name, d := range map[string]*delivery{
		"delivered before": {stale: true, settled: true},
		"batch resumed":    {settled: true, batch: &jobs.Batch{ID: "b", Resumed: true}},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(context.Context, jobs.Delivery) jobs.Decision {
				t.Error("a settled job was handled")
				return jobs.Decision{Back: true}
			}, func(w *world) {
				w.equal("end", w.runs(d).ended(), "release")
				w.equal("released", w.pool.Stats().Released, int64(1))
			})
		})
	}
}

func TestJobThatCannotBeLookedUpIsNotHandled(t *testing.T) {
	inWorld(t, func(context.Context, jobs.Delivery) jobs.Decision {
		t.Error("a job was handled that may have its outcome")
		return jobs.Decision{Back: true}
	}, func(w *world) {
		w.equal("end", w.runs(&delivery{stale: true, lookErr: errAway}).ended(), "defer 5s")
	})
}

func TestOutcomeThatComesSecondIsWaste(t *testing.T) {
	inWorld(t, answers(0), func(w *world) {
		w.runs(&delivery{endErr: jobs.ErrSettled})
		w.equal("outcomes told", len(w.stored), 0)
		w.equal("wasted", w.pool.Stats().Wasted, int64(1))
		w.equal("answered", w.pool.Stats().Answered, int64(0))
	})
}

func TestOutcomeThatWaitsOnDiskIsCountedOnceItIsStored(t *testing.T) {
	inWorld(t, answers(0), func(w *world) {
		d := w.runs(&delivery{endErr: jobs.ErrSpooled})
		w.equal("outcomes told", len(w.stored), 0)
		w.equal("cost", w.pool.Stats().Cost, jobs.USD(0))
		w.pool.Stored(d.outcome, nil)
		w.equal("outcomes told later", len(w.stored), 1)
		s := w.pool.Stats()
		w.equal("answered", s.Answered, int64(1))
		w.equal("cost later", s.Cost, jobs.USD(120))
		w.equal("unstored", s.Unstored, int64(0))
		w.pool.Stored(d.outcome, jobs.ErrSettled)
		w.equal("wasted", w.pool.Stats().Wasted, int64(1))
	})
}

func TestOutcomeThatIsNotStoredIsTold(t *testing.T) {
	inWorld(t, answers(0), func(w *world) {
		w.runs(&delivery{endErr: errAway})
		w.equal("outcomes told", len(w.stored), 0)
		w.equal("unstored", w.pool.Stats().Unstored, int64(1))
		w.equal("cost", w.pool.Stats().Cost, jobs.USD(120))
		if !strings.Contains(w.log.String(), errAway.Error()) {
			w.Errorf("log: %s", w.log.String())
		}
	})
}

func TestPanicIsHandedBackAndBuriedTheThirdTime(t *testing.T) {
	inWorld(t, func(context.Context, jobs.Delivery) jobs.Decision { panic("the whole secret prompt") }, func(w *world) {
		w.start()
		for _, want := range []string{"defer 5s", "defer 10s", "bury"} {
			d := w.offer(&delivery{})
			synctest.Wait()
			w.equal("end", d.ended(), want)
			if want == "bury" {
				w.equal("kind", d.outcome.Kind, jobs.Internal)
				w.equal("reason", d.outcome.Reason, "its handler panicked 3 times, last with a string")
			}
		}
		if strings.Contains(w.log.String(), "secret") {
			w.Error("the log tells what the panic said")
		}
		w.equal("neighbour", func() string {
			d := w.offer(&delivery{job: &jobs.Job{ID: "other", Batch: "b", Run: 1}})
			synctest.Wait()
			return d.ended()
		}(), "defer 5s")
	})
}

func TestHeartbeatKeepsALongJob(t *testing.T) {
	inWorld(t, answers(605*time.Second), func(w *world) {
		d := w.runs(&delivery{})
		w.equal("end", d.ended(), "done")
		w.equal("renewals, one every 10s", d.extends, 60)
	})
}

func TestLeaseIsKeptWhileTheOutcomeIsStored(t *testing.T) {
	inWorld(t, answers(0), func(w *world) {
		d := &delivery{}
		w.offer(d)
		w.pool.Source = wrapping{w, &slow{d}}
		w.start()
		w.sleep(time.Minute)
		w.equal("end", d.ended(), "done")
		w.equal("renewals", d.extends, 3)
	})
}

func TestLeaseIsKeptWhileTheOutcomeIsStoredAfterASecondStop(t *testing.T) {
	inWorld(t, answers(0), func(w *world) {
		d := &delivery{extend: func(ctx context.Context) error { return ctx.Err() }}
		w.offer(d)
		w.pool.Source = wrapping{w, &slow{d}}
		w.start()
		w.sleep(time.Second)
		w.stop()
		w.kill()
		w.sleep(time.Minute)
		w.equal("end", d.ended(), "done")
		w.equal("renewals", d.extends, 3)
		w.equal("renewals that failed", strings.Count(w.log.String(), "lease"), 0)
	})
}

func TestLeaseIsNotRenewedWhileTheJobGoesBack(t *testing.T) {
	inWorld(t, decides(jobs.Decision{Back: true}), func(w *world) {
		d := &delivery{lease: time.Minute}
		w.offer(d)
		w.pool.Source = wrapping{w, &slow{d}}
		w.start()
		w.sleep(time.Minute)
		w.equal("end", d.ended(), "return")
		w.equal("renewals", d.extends, 0)
	})
}

// slow takes 35s to store an outcome or to go back.
type slow struct{ *delivery }

func (s *slow) Done(ctx context.Context, o *jobs.Outcome) error {
	time.Sleep(35 * time.Second)
	return s.delivery.Done(ctx, o)
}

func (s *slow) Return(ctx context.Context, a []jobs.Attempt) error {
	time.Sleep(35 * time.Second)
	return s.delivery.Return(ctx, a)
}

// wrapping lends one delivery in place of the world's own.
type wrapping struct {
	*world
	instead jobs.Delivery
}

func (x wrapping) Next(ctx context.Context, free int) ([]jobs.Delivery, error) {
	lent, err := x.world.Next(ctx, free)
	for i := range lent {
		lent[i] = x.instead
	}
	return lent, err
}

func TestLostLeaseCancelsTheHandler(t *testing.T) {
	var cause error
	var after time.Duration
	handle := func(ctx context.Context, _ jobs.Delivery) jobs.Decision {
		began := time.Now()
		<-ctx.Done()
		after, cause = time.Since(began), context.Cause(ctx)
		return jobs.Decision{Back: true, Short: &jobs.Shortage{Reason: "no reason"}}
	}
	inWorld(t, handle, func(w *world) {
		d := w.runs(&delivery{
			extend: func(context.Context) error { return jobs.ErrLeaseLost },
			endErr: jobs.ErrLeaseLost,
		})
		w.equal("cause", cause, jobs.ErrLeaseLost)
		w.equal("cancelled after", after, 10*time.Second)
		w.equal("renewals", d.extends, 1)
		w.equal("pauses", len(w.pauses), 0)
		w.equal("lost", w.pool.Stats().Lost, int64(1))
	})
}

func TestLeaseThatCannotBeRenewedIsTriedUntilItEnds(t *testing.T) {
	var took time.Duration
	inWorld(t, held(&took), func(w *world) {
		d := w.runs(&delivery{extend: func(context.Context) error { return errAway }})
		if took < 30*time.Second || took > 31*time.Second {
			w.Errorf("cancelled after %v, want the length of the lease", took)
		}
		if d.extends < 5 || d.extends > 20 {
			w.Errorf("%d attempts to renew it", d.extends)
		}
		if strings.Contains(w.log.String(), `"level":"warn"`) {
			w.Errorf("every job warns of an outage: %s", w.log.String())
		}
	})
}

func TestHangingRenewalEndsWithTheLease(t *testing.T) {
	var took time.Duration
	inWorld(t, held(&took), func(w *world) {
		w.runs(&delivery{extend: func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}})
		w.equal("cancelled after", took, 30*time.Second)
	})
}

// held works until it is cancelled, and tells when that was.
func held(took *time.Duration) func(context.Context, jobs.Delivery) jobs.Decision {
	return func(ctx context.Context, _ jobs.Delivery) jobs.Decision {
		began := time.Now()
		<-ctx.Done()
		*took = time.Since(began)
		return jobs.Decision{Back: true}
	}
}

func TestHungJobLosesItsLease(t *testing.T) {
	free := make(chan struct{})
	var cause error
	handle := func(ctx context.Context, _ jobs.Delivery) jobs.Decision {
		<-free // and not ctx.Done
		cause = context.Cause(ctx)
		return jobs.Decision{Back: true}
	}
	inWorld(t, handle, func(w *world) {
		free = make(chan struct{}) // of this bubble
		w.pool.Longest = 5 * time.Minute
		d := w.offer(&delivery{})
		w.start()
		w.sleep(time.Hour)
		w.equal("renewals, one every 10s", d.extends, 29)
		if left := time.Until(d.Expires()); left > -54*time.Minute {
			w.Errorf("its lease ends in %v", left)
		}
		if !strings.Contains(w.log.String(), "its handler hangs") {
			w.Errorf("log: %s", w.log.String())
		}
		close(free)
		w.sleep(time.Second)
		w.equal("cause", cause, jobs.ErrLeaseLost)
		w.equal("lost", w.pool.Stats().Lost, int64(1))
	})
}

func TestRenewalUnderWayEndsWithTheJob(t *testing.T) {
	inWorld(t, answers(12*time.Second), func(w *world) {
		d := w.runs(&delivery{extend: func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}})
		w.equal("end", d.ended(), "done")
	})
}

func TestOutcomeIsStoredThoughTheLeaseIsLost(t *testing.T) {
	handle := func(ctx context.Context, d jobs.Delivery) jobs.Decision {
		<-ctx.Done()
		return answers(0)(context.WithoutCancel(ctx), d)
	}
	inWorld(t, handle, func(w *world) {
		d := w.runs(&delivery{
			extend: func(context.Context) error { return jobs.ErrLeaseLost },
			endErr: jobs.ErrLeaseLost,
		})
		w.equal("end", d.ended(), "done")
		w.equal("answered", w.pool.Stats().Answered, int64(1))
	})
}

func TestFailedPauseIsToldAndTheJobGoesBack(t *testing.T) {
	inWorld(t, decides(jobs.Decision{Wait: time.Minute, Short: &jobs.Shortage{Reason: "spent"}}), func(w *world) {
		w.pool.Pause = func(context.Context, *jobs.Batch, *jobs.Shortage) error { return errors.New("cannot pause") }
		w.equal("end", w.runs(&delivery{}).ended(), "defer 1m0s")
		if !strings.Contains(w.log.String(), "cannot pause") {
			w.Errorf("log: %s", w.log.String())
		}
	})
}
