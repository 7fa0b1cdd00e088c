package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/drover-batch/drover/jobs"
)

// costs is what the book has of a batch, by model.
func (w *world) costs(id string) map[string]jobs.USD {
	w.Helper()
	sums := map[string]jobs.USD{}
	for s, err := range w.q.book(w.ctx, id+".>") {
		w.must(err)
		sums[s.Model] += s.Cost
	}
	return sums
}

// traces are the subjects of all streams that still name a batch, but for what
// the book keeps.
func (w *world) traces(id string) (subjects []string) {
	w.Helper()
	for s := range w.q.js.ListStreams(w.ctx).Info() {
		stream, err := w.q.js.Stream(w.ctx, s.Config.Name)
		w.must(err)
		info, err := stream.Info(w.ctx, jetstream.WithSubjectFilter(">"))
		w.must(err)
		for subject := range info.State.Subjects {
			if strings.Contains(subject, "."+id) && !strings.Contains(subject, string(removed)) && !strings.HasPrefix(subject, "$KV.") {
				subjects = append(subjects, subject)
			}
		}
	}
	return subjects
}

func TestRemovedBatchLeavesItsCostAndNothingElse(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("stays"), 1)
		w.enqueue(batch("goes"), 3)
		s := w.source("w1")
		for i, d := range w.take(s, 4) {
			a := paid(d.Batch().ID+string(d.Job().ID), 1, 10)
			a.Started = time.Now()
			switch {
			case d.Batch().ID == "stays", i%2 == 0:
				w.must(d.Done(w.ctx, answer(d, "w1", a)))
			default:
				w.must(d.Bury(w.ctx, death(d, jobs.Refused, a)))
			}
		}
		w.must(w.q.Waste(w.ctx, "goes", jobs.NewID("goes", "0"), "lost", []jobs.Attempt{paid("wasted", 1, 5)}))
		before, stays := w.costs("goes"), w.costs("stays")

		w.must(w.q.Remove(w.ctx, "goes"))
		if after := w.costs("goes"); after["small"] != before["small"] || after["small"] == 0 {
			t.Errorf("the book has %v of it, and had %v", after, before)
		}
		if left := w.traces("goes"); len(left) > 0 {
			t.Errorf("there is %q left", left)
		}
		if _, err := w.q.Batch(w.ctx, "goes"); !errors.Is(err, ErrNoBatch) {
			t.Errorf("the batch is there: %v", err)
		}
		if got := w.costs("stays"); got["small"] != stays["small"] {
			t.Errorf("another batch has cost %v, and had %v", got, stays)
		}
		if n := len(w.outcomes("stays")); n != 1 {
			t.Errorf("another batch has %d outcomes left", n)
		}

		// The same input makes the same batch once more, and all of it counts.
		time.Sleep(time.Second)
		w.enqueue(batch("goes"), 1)
		d := w.take(s, 1)[0]
		w.must(d.Done(w.ctx, answer(d, "w1", paid("again", 1, 7))))
		w.must(w.q.Remove(w.ctx, "goes"))
		if after := w.costs("goes"); after["small"] != before["small"]+7 {
			t.Errorf("the book has %v of both", after)
		}
	})
}

func TestRemovalThatWasCutOffIsFinishedAndCountsNothingTwice(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 2)
		for _, d := range w.take(w.source("w1"), 2) {
			w.must(d.Done(w.ctx, answer(d, "w1", paid(string(d.Job().ID), 1, 10))))
		}
		w.must(w.q.Waste(w.ctx, "b", jobs.NewID("b", "0"), "lost", []jobs.Attempt{paid("wasted", 1, 5)}))
		_, err := w.q.finish(w.ctx, "b")
		w.must(err)
		m, err := w.q.update(w.ctx, "b", func(m *manifest) error { m.Removed = true; return nil })
		w.must(err)
		w.must(w.q.sumUp(w.ctx, m))
		w.must(w.q.outcomes.Purge(w.ctx)) // and whoever removes it dies
		late := paid("late", 1, 3)
		w.must(w.q.Waste(w.ctx, "b", jobs.NewID("b", "1"), "a frozen worker thawed", []jobs.Attempt{late}))

		if err := w.q.Replay(w.ctx, &jobs.DeadLetter{Job: &jobs.Job{Batch: "b"}}); !errors.Is(err, ErrNoBatch) {
			t.Errorf("it takes a replay: %v", err)
		}
		w.must(w.q.Remove(w.ctx, "b"))
		if got := w.costs("b")["small"]; got != 28 {
			t.Errorf("the book has %v of it, expected 28", got)
		}
	})
}

func TestBatchAtWorkIsNotRemoved(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1)
		if err := w.q.Remove(w.ctx, "b"); !errors.Is(err, ErrNotOver) {
			t.Errorf("it is removed: %v", err)
		}
		d := w.take(w.source("w1"), 1)[0]
		w.must(d.Done(w.ctx, answer(d, "w1")))
		w.must(w.q.Remove(w.ctx, "b"))
	})
}

func TestLargeDocumentsGoWithTheirBatch(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		for _, id := range []string{"stays", "goes"} {
			wr, err := w.q.Enqueue(w.ctx, batch(id))
			w.must(err)
			w.must(wr.Add(w.ctx, "large", jobs.Document{Body: make([]byte, 2<<20)}))
			w.must(wr.Close(w.ctx))
		}
		s := w.source("w1")
		for _, d := range w.take(s, 2) {
			w.must(d.Done(w.ctx, answer(d, "w1")))
		}
		w.must(w.q.Remove(w.ctx, "goes"))
		all, err := w.q.docs.List(w.ctx)
		w.must(err)
		if len(all) != 1 || all[0].Metadata[batchKey] != "stays" {
			t.Errorf("%d documents are left", len(all))
		}
	})
}

// Removing needs a little room itself, for the sum.
func TestRemovalOnAFullDiskTakesNothingAway(t *testing.T) {
	inNarrowWorld(t, func(w *world) {
		w.enqueue(batch("b"), 1)
		d := w.take(w.source("w1"), 1)[0]
		w.must(d.Done(w.ctx, answer(d, "w1", paid("1", 1, 5))))
		_, err := w.q.finish(w.ctx, "b")
		w.must(err)
		free := w.cram()
		if err := w.q.Remove(w.ctx, "b"); !full(err) {
			t.Errorf("removing on a full disk: %v", err)
		}
		if n, cost := len(w.outcomes("b")), w.costs("b")["small"]; n != 1 || cost != 5 {
			t.Errorf("there are %d outcomes left, of %v", n, cost)
		}
		free()
		w.must(w.q.Remove(w.ctx, "b"))
		if cost := w.costs("b")["small"]; cost != 5 {
			t.Errorf("the book has %v of it", cost)
		}
	})
}

func TestRemovedBatchHasCostWhatItDidByModelBillingAndTime(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1)
		d := w.take(w.source("w1"), 1)[0]
		var attempts []jobs.Attempt
		for i, model := range []string{"small", "large", "small", "large"} {
			a := paid(model+string(rune('0'+i)), 1, jobs.USD(1+i))
			a.Model = model
			attempts = append(attempts, a)
		}
		attempts[2].Billing = jobs.Presumed
		attempts[3].Started = attempts[3].Started.Add(-time.Hour)
		w.must(d.Done(w.ctx, answer(d, "w1", append(attempts, paid("small too", 1, 50))...)))

		costs := func() map[jobs.Spend]jobs.USD {
			sums := map[jobs.Spend]jobs.USD{}
			for s, err := range w.q.Book(w.ctx) {
				w.must(err)
				sums[jobs.Spend{Model: s.Model, Billing: s.Billing, At: s.At.Truncate(kept).UTC()}] += s.Cost
			}
			return sums
		}
		before := costs()
		w.must(w.q.Remove(w.ctx, "b"))
		if after := costs(); len(before) != 4 || !maps.Equal(after, before) {
			t.Errorf("the book has %v of it, and had %v", after, before)
		}
		if calls := w.spends(); len(calls) != len(before) {
			t.Errorf("its calls are not summed up: %v", calls)
		}
	})
}

// stubborn is a stream from which nothing can be taken away.
type stubborn struct{ jetstream.Stream }

func (stubborn) Purge(context.Context, ...jetstream.StreamPurgeOpt) error {
	return jetstream.ErrNoStreamResponse
}

func TestLetterOfABatchThatIsBeingRemovedIsNotReplayed(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		_, d := w.lendOne(batch("b"))
		w.must(d.Bury(w.ctx, death(d, jobs.Refused, paid("1", 1, 3))))
		l := w.letter("b", d.Job().ID)
		q := w.open(w.nc)
		q.dead.Stream = stubborn{q.dead.Stream}
		if err := q.Remove(w.ctx, "b"); !errors.Is(err, jetstream.ErrNoStreamResponse) {
			t.Errorf("removing: %v", err)
		}
		if err := w.q.Replay(w.ctx, l); !errors.Is(err, ErrNoBatch) {
			t.Errorf("it is summed up, and takes a replay: %v", err)
		}
	})
}

func TestSumTooLargeForAMessageOutlivesItsBatch(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1)
		d := w.take(w.source("w1"), 1)[0]
		w.must(d.Done(w.ctx, answer(d, "w1", paid("1", 1, 3))))
		for day := range 10 { // of calls at many times
			var attempts []jobs.Attempt
			for i := range 1000 {
				a := paid(fmt.Sprintf("%d/%d", day, i), 1, 1)
				a.Started = a.Started.Add(-kept * time.Duration(1000*day+i))
				attempts = append(attempts, a)
			}
			w.must(w.q.Waste(w.ctx, "b", jobs.NewID("b", "0"), "lost", attempts))
		}
		w.must(w.q.Remove(w.ctx, "b"))
		if got := w.costs("b")["small"]; got != 10_003 {
			t.Errorf("the book has %v of it", got)
		}
	})
}

func TestEverySumOfABatchThatWasMadeAnewStays(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		for i := range 4 {
			w.enqueue(batch("b"), 1)
			d := w.take(w.source(fmt.Sprint("w", i)), 1)[0]
			w.must(d.Done(w.ctx, answer(d, "w1", paid(fmt.Sprint(i), 1, 5))))
			w.must(w.q.Waste(w.ctx, "b", jobs.NewID("b", "0"), "lost", []jobs.Attempt{paid(fmt.Sprint("lost ", i), 1, 2)}))
			w.must(w.q.Remove(w.ctx, "b"))
			if got := w.costs("b")["small"]; got != jobs.USD(7*(i+1)) {
				t.Errorf("after removal %d the book has %v of it", i+1, got)
			}
			time.Sleep(time.Second) // so that the next is another
		}
		if left := w.traces("b"); len(left) > 0 {
			t.Errorf("there is %q left", left)
		}
	})
}
