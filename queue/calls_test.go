package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/drover-batch/drover/jobs"
)

func newCall(id string) *jobs.Call {
	return &jobs.Call{ID: id, Job: jobs.ID("job-of-" + id), Batch: "b", Tenant: "acme", Model: &jobs.Model{Name: "small"}, Worst: 100}
}

func (w *world) callLog(worker string) *CallLog {
	w.Helper()
	l, err := w.q.CallLog(w.ctx, worker, nil)
	w.must(err)
	return l
}

func (w *world) begins(l *CallLog, ids ...string) {
	w.Helper()
	for _, id := range ids {
		w.must(l.Begin(w.ctx, newCall(id), l.Generation()))
	}
}

func (w *world) inFlight() []string {
	w.Helper()
	calls, err := w.q.InFlight(w.ctx)
	w.must(err)
	ids := make([]string, len(calls))
	for i, s := range calls {
		ids[i] = s.Call
	}
	slices.Sort(ids)
	return ids
}

func (w *world) wantInFlight(want ...string) {
	w.Helper()
	if got := w.inFlight(); !slices.Equal(got, want) {
		w.Errorf("in flight are %q, want %q", got, want)
	}
}

func TestCallIsInFlightFromItsBeginToItsEnd(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		a, b := w.callLog("a"), w.callLog("b")
		w.begins(a, "1", "2", "3")
		w.begins(b, "4", "5")
		a.End("2", "of somebody else", "4")
		time.Sleep(time.Second)
		w.wantInFlight("1", "3", "4", "5")
		calls, err := w.q.InFlight(w.ctx)
		w.must(err)
		want := jobs.Spend{
			Call: "1", Job: "job-of-1", Batch: "b", Tenant: "acme", Model: "small", At: calls[0].At, Cost: 100, Billing: jobs.Presumed,
		}
		if calls[0] != want || time.Since(want.At) > 2*time.Second {
			t.Errorf("got %+v", calls[0])
		}
		a.End("1", "3")
		a.Close(w.ctx)
		b.End("5")
		b.Close(w.ctx)
		w.wantInFlight("4")
		if subjects, err := w.q.callLogs(w.ctx); err != nil || len(subjects) != 1 {
			t.Errorf("left are %q: only b has a call in flight: %v", subjects, err)
		}
	})
}

func TestCallsThatBeginTogetherShareAMessage(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		l := w.callLog("a")
		var group sync.WaitGroup
		for i := range 400 {
			group.Go(func() {
				if err := l.Begin(w.ctx, newCall(fmt.Sprint(i)), 0); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		info, err := w.q.calls.Info(w.ctx)
		w.must(err)
		if n := info.State.Msgs; n > 100 || len(w.inFlight()) != 400 {
			t.Errorf("400 calls took %d messages, %d are in flight", n, len(w.inFlight()))
		}
		l.Close(w.ctx)
	})
}

func TestCallAdmittedBeforeTheCountNeverGetsOnRecord(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		l := w.callLog("a")
		w.begins(l, "1")
		before := l.Generation()
		w.wantInFlight("1")
		if err := l.Begin(w.ctx, newCall("2"), before); !errors.Is(err, ErrFenced) {
			t.Errorf("got %v", err)
		}
		if err := l.Begin(w.ctx, newCall("3"), before); !errors.Is(err, ErrFenced) {
			t.Errorf("a later one: got %v", err)
		}
		w.begins(l, "4")
		w.wantInFlight("1", "4")
		l.End("1", "4")
		l.Close(w.ctx)
		if subjects, err := w.q.callLogs(w.ctx); err != nil || len(subjects) > 0 {
			t.Errorf("left are %q: no call is in flight: %v", subjects, err)
		}
	})
}

func TestBeginWhoseReplyIsLostIsOnRecordOnce(t *testing.T) {
	inBrokenWorld(t, Config{}, func(w *world) {
		var l line
		nc := w.connect(&l)
		defer nc.Close()
		log, err := w.open(nc).CallLog(w.ctx, "a", nil)
		w.must(err)
		l.deaf.Store(true)
		time.AfterFunc(3*time.Second, l.cut)
		w.must(log.Begin(w.ctx, newCall("1"), log.Generation()))
		w.must(log.Begin(w.ctx, newCall("2"), log.Generation()))
		w.wantInFlight("1", "2")
		log.Close(w.ctx)
	})
}

func TestNoCallBeginsWhileTheBrokerIsAway(t *testing.T) {
	inBrokenWorld(t, Config{}, func(w *world) {
		l := w.callLog("a")
		w.stop()
		began := time.Now()
		if err := l.Begin(w.ctx, newCall("1"), l.Generation()); err == nil || time.Since(began) > beginPatience {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		w.start()
		time.Sleep(settleFirst + time.Second)
		w.wantInFlight()
		if err := l.Begin(w.ctx, newCall("counted"), l.Generation()); !errors.Is(err, ErrFenced) {
			t.Errorf("got %v", err)
		}
		w.begins(l, "2")
		w.wantInFlight("2")
		l.Close(w.ctx)
	})
}

func TestRecordOfALongLifeIsShort(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		l := w.callLog("a")
		w.begins(l, "long")
		for i := range 4 * trimEvery {
			id := fmt.Sprint(i)
			w.begins(l, id)
			l.End(id)
			if i%trimEvery == 0 {
				calls, err := w.q.OnRecord(w.ctx)
				w.must(err)
				if !slices.ContainsFunc(calls, func(s jobs.Spend) bool { return s.Call == "long" }) {
					t.Fatalf("after %d messages on record are %+v", i, calls)
				}
			}
		}
		info, err := w.q.calls.Info(w.ctx)
		w.must(err)
		if n := info.State.Msgs; n > 3*trimEvery {
			t.Errorf("%d messages are kept of %d", n, 4*trimEvery)
		}
		time.Sleep(time.Second)
		w.wantInFlight("long")
		l.Close(w.ctx)
	})
}

func TestRecordOfASilentWorkerIsForgottenAndBegunAnew(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		l := w.callLog("a")
		w.begins(l, "1")
		time.Sleep(time.Minute)
		if silent, err := w.q.Abandoned(w.ctx, 2*time.Minute); err != nil || len(silent) > 0 {
			t.Errorf("silent for a minute: %+v, %v", silent, err)
		}
		silent, err := w.q.Abandoned(w.ctx, time.Minute)
		w.must(err)
		if len(silent) != 1 || len(silent[0].Calls) != 1 || silent[0].Calls[0].Call != "1" {
			t.Fatalf("got %+v", silent)
		}
		w.must(w.q.Forget(w.ctx, silent[0]))
		w.wantInFlight()
		if err := l.Begin(w.ctx, newCall("2"), l.Generation()); !errors.Is(err, ErrFenced) { // it is alive after all
			t.Errorf("got %v", err)
		}
		before := l.Generation()
		w.wantInFlight() // finds the new record
		if err := l.Begin(w.ctx, newCall("3"), before); !errors.Is(err, ErrFenced) {
			t.Errorf("got %v", err)
		}
		w.begins(l, "4")
		w.wantInFlight("4")
		l.Close(w.ctx)
	})
}

// afterwards runs something once after a reader has begun to read a stream.
type afterwards struct {
	jetstream.Stream
	do func(jetstream.Stream)
}

func (s *afterwards) CreateConsumer(ctx context.Context, c jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	reader, err := s.Stream.CreateConsumer(ctx, c)
	if do := s.do; do != nil {
		s.do = nil
		do(s.Stream)
	}
	return reader, err
}

func TestEndedCallsSeemedOpenWhenTwoReplicasLookedIntoARecordAtOnce(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		l := w.callLog("a")
		w.begins(l, "1")
		l.End("1")
		time.Sleep(5 * time.Minute)
		real := w.q.calls
		w.q.calls = &afterwards{real, func(calls jetstream.Stream) { // the other one removes it, and its end goes unread
			last, err := lastOn(w.ctx, calls, l.subject)
			w.must(err)
			w.must(calls.DeleteMsg(w.ctx, last.Sequence))
		}}
		silent, err := w.q.Abandoned(w.ctx, time.Minute)
		w.q.calls = real
		if err != nil || len(silent) > 0 {
			t.Errorf("got %+v, %v", silent, err)
		}
		l.Close(w.ctx)
	})
}

func TestReclaimPresumesWhatWasInFlight(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 2)
		s := w.source("killed")
		lent := w.take(s, 2)
		l := w.callLog("killed")
		for i, d := range lent {
			c := newCall(fmt.Sprint(i))
			c.Job = d.Job().ID
			w.must(l.Begin(w.ctx, c, l.Generation()))
		}
		w.must(lent[0].Done(w.ctx, answer(lent[0], "killed", paid("0", 1, 30)))) // and dies before it can say so
		w.must(s.Close())
		w.must(w.q.Reclaim(w.ctx))
		if book := w.spends(); len(book) != 2 || book["0"] != 30 || book["1"] != 100 {
			t.Errorf("the book is %v", book)
		}
		w.wantInFlight()
	})
}
