package queue

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-batch/drover/jobs"
)

func TestFirstOutcomeStandsAndTheLoserIsWaste(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 20)
		s := w.source("w1")
		lent := w.take(s, 20)
		var wg sync.WaitGroup
		won := make([]int, len(lent))
		for i, d := range lent {
			results := make(chan error, 4)
			for racer := range 4 {
				wg.Go(func() {
					name := fmt.Sprint("racer", racer)
					results <- w.q.Settle(w.ctx, d.Job(), answer(d, name, paid(fmt.Sprint(i, "-", racer), 1, 7)))
				})
			}
			wg.Go(func() {
				for range 4 {
					if err := <-results; err == nil {
						won[i]++
					} else if !errors.Is(err, jobs.ErrSettled) {
						t.Errorf("job %d: %v", i, err)
					}
				}
			})
		}
		wg.Wait()
		for i, n := range won {
			if n != 1 {
				t.Errorf("job %d has %d winners", i, n)
			}
		}
		if got := len(w.outcomes("b")); got != 20 {
			t.Errorf("%d outcomes", got)
		}
		wasted := 0
		for x, err := range w.q.Wastes(w.ctx, "b") {
			w.must(err)
			if len(x.Attempts) != 1 || x.Tenant != "acme" {
				t.Errorf("waste %+v", x)
			}
			wasted++
		}
		if wasted != 60 {
			t.Errorf("%d wastes", wasted)
		}
		if sum := w.booked(); sum != 80*7 {
			t.Errorf("the book adds up to %d", sum)
		}
	})
}

func (w *world) booked() (sum jobs.USD) {
	w.Helper()
	for s, err := range w.q.Book(w.ctx) {
		w.must(err)
		if s.Tenant != "acme" || s.Batch == "" || s.Call == "" {
			w.Errorf("entry %+v", s)
		}
		sum += s.Cost
	}
	return sum
}

func TestOwnOutcomeWithALostReplyIsRecognised(t *testing.T) {
	inBrokenWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1)
		l, d, hangUp := w.lendOverALine()
		defer hangUp()
		l.deaf.Store(true)
		go func() {
			time.Sleep(3 * time.Second)
			l.cut()
		}()
		o := answer(d, "w1", paid("c", 1, 5))
		w.must(d.Done(w.ctx, o))
		w.must(w.q.Settle(w.ctx, d.Job(), o))
		for x := range w.q.Wastes(w.ctx, "b") {
			t.Errorf("recorded as waste: %+v", x)
		}
	})
}

func TestLapsedLeaseIsFenced(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 3)
		s := w.source("w1")
		lent := w.take(s, 3)
		time.Sleep(31 * time.Second) // frozen
		other := w.take(w.source("w2"), 3)
		for _, d := range other {
			if d.Fresh() {
				t.Error("a second delivery calls itself fresh")
			}
		}
		if err := lent[0].Extend(w.ctx); !errors.Is(err, jobs.ErrLeaseLost) {
			t.Errorf("extending: %v", err)
		}
		if err := lent[0].Done(w.ctx, answer(lent[0], "w1")); !errors.Is(err, jobs.ErrLeaseLost) {
			t.Errorf("done: %v", err)
		}
		if err := lent[1].Return(w.ctx, []jobs.Attempt{paid("c", 1, 9)}); !errors.Is(err, jobs.ErrLeaseLost) {
			t.Errorf("returning: %v", err)
		}
		if err := lent[2].Release(w.ctx); !errors.Is(err, jobs.ErrLeaseLost) {
			t.Errorf("releasing: %v", err)
		}
		if p := w.progress("b"); p.Running != 3 {
			t.Errorf("the late worker took jobs from the other: %+v", p)
		}
		if sum := w.booked(); sum != 9 {
			t.Errorf("booked %d", sum)
		}
		for _, d := range other {
			settled, err := d.Settled(w.ctx)
			w.must(err)
			if settled != (d.Job().ID == lent[0].Job().ID) {
				t.Errorf("job %s settled: %v", d.Job().CustomID, settled)
			}
		}
	})
}

func TestRenewedLeaseHolds(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1)
		d := w.take(w.source("w1"), 1)[0]
		if !d.Fresh() {
			t.Error("the first delivery is not fresh")
		}
		for range 10 {
			time.Sleep(20 * time.Second)
			w.must(d.Extend(w.ctx))
		}
		w.nothing(w.source("w2"), 20*time.Second)
		w.must(d.Done(w.ctx, answer(d, "w1")))
	})
}

func TestDeferredJobComesBackAfterItsWait(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		s, d := w.lendOne(batch("b"))
		w.must(d.Defer(w.ctx, 5*time.Minute, []jobs.Attempt{paid("c1", 1, 3), {Call: "c2", Billing: jobs.Free}}))
		w.nothing(s, 4*time.Minute+50*time.Second)
		began := time.Now()
		d = w.take(s, 1)[0]
		if late := time.Since(began); late > 12*time.Second {
			t.Errorf("came %s late", late)
		}
		w.must(d.Return(w.ctx, nil))
		d = w.take(s, 1)[0]
		w.must(d.Done(w.ctx, answer(d, "w1", paid("c3", 1, 4))))
		if sum := w.booked(); sum != 7 {
			t.Errorf("booked %d", sum)
		}
	})
}

func TestJobThatKillsItsWorkersIsLentAloneThenBuried(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 3)
		s := w.source("w1")
		bad := jobs.NewID("b", "1")
		alone := 0
		for range 20 {
			p := w.progress("b")
			if p.Queued+p.Running == 0 {
				break
			}
			for _, d := range func() []jobs.Delivery { got, _ := s.Next(w.ctx, 10); return got }() {
				if d.Job().ID == bad {
					if s.tally() == 1 {
						alone++
					}
					continue // the worker dies with it
				}
				w.must(d.Return(w.ctx, nil)) // the others are only put off
			}
			time.Sleep(31 * time.Second)
		}
		l := w.letter("b", bad)
		if l.Outcome.Kind != jobs.Poison || alone < 2 {
			t.Errorf("lent alone %d times, then %+v", alone, l.Outcome)
		}
		if got := len(w.outcomes("b")); got != 1 {
			t.Errorf("%d jobs were blamed", got)
		}
	})
}

func TestBuryingSurvivesACrashInTheMiddle(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		s, d := w.lendOne(batch("b"))
		o := death(d, jobs.Refused)
		m, err := w.q.outcomeMsg(w.ctx, o, 0)
		w.must(err)
		w.must(w.q.outcomes.put(w.ctx, m)) // and the worker dies before the letter
		time.Sleep(31 * time.Second)
		d = w.take(s, 1)[0]
		settled, err := d.Settled(w.ctx)
		w.must(err)
		if !settled {
			t.Fatal("the dead outcome is not seen")
		}
		w.must(d.Release(w.ctx))
		if p := w.progress("b"); p.Dead != 1 || p.Done() != 1 {
			t.Errorf("progress %+v", p)
		}
	})
}

func TestDroppedLetterStaysAway(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		s, d := w.lendOne(batch("b"))
		w.must(w.q.Settle(w.ctx, d.Job(), death(d, jobs.Refused))) // not acknowledged
		l := w.letter("b", d.Job().ID)
		w.must(w.q.Drop(w.ctx, l))
		time.Sleep(31 * time.Second)
		d = w.take(s, 1)[0]
		if settled, err := d.Settled(w.ctx); err != nil || !settled {
			t.Fatalf("settled %v, %v", settled, err)
		}
		if p := w.progress("b"); p.Dead != 0 {
			t.Errorf("the letter is back: %+v", p)
		}
	})
}

func TestReplayRunsOnceAndReplacesTheDeadOutcome(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		s, d := w.lendOne(batch("b"))
		w.must(d.Bury(w.ctx, death(d, jobs.Timeout, paid("c1", 1, 3))))
		w.nothing(s, 2*time.Second)
		if p := w.progress("b"); p.State != jobs.Finished || p.Dead != 1 {
			t.Fatalf("progress %+v", p)
		}
		l := w.letter("b", d.Job().ID)
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if err := w.q.Replay(w.ctx, l); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if p := w.progress("b"); p.State != jobs.Live || p.Queued != 1 || p.Dead != 0 {
			t.Errorf("after five replays: %+v", p)
		}
		d = w.take(s, 1)[0]
		if j := d.Job(); j.Run != 2 || j.Replaces != l.Sequence || len(j.Earlier) != 1 || d.Fresh() {
			t.Errorf("run %+v, fresh %v", j, d.Fresh())
		}
		if settled, err := d.Settled(w.ctx); err != nil || settled {
			t.Errorf("settled %v, %v", settled, err)
		}
		w.must(d.Done(w.ctx, answer(d, "w1", paid("c2", 2, 4))))
		w.nothing(s, 2*time.Second)
		w.must(w.q.Replay(w.ctx, l)) // long after
		if p := w.progress("b"); p.Queued != 0 {
			t.Errorf("a late replay queued something: %+v", p)
		}
		o, err := w.q.Outcome(w.ctx, "b", d.Job().ID)
		w.must(err)
		if o.Status != jobs.Answered || o.Run != 2 || o.Cost != 7 || w.booked() != 7 {
			t.Errorf("outcome %+v, booked %d", o, w.booked())
		}
	})
}

// More letters than are read at a time, so that those of jobs that died again
// are there when reading gets to them.
func TestAnswerToAReplayThatComesSecondIsWasteOfThatRunAlone(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		s, d := w.lendOne(batch("b"))
		w.must(d.Bury(w.ctx, death(d, jobs.Refused, paid("1", 1, 10))))
		w.must(w.q.Replay(w.ctx, w.letter("b", d.Job().ID)))
		d = w.take(s, 1)[0]
		if d.Fresh() {
			t.Error("nobody looks for an outcome of the replay")
		}
		w.must(w.q.Settle(w.ctx, d.Job(), answer(d, "w2", paid("2", 2, 20))))
		if err := d.Done(w.ctx, answer(d, "w1", paid("3", 2, 30))); !errors.Is(err, jobs.ErrSettled) {
			t.Errorf("the second answer: %v", err)
		}
		if wasted := w.wastedOn("b"); len(wasted) != 1 || len(wasted[0].Attempts) != 1 || wasted[0].Attempts[0].Call != "3" {
			t.Errorf("wasted are %+v", wasted)
		}
		w.wantBook(map[string]jobs.USD{"1": 10, "2": 20, "3": 30})
	})
}

func TestJobThatDiesAgainIsNotReplayedOverAndOver(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		b := batch("b")
		w.enqueue(b, 1)
		die := func(j *jobs.Job) { w.must(w.q.Settle(w.ctx, j, jobs.NewOutcome(j, b, jobs.Dead, nil))) }
		const letters = readGroup + 1
		for i := range letters {
			id := fmt.Sprint("dead ", i)
			die(&jobs.Job{ID: jobs.NewID(b.ID, id), Batch: b.ID, CustomID: id, Run: 1})
		}
		replayed := 0
		for l, err := range w.q.Dead(w.ctx, DeadFilter{Batch: b.ID}) {
			w.must(err)
			w.must(w.q.Replay(w.ctx, l))
			again := *l.Job
			again.Run, again.Replaces = l.Job.Run+1, l.Sequence
			die(&again)
			if replayed++; replayed > 2*letters {
				break
			}
		}
		if replayed != letters {
			t.Errorf("replayed %d times, want each of the %d letters once", replayed, letters)
		}
	})
}

func TestReplayPastTheDeadlineKeepsTheLetter(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		b := batch("b")
		b.Deadline = time.Now().Add(time.Hour)
		s, d := w.lendOne(b)
		w.must(d.Bury(w.ctx, death(d, jobs.Timeout, paid("c1", 1, 3))))
		time.Sleep(2 * time.Hour)
		l := w.letter("b", d.Job().ID)
		if err := w.q.Replay(w.ctx, l); !errors.Is(err, ErrPastDeadline) {
			t.Errorf("replaying: %v", err)
		}
		w.nothing(s, 10*time.Second)
		o, err := w.q.Outcome(w.ctx, "b", d.Job().ID)
		w.must(err)
		if p := w.progress("b"); o.Status != jobs.Dead || p.Dead != 1 || p.State != jobs.Finished {
			t.Errorf("it is %s, %+v", o.Status, p)
		}
	})
}

func TestReplayThatIsDealtPastTheDeadlineHasItsLetterAgain(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		b := batch("b")
		b.Deadline = time.Now().Add(time.Hour)
		s, d := w.lendOne(b)
		w.must(d.Bury(w.ctx, death(d, jobs.Timeout, paid("c1", 1, 3))))
		l := w.letter("b", d.Job().ID)
		w.must(w.q.Replay(w.ctx, l))
		time.Sleep(2 * time.Hour)
		w.nothing(s, 10*time.Second)
		again := w.letter("b", d.Job().ID)
		if o := again.Outcome; o.Status != jobs.Dead || o.Kind != jobs.PastDeadline || o.Run != 2 || len(o.Attempts) != 1 ||
			string(again.Job.Document.Body) != string(l.Job.Document.Body) {
			t.Errorf("%+v", o)
		}
		if p := w.progress("b"); p.Dead != 1 || p.State != jobs.Finished {
			t.Errorf("%+v", p)
		}
	})
}

func TestReplayThatEndsWhileOutcomesAreReadYieldsNoJobTwice(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 2*readGroup)
		s := w.source("w1")
		lent := w.take(s, 2*readGroup)
		w.must(lent[0].Bury(w.ctx, death(lent[0], jobs.Timeout)))
		w.answerAll(lent[1:])
		seen := map[jobs.ID]int{}
		for o, err := range w.q.Outcomes(w.ctx, "b") {
			w.must(err)
			if seen[o.Job]++; seen[o.Job] > 1 {
				t.Errorf("job %s is %s, run %d, after it was yielded", o.Job, o.Status, o.Run)
			}
			if o.Status != jobs.Dead {
				continue
			}
			l := w.letter("b", o.Job)
			w.must(w.q.Replay(w.ctx, l))
			d := w.take(s, 1)[0]
			w.must(d.Done(w.ctx, answer(d, "w1")))
		}
		if len(seen) != 2*readGroup {
			t.Errorf("%d jobs", len(seen))
		}
	})
}

func TestDeadLettersAreFiltered(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		other := batch("b2")
		other.Tenant = "globex"
		w.enqueue(batch("b1"), 2)
		w.enqueue(other, 1)
		s := w.source("w1")
		for _, d := range w.take(s, 3) {
			kind, model := jobs.Timeout, "small"
			if d.Job().CustomID == "1" {
				kind, model = jobs.Refused, "large"
			}
			w.must(d.Bury(w.ctx, death(d, kind, jobs.Attempt{Call: "c", Model: model})))
		}
		for _, row := range []struct {
			filter DeadFilter
			want   int
		}{
			{DeadFilter{}, 3},
			{DeadFilter{Batch: "b1"}, 2},
			{DeadFilter{Kind: jobs.Refused}, 1},
			{DeadFilter{Model: "small"}, 2},
			{DeadFilter{Tenant: "globex"}, 1},
			{DeadFilter{Batch: "b2", Kind: jobs.Refused}, 0},
			{DeadFilter{Batch: "b1", Kind: jobs.Timeout, Model: "small", Tenant: "acme"}, 1},
		} {
			n := 0
			for l, err := range w.q.Dead(w.ctx, row.filter) {
				w.must(err)
				if l.Job == nil || l.Sequence == 0 {
					t.Errorf("letter %+v", l)
				}
				n++
			}
			if n != row.want {
				t.Errorf("%+v takes %d letters, expected %d", row.filter, n, row.want)
			}
		}
	})
}

func TestAnswersAreRememberedForAWhile(t *testing.T) {
	inWorld(t, Config{CacheFor: time.Hour}, func(w *world) {
		w.enqueue(batch("b"), 1)
		d := w.take(w.source("w1"), 1)[0]
		o := answer(d, "w1")
		w.must(d.Done(w.ctx, o))
		w.must(w.q.Remember(w.ctx, "any key, even with * and spaces", o))
		got, err := w.q.Recall(w.ctx, "any key, even with * and spaces")
		w.must(err)
		if got.Answer != o.Answer {
			t.Errorf("recalled %+v", got)
		}
		if _, err := w.q.Recall(w.ctx, "another"); !errors.Is(err, ErrNotRemembered) {
			t.Errorf("another key: %v", err)
		}
		time.Sleep(2 * time.Hour)
		if _, err := w.q.Recall(w.ctx, "any key, even with * and spaces"); !errors.Is(err, ErrNotRemembered) {
			t.Errorf("after its time: %v", err)
		}
	})
}

func TestRenewalAnsweredTooLateIsNone(t *testing.T) {
	inBrokenWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1)
		l, d, hangUp := w.lendOverALine()
		defer hangUp()
		time.Sleep(25 * time.Second)
		l.deaf.Store(true)
		if err := d.Extend(w.ctx); !errors.Is(err, jobs.ErrLeaseLost) {
			t.Errorf("extending: %v", err)
		}
		l.cut()
	})
}

func TestSuspectThatIsAnsweredIsNotLentAgain(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1)
		s := w.source("w1")
		for range suspicious {
			w.take(s, 1)
			time.Sleep(31 * time.Second) // the worker dies
		}
		d := w.take(s, 1)[0]
		w.must(d.Done(w.ctx, answer(d, "w1")))
		w.nothing(s, time.Minute)
	})
}

func TestFailuresOfEarlierDeliveriesAreRemembered(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1)
		s := w.source("w1")
		for n := range 3 {
			d := w.take(s, 1)[0]
			tried, err := d.Tried(w.ctx)
			w.must(err)
			if got := tried["small"]; got.Failed != 2*n || n > 0 && got.Kind != jobs.ServerError {
				t.Errorf("delivery %d: %+v", n+1, tried)
			}
			failed := jobs.Attempt{Call: fmt.Sprint(n), Model: "small", Kind: jobs.ServerError, Billing: jobs.Free}
			limited := jobs.Attempt{Call: fmt.Sprint(n, "l"), Model: "small", Kind: jobs.RateLimited, Billing: jobs.Free}
			w.must(d.Defer(w.ctx, time.Second, []jobs.Attempt{failed, limited, failed}))
		}
	})
}

// A call that our own stop cut short uses no try, but may have been paid for.
func TestDoubtsOfEarlierDeliveriesAreRemembered(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1)
		s := w.source("w1")
		w.must(w.take(s, 1)[0].Return(w.ctx, []jobs.Attempt{
			{Call: "1", Model: "small", Kind: jobs.Timeout, Billing: jobs.Presumed, Cost: 5},
			{Call: "2", Model: "small", Kind: jobs.ServerError, Billing: jobs.Free},
			{Call: "3", Model: "large", Kind: jobs.Interrupted, Billing: jobs.Presumed, Cost: 5},
			{Call: "4", Model: "other", Kind: jobs.Interrupted, Billing: jobs.Free},
			{Call: "5", Model: "other", Billing: jobs.Presumed, Cost: 5}, // answered, its price unknown
		}))
		tried, err := w.take(s, 1)[0].Tried(w.ctx)
		w.must(err)
		want := map[string]jobs.Tries{
			"small": {Failed: 2, Ambiguous: 1, Kind: jobs.ServerError},
			"large": {Ambiguous: 1, Kind: jobs.Interrupted},
		}
		if diff := cmp.Diff(want, tried); diff != "" {
			t.Error(diff)
		}
	})
}

func TestWasteOfOneJobIsToldApart(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 2)
		for i, d := range w.take(w.source("w1"), 2) {
			w.must(d.Defer(w.ctx, time.Second, []jobs.Attempt{paid(fmt.Sprint("call ", i), 1, 5)}))
			n := 0
			for x, err := range w.q.WastesOf(w.ctx, "b", d.Job().ID) {
				w.must(err)
				if n++; n > 1 || x.Job != d.Job().ID || x.Attempts[0].Call != fmt.Sprint("call ", i) {
					t.Errorf("job %d: %+v", i, x)
				}
			}
			if n == 0 {
				t.Errorf("job %d: nothing is told", i)
			}
		}
	})
}

// The models of all attempts, one by one, did not fit the letter's headers: the
// job came again for ever.
func TestAttemptsThatCostNothingAreNoWaste(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1)
		free, dear := paid("free", 1, 0), paid("dear", 1, 5)
		for _, attempts := range [][]jobs.Attempt{{free}, {free, dear}} {
			w.must(w.q.Waste(w.ctx, "b", jobs.NewID("b", "0"), "lost", attempts))
		}
		if wasted := w.wastedOn("b"); len(wasted) != 1 || len(wasted[0].Attempts) != 1 || wasted[0].Attempts[0].Call != "dear" {
			t.Errorf("wasted are %+v", wasted)
		}
	})
}

func TestJobOfManyAttemptsIsBuried(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1)
		d := w.take(w.source("w1"), 1)[0]
		var tried []jobs.Attempt
		for i := range 4000 {
			tried = append(tried, paid(fmt.Sprint(i), 1, 1))
		}
		w.must(d.Bury(w.ctx, death(d, jobs.Timeout, tried...)))
		for l, err := range w.q.Dead(w.ctx, DeadFilter{Model: "small"}) {
			w.must(err)
			if n := len(l.Outcome.Attempts); n != 4000 {
				t.Errorf("its letter has %d attempts", n)
			}
			return
		}
		t.Error("it has no letter")
	})
}
