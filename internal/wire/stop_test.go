package wire

import (
	"strings"
	"testing"
	"time"

	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/llm/simulator"
)

func TestStopHandsBackAndPaysForNothingTwice(t *testing.T) {
	inWorld(t, second, func(w *world) {
		w.submit(jobs.Batch{ID: "contracts"}, short(60)...)
		w.start("a")
		time.Sleep(2500 * time.Millisecond) // in the middle of the third round
		w.stop("a")
		stopped := w.paid()
		if p := w.progress("contracts"); p.Done() != int64(stopped) || p.Running != 0 {
			t.Errorf("%d calls were paid for when it stopped; %+v", stopped, p)
		}
		w.start("b")
		w.untilOver("contracts")
		w.answered("contracts")
		if w.paid() != 60 {
			t.Errorf("paid for %d calls of 60 jobs", w.paid())
		}
	})
}

func TestCallThatOutlastsTheGraceIsPresumedPaid(t *testing.T) {
	s := scene{provider: simulator.Config{Latency: 15 * time.Second}}
	s.tune = withGrace(5 * time.Second)
	inWorld(t, s, func(w *world) {
		w.submit(jobs.Batch{ID: "contracts"}, short(8)...)
		w.start("a")
		time.Sleep(3 * time.Second)
		began := time.Now()
		w.stop("a")
		if took := time.Since(began); took > 7*time.Second {
			t.Errorf("stopping took %v with a grace of 5s", took)
		}
		w.start("b")
		w.untilOver("contracts")
		w.answered("contracts")
		if n := len(w.wastes("contracts", false)); n != 8 {
			t.Errorf("waste of %d jobs is on record, 8 calls were cut short", n)
		}
	})
}

func TestRollingRestartPaysForNothingTwice(t *testing.T) {
	inWorld(t, second, func(w *world) {
		w.submit(jobs.Batch{ID: "contracts"}, short(300)...)
		w.start("a", "b", "c")
		for _, name := range []string{"a", "b", "c"} {
			time.Sleep(1700 * time.Millisecond)
			w.stop(name)
			w.start(name)
		}
		w.untilOver("contracts")
		w.answered("contracts")
		if w.paid() != 300 {
			t.Errorf("paid for %d calls of 300 jobs", w.paid())
		}
	})
}

func TestJobOfAKilledWorkerIsAnsweredOnce(t *testing.T) {
	inWorld(t, four, func(w *world) {
		w.submit(jobs.Batch{ID: "contracts", Budget: jobs.Dollar}, short(40)...)
		w.start("a", "b")
		time.Sleep(6 * time.Second) // in the middle of the second round
		w.kill("a")
		killed := time.Now()
		w.untilOver("contracts")
		w.answered("contracts")
		t.Logf("over %v after the kill with a lease of %v", time.Since(killed), w.config.Worker.Lease)
		if extra := w.paid() - 40; extra != 8 {
			t.Errorf("%d calls were paid for in vain, 8 were in flight", extra)
		}
		time.Sleep(time.Minute)
		sum := w.look().sums["batch:contracts"]
		if sum.Presumed == 0 || sum.Presumed < 8*sum.Spent/48/2 {
			t.Errorf("of %s spent, %s is presumed for 8 of 48 calls", sum.Spent, sum.Presumed)
		}
	})
}

func TestDocumentThatKillsItsWorkersIsBuriedAlone(t *testing.T) {
	inWorld(t, four, func(w *world) {
		docs := short(24)
		docs[5] = "This one is poison."
		w.submit(jobs.Batch{ID: "contracts"}, docs...)
		w.provider.onEach(func(s sent) {
			if s.job == "contracts/5" {
				w.kill(s.worker)
			}
		})
		w.start("a")
		deaths := 0
		for !w.progress("contracts").Over() {
			time.Sleep(time.Second)
			if len(w.names()) == 0 { // as a supervisor does
				deaths++
				w.start("a")
			}
			if deaths > 10 {
				t.Fatal("it kills one worker after the other")
			}
		}
		for id, o := range w.outcomes("contracts") {
			switch {
			case id == "5" && (o.Status != jobs.Dead || o.Kind != jobs.Poison):
				t.Errorf("the poison is %s: %s", o.Status, o.Reason)
			case id != "5" && o.Status != jobs.Answered:
				t.Errorf("its neighbour %s is %s: %s", id, o.Status, o.Reason)
			}
		}
		if deaths != 5 {
			t.Errorf("it was buried after %d deaths, not 5", deaths)
		}
	})
}

func TestFrozenWorkerHarmsNobody(t *testing.T) {
	inWorld(t, scene{provider: four.provider, reconnects: true}, func(w *world) {
		w.submit(jobs.Batch{ID: "contracts"}, short(60)...)
		w.start("a", "b")
		time.Sleep(6 * time.Second)
		w.freeze("a", 90*time.Second) // three leases
		w.untilOver("contracts")
		w.answered("contracts")
		time.Sleep(2 * time.Minute)
		t.Logf("%d calls were paid for 60 jobs, 8 were in flight at the freeze", w.paid())
		if extra := w.paid() - 60; extra > 8 {
			t.Errorf("%d calls were paid for in vain, 8 were in flight", extra)
		}
	})
}

func TestPanicOfAnAdapterIsAnAttempt(t *testing.T) {
	inWorld(t, second, func(w *world) {
		w.submit(jobs.Batch{ID: "contracts"}, short(10)...)
		panicked := false
		w.provider.onEach(func(s sent) {
			if s.job == "contracts/3" && !panicked {
				panicked = true
				panic("out of cheese")
			}
		})
		w.start("a")
		w.untilOver("contracts")
		w.answered("contracts")
		o := w.outcomes("contracts")["3"]
		if len(o.Attempts) != 2 || o.Attempts[0].Kind != jobs.Internal || !strings.Contains(o.Attempts[0].Message, "panicked") {
			t.Errorf("its attempts are %+v", o.Attempts)
		}
	})
}

func TestUnknownChainRestsAndSaysSo(t *testing.T) {
	inWorld(t, second, func(w *world) {
		w.submit(jobs.Batch{ID: "strange", Chain: "frontier"}, short(3)...)
		w.submit(jobs.Batch{ID: "contracts"}, short(20)...)
		w.start("a")
		w.untilOver("contracts")
		w.answered("contracts")
		if p := w.progress("strange"); p.Over() || p.Done() != 0 {
			t.Errorf("a batch without its chain is %+v", p)
		}
		if n := w.log.count(`wants the chain \"frontier\"; this worker has cheap, default`); n != 1 {
			t.Errorf("the log says %d times which chain is missing", n)
		}
		w.stop("a")
		w.config.Chains["frontier"] = chain("large")
		w.start("b")
		w.untilOver("strange")
		w.answered("strange")
	})
}
