package queue

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// crowd enqueues that many batches of acme.
func (w *world) crowd(batches, jobs int) {
	w.Helper()
	for i := range batches {
		w.enqueue(batch(fmt.Sprint("b", i)), jobs)
	}
}

// work answers that many jobs, slots at a time of a second, and counts them by
// batch.
func (w *world) work(s *Source, slots, jobs int) map[string]int {
	w.Helper()
	got := map[string]int{}
	for jobs > 0 {
		lent := w.take(s, min(slots, jobs))
		time.Sleep(time.Second)
		for _, d := range lent {
			got[d.Job().Batch]++
			w.must(d.Done(w.ctx, answer(d, s.worker)))
		}
		jobs -= len(lent)
	}
	return got
}

// Only the 128 oldest batches used to be dealt from: whoever came later got
// nothing until some ended.
func TestEachOfManyBatchesHasItsTurn(t *testing.T) {
	n := 200
	if os.Getenv("DROVER_SLOW_TESTS") != "" {
		n = 1010 // more than the broker allows a stream by itself
	}
	inWorld(t, Config{}, func(w *world) {
		w.crowd(n, 3)
		s := w.source("w1")
		if got := w.work(s, 16, n); len(got) < n*9/10 {
			t.Errorf("%d of %d batches had a job when there was one for each", len(got), n)
		}
		small := batch("small")
		small.Tenant = "globex"
		w.enqueue(small, 10)
		hasty := batch("hasty")
		hasty.Deadline = time.Now().Add(20 * time.Second)
		w.enqueue(hasty, 10)
		soon, later := w.work(s, 16, 32), w.work(s, 16, 14*16)
		if soon["small"] != 10 {
			t.Errorf("%d of ten jobs of another tenant among the next 32", soon["small"])
		}
		if n := soon["hasty"] + later["hasty"]; n != 10 {
			t.Errorf("%d of ten jobs in time for their deadline", n)
		}
	})
}

// By itself the broker allows a stream a thousand consumers, one set up earlier
// too.
func TestSetupAllowsForMoreThanAThousandBatches(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		cfg := w.q.jobs.CachedInfo().Config
		cfg.MaxConsumers = -1
		_, err := w.q.js.UpdateStream(w.ctx, cfg)
		w.must(err)
		w.must(Create(w.ctx, w.nc, w.cfg))
		info, err := w.q.jobs.Info(w.ctx)
		w.must(err)
		if n := info.Config.MaxConsumers; n != mostConsumers {
			t.Errorf("%d consumers are allowed", n)
		}
	})
}

func TestWeightsHoldAmongManyBatches(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		for i := range 60 {
			b := batch(fmt.Sprint("b", i))
			b.Weight = 1 + i%3
			w.enqueue(b, 40)
		}
		other := batch("other")
		other.Tenant = "globex"
		w.enqueue(other, 1500)
		got := w.work(w.source("w1"), 32, 1440)
		sums := map[int]int{}
		for i := range 60 {
			sums[1+i%3] += got[fmt.Sprint("b", i)]
		}
		for weight, sum := range sums {
			if want := 120 * weight; sum < want*9/10 || sum > want*11/10 {
				t.Errorf("batches of weight %d had %d jobs, want %d", weight, sum, want)
			}
		}
		if got["other"] < 680 || got["other"] > 760 {
			t.Errorf("the other tenant had %d jobs of 1440", got["other"])
		}
	})
}

// Where all places were taken, a small batch waited for another tenant's to
// end, and a deadline was missed.
func TestSomePlacesAreKeptForNewTenantsAndDeadlines(t *testing.T) {
	inWorld(t, Config{MaxLiveBatches: 8}, func(w *world) {
		w.crowd(10, 40)
		s := w.source("w1")
		got := w.work(s, 8, 40)
		if len(got) != 6 {
			t.Errorf("%d batches of one tenant have begun, 2 of 8 places should be kept", len(got))
		}
		small := batch("small")
		small.Tenant = "globex"
		w.enqueue(small, 10)
		hasty := batch("hasty")
		hasty.Deadline = time.Now().Add(20 * time.Second)
		w.enqueue(hasty, 10)
		got = w.work(s, 8, 96)
		if got["small"] != 10 || got["hasty"] != 10 || len(got) != 8 {
			t.Errorf("%v", got)
		}
	})
}

func TestPausedOrCancelledBatchGivesUpItsPlace(t *testing.T) {
	for name, stop := range map[string]func(w *world) error{
		"paused":    func(w *world) error { return w.q.Pause(w.ctx, "b0", "to let another begin") },
		"cancelled": func(w *world) error { _, err := w.q.Cancel(w.ctx, "b0"); return err },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Config{MaxLiveBatches: 1}, func(w *world) {
				w.crowd(2, 10)
				s := w.source("w1")
				w.take(s, 2)
				w.must(stop(w))
				time.Sleep(refreshEvery)
				began := time.Now()
				got := w.work(s, 2, 4)
				if took := time.Since(began); got["b1"] != 4 || took > 5*time.Second {
					t.Errorf("%v after %v", got, took)
				}
			})
		})
	}
}

func TestBatchWithoutAPlaceEndsAtItsDeadline(t *testing.T) {
	inWorld(t, Config{MaxLiveBatches: 1}, func(w *world) {
		w.crowd(1, 200)
		s := w.source("w1")
		w.work(s, 2, 2)
		hasty := batch("hasty")
		hasty.Deadline = time.Now().Add(5 * time.Second)
		w.enqueue(hasty, 10)
		if got := w.work(s, 2, 20); got["b0"] != 20 {
			t.Errorf("%v", got)
		}
		if p := w.progress("hasty"); p.Queued > 0 {
			t.Errorf("progress %+v", p)
		}
	})
}

// The broker has a limit of its own, an account's perhaps: the batch that hit
// it kept the worker from lending any.
func TestBatchThatTheBrokerWillNotHaveHoldsNobodyUp(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		cfg := w.q.jobs.CachedInfo().Config
		cfg.MaxConsumers = 1
		_, err := w.q.js.UpdateStream(w.ctx, cfg)
		w.must(err)
		w.crowd(2, 4)
		s := w.source("w1")
		got := w.work(s, 2, 4)
		if got["b0"] != 4 {
			t.Errorf("%v", got)
		}
		began := time.Now()
		w.work(s, 2, 4)
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("the other batch took %v", took)
		}
	})
}

// Batches that share evenly end together. A worker tidied up after all of them
// before it lent another job.
func TestManyEndsAtOnceHoldNobodyUp(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.crowd(100, 1)
		s := w.source("w1")
		w.work(s, 100, 100)
		w.enqueue(batch("last"), 2)
		time.Sleep(time.Second)
		before := w.nc.Stats().OutMsgs
		w.take(s, 2)
		if n := w.nc.Stats().OutMsgs - before; n > 150 {
			t.Errorf("%d messages before a job is lent", n)
		}
		w.nothing(s, 5*time.Second)
		if n := len(s.known); n != 1 {
			t.Errorf("%d batches are left to tidy up", n-1)
		}
	})
}

func TestManyExpiredBatchesHoldNobodyUp(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		for i := range 100 {
			b := batch(fmt.Sprint("b", i))
			b.Deadline = time.Now().Add(time.Minute)
			w.enqueue(b, 2)
		}
		w.enqueue(batch("last"), 2)
		time.Sleep(2 * time.Minute)
		s := w.source("w1")
		w.must(s.refresh(w.ctx))
		before := w.nc.Stats().OutMsgs
		w.take(s, 2)
		if n := w.nc.Stats().OutMsgs - before; n > 150 {
			t.Errorf("%d messages before a job is lent", n)
		}
		w.nothing(s, 5*time.Second)
		for i := range 100 {
			if p := w.progress(fmt.Sprint("b", i)); p.Done() != 2 {
				t.Fatalf("batch %d: %+v", i, p)
			}
		}
	})
}

// The more batches were live, the less often one was asked whose jobs were all
// lent, though hardly any other was: with a thousand every five seconds.
func TestEmptyBatchIsAskedOftenAmongManyThatAreNot(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		lone := batch("lone")
		lone.Tenant = "globex"
		w.enqueue(lone, 1)
		w.crowd(150, 2)
		s := w.source("w1")
		w.take(s, 2)
		w.work(s, 4, 80)
		if dry := s.known["lone"].dry; dry == 0 || dry > 250*time.Millisecond {
			t.Errorf("it is asked every %v", dry)
		}
	})
}

// Every batch without a job at work used to be one that would wait for a slot,
// so that with many a worker took a quarter more than its slots all the time,
// and had none to spare for a tenant who came.
func TestNewcomersAreThoseWithLessThanTheirPart(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.crowd(20, 10)
		s := w.source("w1")
		w.take(s, 8)
		if got, err := s.Newcomers(w.ctx, 4); err != nil || len(got) > 0 {
			t.Errorf("lent %d of batches whose part is no slot, %v", len(got), err)
		}
		small := batch("small")
		small.Tenant = "globex"
		w.enqueue(small, 3)
		time.Sleep(soonest)
		if got, err := s.Newcomers(w.ctx, 4); err != nil || len(got) != 3 || got[0].Job().Batch != "small" {
			t.Errorf("lent %d of another tenant's three, %v", len(got), err)
		}
	})
}

// block has the disk no room for a batch's consumer until the returned function
// is called.
func (w *world) block(id string) (free func()) {
	w.Helper()
	path := filepath.Join(w.dir, "jetstream", "$G", "streams", "DROVER_JOBS", "obs", id)
	w.must(os.MkdirAll(filepath.Dir(path), 0o700))
	w.must(os.WriteFile(path, nil, 0o600)) // where its folder would be
	return func() { w.must(os.Remove(path)) }
}

// A batch for whose consumer the disk had no room kept the worker from lending
// jobs of the others. It had been lent them each time, and handed them back:
// that counted as the deaths of so many workers, and they were buried.
func TestBatchThatCannotBeginHoldsNobodyUp(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		free := w.block("b1")
		w.crowd(3, 4)
		s := w.source("w1")
		began := time.Now()
		got := w.work(s, 2, 8)
		if took := time.Since(began); got["b0"] != 4 || got["b2"] != 4 || took > 10*time.Second {
			t.Errorf("the others were lent as %v within %v", got, took)
		}
		free()
		w.work(s, 2, 4)
		for i := range 3 {
			for _, o := range w.outcomes(fmt.Sprint("b", i)) {
				if o.Status != jobs.Answered {
					t.Errorf("%s of batch b%d is %s: %s", o.CustomID, i, o.Status, o.Reason)
				}
			}
		}
	})
}

func TestCancelledBatchWhoseJobsCannotBeSettledHoldsNobodyUp(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		free := w.block("b1")
		w.crowd(2, 4)
		_, err := w.q.Cancel(w.ctx, "b1")
		if err == nil {
			t.Error("its jobs are settled")
		}
		s := w.source("w1")
		began := time.Now()
		got := w.work(s, 2, 4)
		if took := time.Since(began); got["b0"] != 4 || took > 10*time.Second {
			t.Errorf("the others were lent as %v within %v", got, took)
		}
		free()
		w.nothing(s, 10*time.Second)
		if n := len(w.outcomes("b1")); n != 4 {
			t.Errorf("%d of its jobs have ended", n)
		}
	})
}

// A batch whose consumer was lost while the broker would not have another was
// asked for over and over, without a pause.
func TestBatchThatLostItsConsumerIsNotTriedInABusyLoop(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.crowd(2, 1)
		w.take(w.source("w1"), 2)
		w.must(w.q.js.DeleteConsumer(w.ctx, w.q.stream("JOBS"), "b1"))
		cfg := w.q.jobs.CachedInfo().Config
		cfg.MaxConsumers = 1
		_, err := w.q.js.UpdateStream(w.ctx, cfg)
		w.must(err)
		s := w.source("w2")
		for range 100 {
			if got, err := s.try(w.ctx, 1); len(got) > 0 || err != nil {
				t.Fatalf("lent %d jobs, %v", len(got), err)
			}
		}
		if took := time.Since(s.began); took < 2*time.Second {
			t.Errorf("it was looked at a hundred times in %v", took)
		}
	})
}

// With three other tenants, one batch of a weight beyond all measure crashed
// every worker: integers ran over.
func TestWeightBeyondAllMeasureIsRefused(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		for i := range 4 {
			b := batch(fmt.Sprint("b", i))
			b.Tenant, b.Weight = b.ID, jobs.MostWeight
			w.enqueue(b, 10)
		}
		s := w.source("w1")
		w.take(s, 1)
		if _, err := s.Newcomers(w.ctx, 4); err != nil {
			t.Error(err)
		}
		b := batch("heavy")
		if b.Weight = 1 << 62; b.Validate() == nil {
			t.Error("it is taken")
		}
		if _, err := w.q.Enqueue(w.ctx, b); err == nil || !strings.Contains(err.Error(), "weight 4611686018427387904") {
			t.Errorf("got %v", err)
		}
	})
}
