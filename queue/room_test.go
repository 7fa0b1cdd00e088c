package queue

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/drover-batch/drover/internal/natstest"
	"github.com/drover-batch/drover/jobs"
)

// inNarrowWorld is inWorld for a server with little room on its disk.
func inNarrowWorld(t *testing.T, f func(w *world)) {
	t.Helper()
	t.Parallel()
	dir := natstest.Dir(t)
	synctest.Test(t, func(t *testing.T) {
		w := &world{TB: t, ctx: t.Context(), dir: dir, cfg: Config{MaxBytes: 1 << 20, StorePatience: 5 * time.Second}, store: 8 << 20}
		w.begin()
		defer w.close()
		f(w)
	})
}

// cram takes all the room there is, and returns what gives it back.
func (w *world) cram() (free func()) {
	w.Helper()
	js, err := jetstream.New(w.nc)
	w.must(err)
	_, err = js.CreateStream(w.ctx, jetstream.StreamConfig{Name: "BALLAST", Subjects: []string{"ballast"}})
	w.must(err)
	for size := 512 << 10; size >= 16; size /= 2 {
		for err == nil {
			_, err = js.Publish(w.ctx, "ballast", make([]byte, size))
		}
		if !full(err) {
			w.Fatal(err)
		}
		err = nil
	}
	return func() { w.must(js.DeleteStream(w.ctx, "BALLAST")) }
}

// keepRoom runs KeepRoom until the returned function is called, which tells
// what it told.
func (w *world) keepRoom() (stop func() []error) {
	ctx, cancel := context.WithCancel(w.ctx)
	var told []error
	var running sync.WaitGroup
	running.Go(func() { w.q.KeepRoom(ctx, func(why error) { told = append(told, why) }) })
	return func() []error {
		synctest.Wait() // for what it is about to tell
		cancel()
		running.Wait()
		return told
	}
}

func TestNothingIsLentUntilThereIsRoomAgain(t *testing.T) {
	inNarrowWorld(t, func(w *world) {
		w.enqueue(batch("b"), 3)
		s := w.source("w1")
		first := w.take(s, 1)[0]
		stop := w.keepRoom()
		free := w.cram()
		if err := first.Done(w.ctx, answer(first, "w1", paid("1", 1, 5))); !full(err) {
			t.Errorf("storing on a full disk: %v", err)
		}
		if err := w.q.Full(); !errors.Is(err, ErrNoRoom) {
			t.Errorf("there is room: %v", err)
		}
		w.nothing(s, 5*time.Minute)
		free()
		began := time.Now()
		<-w.q.Freed()
		if took := time.Since(began); took > 2*lastWait {
			t.Errorf("found out after %v", took)
		}
		for _, d := range w.take(s, 3) { // the first one comes back
			w.must(d.Done(w.ctx, answer(d, "w1")))
		}
		if n := len(w.outcomes("b")); n != 3 {
			t.Errorf("%d outcomes of 3", n)
		}
		if diff := cmp.Diff([]string{ErrNoRoom.Error(), ""}, texts(stop())); diff != "" {
			t.Error(diff)
		}
		info, err := w.q.returns.Info(w.ctx, jetstream.WithSubjectFilter(">"))
		w.must(err)
		if n := info.State.Subjects[w.q.handed("_room", "_room")]; n != 0 {
			t.Error("the trial is still there")
		}
	})
}

func texts(errs []error) []string {
	var all []string
	for _, err := range errs {
		text := ""
		if err != nil {
			text = err.Error()
		}
		all = append(all, text)
	}
	return all
}

// The queue of jobs may be full for good reasons, and workers make room there.
func TestFullQueueOfJobsDoesNotStopTheWorkers(t *testing.T) {
	inWorld(t, Config{MaxBytes: 1 << 20}, func(w *world) {
		wr, err := w.q.Enqueue(w.ctx, batch("b"))
		w.must(err)
		ctx, cancel := context.WithTimeout(w.ctx, time.Minute)
		defer cancel()
		for err == nil {
			err = wr.Add(ctx, nuid.Next(), jobs.Document{Body: make([]byte, 10_000)})
		}
		if err := w.q.Full(); err != nil {
			t.Error(err)
		}
		w.take(w.source("w1"), 5)
	})
}

func TestServerThatDoesNotAnswerIsStalled(t *testing.T) {
	inBrokenWorld(t, Config{StorePatience: time.Second}, func(w *world) {
		w.enqueue(batch("b"), 2)
		l := &line{}
		nc := w.connect(l)
		defer nc.Close()
		w.q = w.open(nc)
		d := w.take(w.source("w1"), 1)[0]
		stop := w.keepRoom()
		l.deaf.Store(true)
		_ = d.Done(w.ctx, answer(d, "w1"))
		if err := w.q.Full(); !errors.Is(err, ErrStalled) {
			t.Errorf("after %v without an answer: %v", commitTimeout, err)
		}
		freed := w.q.Freed()
		l.cut()
		<-freed
		synctest.Wait()
		if told := stop(); len(told) != 2 || told[1] != nil {
			t.Errorf("told %v", told)
		}
	})
}

func TestReplyLostWithItsConnectionIsNoStall(t *testing.T) {
	inBrokenWorld(t, Config{StorePatience: time.Second}, func(w *world) {
		w.enqueue(batch("b"), 1)
		l := &line{}
		nc := w.connect(l)
		defer nc.Close()
		w.q = w.open(nc)
		d := w.take(w.source("w1"), 1)[0]
		l.deaf.Store(true)
		time.AfterFunc(time.Second, l.cut)
		_ = d.Done(w.ctx, answer(d, "w1"))
		if err := w.q.Full(); err != nil {
			t.Error(err)
		}
	})
}

func TestElectionIsNoStall(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		r := newRoom()
		says := func(want error) {
			t.Helper()
			r.learn(w.nc, 0, 1, jetstream.ErrNoStreamResponse)
			if !errors.Is(r.why, want) {
				t.Errorf("got %v, want %v", r.why, want)
			}
		}
		says(nil)
		time.Sleep(stalledAfter - time.Second)
		says(nil)
		r.learn(w.nc, 0, 1, nil)
		time.Sleep(time.Second)
		says(nil)
		time.Sleep(stalledAfter)
		says(ErrStalled)
	})
}

// A batch that cannot be bound to for want of room is no reason to try room
// out: a stream that meets the end of the disk takes nothing any more, even
// when there is room, until its server is started again.
func TestBatchWithoutRoomForItsConsumerIsTriedAgainAndNothingElse(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		r := w.q.room
		r.learnOfBinding(&jetstream.APIError{Code: 500, ErrorCode: 10012, Description: "error creating store for consumer"})
		stop := w.keepRoom()
		time.Sleep(time.Minute)
		info, err := w.q.returns.Info(w.ctx)
		w.must(err)
		if info.State.LastSeq != 0 {
			t.Error("room was tried out")
		}
		r.learn(w.nc, 0, 1, nil) // another stream has room
		if err := w.q.Full(); !errors.Is(err, ErrNoRoom) {
			t.Errorf("got %v", err)
		}
		w.enqueue(batch("b"), 1)
		w.take(w.source("w1"), 1) // which binds
		if err := w.q.Full(); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if told := stop(); len(told) != 2 {
			t.Errorf("told %v", told)
		}
	})
}

// After a power cut an outcome that was on its way when NATS went was waited
// for until its time was up, and all those after it with it: for ten seconds,
// in which others paid for the same jobs again.
func TestOutcomesDoNotWaitForAnAnswerThatDiedWithItsConnection(t *testing.T) {
	inBrokenWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 2)
		var l line
		nc := w.connect(&l)
		defer nc.Close()
		lent := w.take(w.sourceOf(w.open(nc), "w1"), 2)
		began := time.Now()
		l.deaf.Store(true)
		time.AfterFunc(time.Second, l.cut)
		var storing sync.WaitGroup
		for i, d := range lent {
			storing.Go(func() {
				time.Sleep(time.Duration(i) * 2 * time.Second) // the second when NATS is back
				if err := d.Done(w.ctx, answer(d, "w1")); err != nil {
					t.Error(err)
				}
			})
		}
		storing.Wait()
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("storing two outcomes took %v", took)
		}
		if len(w.outcomes("b")) != 2 {
			t.Errorf("outcomes: %v", w.outcomes("b"))
		}
	})
}

// A batch found no room for its consumer and was paused before it did. Nobody
// found out any more that there was room again, and jobs of others waited for
// it.
func TestRoomForABatchThatNeedsItNoMoreIsNotWaitedFor(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		free := w.block("b")
		w.enqueue(batch("a"), 1)
		s := w.source("w1")
		w.take(s, 1)
		w.enqueue(batch("b"), 1)
		w.nothing(s, 10*time.Second)
		if err := w.q.Full(); !errors.Is(err, ErrNoRoom) {
			t.Errorf("got %v", err)
		}
		w.must(w.q.Pause(w.ctx, "b", "the disk is full"))
		free()
		ctx, cancel := context.WithTimeout(w.ctx, 5*time.Second)
		defer cancel()
		_, _ = s.Next(ctx, 1)
		if err := w.q.Full(); err != nil {
			t.Errorf("nothing is paid for: %v", err)
		}
	})
}

func TestLimitThatTheServerHasNoRoomForIsNamed(t *testing.T) {
	inNarrowWorld(t, func(w *world) {
		w.cfg.MaxBytes = 1 << 30
		err := Create(w.ctx, w.nc, w.cfg)
		if err == nil || !strings.Contains(err.Error(), "1024 MiB aside (queue.max_bytes)") {
			t.Fatalf("%v does not say what asks for how much", err)
		}
	})
}
