package queue

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-batch/drover/jobs"
)

// step is a paid attempt of a job of several calls.
func step(call string, run int, cost jobs.USD) jobs.Attempt {
	a := paid(call, run, cost)
	a.Step = "turn"
	return a
}

func checkpoint(state string, attempts ...jobs.Attempt) *jobs.Checkpoint {
	return &jobs.Checkpoint{State: json.RawMessage(state), Attempts: attempts}
}

// checkpoints is how many are on record.
func (w *world) checkpoints() uint64 {
	w.Helper()
	info, err := w.q.steps.Info(w.ctx)
	w.must(err)
	return info.State.Msgs
}

func (w *world) wantBook(want map[string]jobs.USD) {
	w.Helper()
	if got := w.spends(); !maps.Equal(got, want) {
		w.Errorf("the book is %v, expected %v", got, want)
	}
}

func TestNextDeliveryGoesOnAtTheCheckpoint(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1)
		first := w.take(w.source("w1"), 1)[0]
		if c, err := first.Resume(w.ctx); c != nil || err != nil {
			t.Errorf("a first delivery goes on at %v, %v", c, err)
		}
		one, two := step("1", 1, 10), step("2", 1, 20)
		w.must(first.Checkpoint(w.ctx, checkpoint(`"one"`, one)))
		w.must(first.Checkpoint(w.ctx, checkpoint(`"two"`, one, two)))
		w.wantBook(map[string]jobs.USD{"1": 10, "2": 20})
		if wasted := w.wastedOn("b"); len(wasted) > 0 {
			t.Errorf("steps of a job that goes on are waste: %+v", wasted)
		}

		time.Sleep(31 * time.Second) // and its worker is dead
		second := w.take(w.source("w2"), 1)[0]
		c, err := second.Resume(w.ctx)
		w.must(err)
		if diff := cmp.Diff(checkpoint(`"two"`, one, two), c); diff != "" {
			t.Error(diff)
		}
		if err := first.Checkpoint(w.ctx, checkpoint(`"late"`, one)); !errors.Is(err, jobs.ErrLeaseLost) {
			t.Errorf("the first one's checkpoint: %v", err)
		}
		three := step("3", 1, 30)
		w.must(second.Checkpoint(w.ctx, checkpoint(`"three"`, one, two, three)))
		w.must(second.Done(w.ctx, answer(second, "w2", one, two, three, step("4", 1, 40))))
		w.wantBook(map[string]jobs.USD{"1": 10, "2": 20, "3": 30, "4": 40})
		if n := w.checkpoints(); n != 0 {
			t.Errorf("%d checkpoints are left", n)
		}
	})
}

func TestJobThatHadNoStepBeginsWithItsFirst(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		s, d := w.lendOne(batch("b"))
		w.must(d.Return(w.ctx, nil))
		d = w.take(s, 1)[0]
		if c, err := d.Resume(w.ctx); c != nil || err != nil {
			t.Errorf("it goes on at %v, %v", c, err)
		}
		w.must(d.Checkpoint(w.ctx, checkpoint(`1`, step("1", 1, 10))))
		w.wantBook(map[string]jobs.USD{"1": 10})
	})
}

func TestHandedBackStepsAreNoWaste(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		s, d := w.lendOne(batch("b"))
		one := step("1", 1, 10)
		w.must(d.Checkpoint(w.ctx, checkpoint(`1`, one)))
		w.must(d.Return(w.ctx, []jobs.Attempt{one, step("2", 1, 20)}))
		w.wantBook(map[string]jobs.USD{"1": 10, "2": 20})
		if wasted := w.wastedOn("b"); len(wasted) != 1 || wasted[0].Attempts[0].Call != "2" {
			t.Errorf("wasted are %+v", wasted)
		}

		d = w.take(s, 1)[0]
		c, err := d.Resume(w.ctx)
		w.must(err)
		w.must(d.Return(w.ctx, c.Attempts))
		w.wantBook(map[string]jobs.USD{"1": 10, "2": 20})
		if wasted := w.wastedOn("b"); len(wasted) != 1 {
			t.Errorf("wasted are %+v", wasted)
		}
	})
}

func TestStepsOfAJobThatEndedWithoutThemAreWaste(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		s, d := w.lendOne(batch("b"))
		w.must(d.Checkpoint(w.ctx, checkpoint(`1`, step("1", 1, 10))))
		w.must(d.Return(w.ctx, nil))
		_, err := w.q.Cancel(w.ctx, "b")
		w.must(err)
		w.onlySettled(s, 2*time.Second)
		wasted := w.wastedOn("b")
		if len(wasted) != 1 || wasted[0].Reason != unfinished || wasted[0].Tenant != "acme" || wasted[0].Attempts[0].Call != "1" {
			t.Errorf("wasted are %+v", wasted)
		}
		w.wantBook(map[string]jobs.USD{"1": 10})
		for range w.q.WastesOf(w.ctx, "b", d.Job().ID) {
			return
		}
		t.Error("it is no waste of the job's")
	})
}

func TestCheckpointOfOneWhoLostTheJobIsRefused(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1)
		slow := w.take(w.source("w1"), 1)[0].(*delivery)
		one := step("1", 1, 10)
		w.must(slow.Checkpoint(w.ctx, checkpoint(`1`, one)))
		time.Sleep(31 * time.Second)
		other := w.take(w.source("w2"), 1)[0]
		_, err := other.Resume(w.ctx)
		w.must(err)
		two := step("2", 1, 20)
		w.must(other.Checkpoint(w.ctx, checkpoint(`2`, one, two)))

		slow.expires = time.Now().Add(time.Hour) // it does not know
		if err := slow.Checkpoint(w.ctx, checkpoint(`3`, one, step("3", 1, 30))); !errors.Is(err, jobs.ErrLeaseLost) {
			t.Errorf("it is told %v", err)
		}
		// Its answer comes first all the same.
		w.must(w.q.Settle(w.ctx, slow.Job(), answer(slow, "w1", one, step("3", 1, 30))))
		w.wantBook(map[string]jobs.USD{"1": 10, "2": 20, "3": 30})
		if err := other.Done(w.ctx, answer(other, "w2", one, two)); !errors.Is(err, jobs.ErrSettled) {
			t.Errorf("the second answer: %v", err)
		}
		w.wantBook(map[string]jobs.USD{"1": 10, "2": 20, "3": 30})
		if wasted := w.wastedOn("b"); len(wasted) != 1 || len(wasted[0].Attempts) != 1 || wasted[0].Attempts[0].Call != "2" {
			t.Errorf("wasted are %+v", wasted)
		}
	})
}

func TestReplayBeginsAnewAndForgetsNoStep(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		s, d := w.lendOne(batch("b"))
		w.must(d.Checkpoint(w.ctx, checkpoint(`1`, step("1", 1, 10))))
		w.must(d.Bury(w.ctx, death(d, jobs.Poison))) // by somebody who did not know
		l := w.letter("b", d.Job().ID)
		w.must(w.q.Replay(w.ctx, l))
		d = w.take(s, 1)[0]
		if c, err := d.Resume(w.ctx); c != nil || err != nil {
			t.Errorf("the replay goes on at %v, %v", c, err)
		}
		two := step("2", 2, 20)
		w.must(d.Checkpoint(w.ctx, checkpoint(`2`, two)))
		w.wantBook(map[string]jobs.USD{"1": 10, "2": 20})
		w.must(d.Done(w.ctx, answer(d, "w1", two)))
		w.wantBook(map[string]jobs.USD{"1": 10, "2": 20})
	})
}

func TestLargeCheckpointTravels(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1)
		d := w.take(w.source("w1"), 1)[0]
		state, err := json.Marshal(string(bytes.Repeat([]byte("long "), 1<<19)))
		w.must(err)
		w.must(d.Checkpoint(w.ctx, checkpoint(string(state), step("1", 1, 10))))
		time.Sleep(31 * time.Second)
		c, err := w.take(w.source("w2"), 1)[0].Resume(w.ctx)
		w.must(err)
		if !bytes.Equal(c.State, state) {
			t.Errorf("%d bytes of %d", len(c.State), len(state))
		}
		w.wantBook(map[string]jobs.USD{"1": 10})
	})
}

func TestCheckpointWithALostReplyIsRecognised(t *testing.T) {
	inBrokenWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1)
		l, d, hangUp := w.lendOverALine()
		defer hangUp()
		l.deaf.Store(true)
		go func() {
			time.Sleep(time.Second)
			l.cut()
		}()
		one := step("1", 1, 10)
		if err := d.Checkpoint(w.ctx, checkpoint(`1`, one)); errors.Is(err, jobs.ErrLeaseLost) {
			t.Errorf("its own checkpoint is taken for another's: %v", err)
		}
		time.Sleep(2 * time.Second)
		w.must(d.Checkpoint(w.ctx, checkpoint(`2`, one, step("2", 1, 20))))
		w.wantBook(map[string]jobs.USD{"1": 10, "2": 20})
	})
}

// The replies to two checkpoints were lost, or the second was never stored. The
// third then took the first for another worker's, and the job began anew.
func TestCheckpointsWithLostRepliesAreRecognised(t *testing.T) {
	inBrokenWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1)
		l, d, hangUp := w.lendOverALine()
		defer hangUp()
		l.deaf.Store(true)
		one, two := step("1", 1, 10), step("2", 1, 20)
		if err := d.Checkpoint(w.ctx, checkpoint(`1`, one)); err == nil {
			t.Error("nothing was lost")
		}
		w.stop()
		l.deaf.Store(false)
		if err := d.Checkpoint(w.ctx, checkpoint(`2`, one, two)); err == nil {
			t.Error("it is stored while NATS is away")
		}
		w.start()
		time.Sleep(2 * time.Second)
		w.must(d.Checkpoint(w.ctx, checkpoint(`3`, one, two, step("3", 1, 30))))
		w.wantBook(map[string]jobs.USD{"1": 10, "2": 20, "3": 30})
	})
}
