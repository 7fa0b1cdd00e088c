package queue

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/drover-batch/drover/jobs"
)

// there is how many jobs the stream has, done ones included.
func (w *world) there(id string) (sum int64) {
	w.Helper()
	all, _, err := w.q.present(w.ctx, w.q.names.jobs(id))
	w.must(err)
	if all[id] == nil {
		return 0
	}
	for _, n := range all[id].parts {
		sum += n
	}
	return sum
}

func (w *world) answerAll(lent []jobs.Delivery) {
	w.Helper()
	for _, d := range lent {
		w.must(d.Done(w.ctx, answer(d, "w1")))
	}
}

func TestJobsThatAreDoneAreTakenAwayTogether(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		const n = 2*partJobs + 500
		w.enqueue(batch("b"), n)
		s := w.source("w1")
		w.answerAll(w.take(s, partJobs-1))
		w.take(s, 1)[0].Defer(w.ctx, time.Hour, nil) //nolint:errcheck // it is here to hold up the others
		if got := w.there("b"); got != n {
			t.Errorf("%d jobs are there, want %d: not one is worth taking away by itself", got, n)
		}
		w.answerAll(w.take(s, partJobs))
		time.Sleep(refreshEvery)
		w.answerAll(w.take(s, 1))
		if got := w.there("b"); got != n-(partJobs-1) {
			t.Errorf("%d jobs are there, want %d: those before the one that is not done are taken away", got, n-(partJobs-1))
		}
		if p := w.progress("b"); p.Queued != 499 || p.Running != 1 {
			t.Errorf("progress %+v, want 499 waiting and one deferred", p)
		}
		w.answerAll(w.take(s, 499))
		time.Sleep(time.Hour)
		w.answerAll(w.take(s, 1))
		w.nothing(s, 5*time.Second)
		if p := w.progress("b"); p.State != jobs.Finished || w.there("b") != 0 {
			t.Errorf("%+v and %d jobs are there, want it finished and none", p, w.there("b"))
		}
		if got := len(w.outcomes("b")); got != n {
			t.Errorf("%d outcomes, want %d", got, n)
		}
	})
}

// Each time that many are taken away at once the broker counts what every
// consumer of the stream has left. A thousand small batches took it 88 ms each to
// end.
func TestManySmallBatchesEndWithoutCountingAllOthersEachTime(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		const n = 60
		var purges atomic.Int64
		_, err := w.nc.Subscribe("$JS.EVENT.ADVISORY.API", func(m *nats.Msg) {
			if strings.Contains(string(m.Data), "STREAM.PURGE.DROVER_JOBS") && strings.Contains(string(m.Data), "drover.jobs.") {
				purges.Add(1)
			}
		})
		w.must(err)
		for i := range n {
			w.enqueue(batch(fmt.Sprint("b", i)), 2)
		}
		s := w.source("w1")
		w.answerAll(w.take(s, 2*n))
		for range n {
			w.nothing(s, time.Second)
		}
		for i := range n {
			id := fmt.Sprint("b", i)
			if p := w.progress(id); p.State != jobs.Finished || w.there(id) != 0 {
				t.Errorf("%s: %+v and %d jobs are there, want it finished and none", id, p, w.there(id))
			}
		}
		if got := purges.Load(); got > n/2 {
			t.Errorf("%d times jobs were taken away at once, want no more than %d", got, n/2)
		}
	})
}

func TestTwoWorkersMayTakeTheSameJobsAway(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 20)
		done := make(chan error)
		for range 2 {
			go func() { done <- w.q.pick(w.ctx, "b", 19) }()
		}
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if got := w.there("b"); got < 1 || got > 2 {
			t.Errorf("%d jobs are there, want those behind", got)
		}
	})
}

func TestQueueThatIsFullOfDoneJobsHasRoom(t *testing.T) {
	inWorld(t, Config{MaxBytes: 1 << 20}, func(w *world) {
		wr, err := w.q.Enqueue(w.ctx, batch("b"))
		w.must(err)
		s := w.source("w1")
		const n, size = 60, 32 << 10 // twice what the queue holds
		enqueued := make(chan error, 1)
		go func() {
			for i := range n {
				if err := wr.Add(w.ctx, string(rune('A'+i)), jobs.Document{Body: make([]byte, size)}); err != nil {
					enqueued <- err
					return
				}
			}
			enqueued <- wr.Close(w.ctx)
		}()
		for range n {
			w.answerAll(w.take(s, 1))
		}
		w.must(<-enqueued)
	})
}

func TestRestartDealsAnewOnlyWhatIsNotDone(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 10)
		s := w.source("killed")
		lent := w.take(s, 6)
		w.answerAll(lent[:4])
		w.must(s.Close())
		w.flush()
		synctest.Wait() // the broker takes acknowledgements in when it comes to it
		w.must(w.q.Reclaim(w.ctx))
		if p := w.progress("b"); p.Queued != 6 || p.Running != 0 {
			t.Errorf("progress %+v, want 6 waiting", p)
		}
		again := w.take(w.source("next"), 6)
		if got := again[0].Job().CustomID; got != lent[4].Job().CustomID {
			t.Errorf("%s comes first, want %s", got, lent[4].Job().CustomID)
		}
		if again[0].Fresh() && !again[0].Batch().Resumed {
			t.Error("it would not be looked up")
		}
	})
}

// The queue counts on what the batch's consumer says is done. A job that was
// stored just now and of which it has not heard must not be taken for done.
func TestJobThatIsReplayedAsTheBatchEndsIsNotTakenAway(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		s, d := w.lendOne(batch("b"))
		w.must(d.Bury(w.ctx, death(d, jobs.Timeout, paid("c1", 1, 3))))
		l := w.letter("b", d.Job().ID)
		at, err := w.q.standing(w.ctx, "b")
		w.must(err)
		w.must(w.q.Replay(w.ctx, l))
		w.must(w.q.trim(w.ctx, "b", at)) // somebody's, who counted before
		if got := w.take(s, 1)[0].Job().Run; got != 2 {
			t.Errorf("run %d, want the replay", got)
		}
	})
}

func TestJobThatItsConsumerHasNotHeardOfIsLeft(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1)
		deaf := w.q.consumerConfig("b")
		deaf.FilterSubject = w.q.names.job("b", "another-part")
		_, err := w.q.js.CreateConsumer(w.ctx, w.q.stream("JOBS"), deaf)
		w.must(err)
		at, err := w.q.standing(w.ctx, "b")
		w.must(err)
		if at.left() == 0 {
			t.Error("the batch is taken to be over")
		}
	})
}

func TestQueueOfAnEarlierBuildIsRefused(t *testing.T) {
	inWorld(t, Config{Prefix: "new"}, func(w *world) {
		_, err := w.q.js.CreateStream(w.ctx, jetstream.StreamConfig{
			Name: "OLD_JOBS", Subjects: []string{"old.jobs.*"}, Retention: jetstream.WorkQueuePolicy,
		})
		w.must(err)
		for _, err := range []error{
			Create(w.ctx, w.nc, Config{Prefix: "old"}),
			func() error { _, err := Open(w.ctx, w.nc, Config{Prefix: "old"}); return err }(),
		} {
			if err == nil || !strings.Contains(err.Error(), "stream OLD_JOBS is of an earlier build") {
				t.Errorf("error %v", err)
			}
		}
	})
}
