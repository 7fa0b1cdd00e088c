package queue

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// With every write synced the broker takes away a job a sync. Told faster than
// that it fell behind without bound, held millions of acknowledgements in
// memory, and let leases that were renewed run out.
func TestNoJobsAreTakenWhileTheBrokerIsBehindWithAcknowledgements(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 10)
		s := w.source("w1")
		told := make(chan *nats.Msg, 10)
		_, err := w.nc.ChanSubscribe("slow", told)
		w.must(err)
		done := func(reply bool) (m *nats.Msg) {
			d := w.take(s, 1)[0]
			d.(*delivery).ack = "slow"
			w.must(d.Done(w.ctx, answer(d, "w1")))
			if m = <-told; (m.Reply != "") != reply {
				t.Fatalf("asked for an answer at %q, want one: %v", m.Reply, reply)
			}
			return m
		}
		first := done(true)
		done(false) // one question at a time
		time.Sleep(mostBehind - time.Second)
		done(false)
		time.Sleep(time.Second)
		w.nothing(s, 10*time.Second)
		w.must(first.Respond(nil))
		second := done(true)

		w.must(first.Respond(nil)) // once more, and late: it is not the answer to the second
		time.Sleep(mostBehind)
		w.nothing(s, 10*time.Second)
		w.must(second.Respond(nil))
		w.take(s, 1)
	})
}

func TestLostAnswerToAnAcknowledgementIsGivenUp(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 2)
		s := w.source("w1")
		d := w.take(s, 1)[0]
		d.(*delivery).ack = "nobody.answers"
		_, err := w.nc.Subscribe("nobody.answers", func(*nats.Msg) {})
		w.must(err)
		w.must(d.Done(w.ctx, answer(d, "w1")))
		time.Sleep(mostBehind)
		w.nothing(s, 10*time.Second)
		time.Sleep(givenUp)
		w.take(s, 1)
	})
}

// A server that was killed had forgotten whom it lent a job to, and does not
// answer the acknowledgement of one that it has not lent: workers took no jobs
// for a minute.
func TestAcknowledgementThatAKilledServerDoesNotKnowHoldsNobodyUp(t *testing.T) {
	inBrokenWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 2)
		s := w.source("w1")
		d := w.take(s, 1)[0]
		w.stop()
		states, err := filepath.Glob(filepath.Join(w.dir, "jetstream", "*", "streams", "DROVER_JOBS", "obs", "b", "o.dat"))
		w.must(err)
		if len(states) != 1 {
			t.Fatalf("the consumer's state is in %v", states)
		}
		w.must(os.Remove(states[0]))
		w.start()
		time.Sleep(time.Second)
		w.must(d.Done(w.ctx, answer(d, "w1")))
		began := time.Now()
		time.Sleep(settleFirst) // in which nothing would be lent
		w.take(s, 1)
		if took := time.Since(began); took > 2*settleFirst {
			t.Errorf("the next job was lent after %v", took)
		}
	})
}
