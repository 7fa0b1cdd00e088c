package wire

import (
	"net/http"
	"testing"
	"time"

	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/llm/simulator"
)

// four is a provider that takes four seconds for each answer: eight slots
// answer two documents a second.
var four = scene{provider: simulator.Config{Latency: 4 * time.Second}}

func TestOutageOfTheFirstModelIsCarriedByTheSecond(t *testing.T) {
	inWorld(t, four, func(w *world) {
		w.submit(jobs.Batch{ID: "contracts"}, short(360)...) // three minutes
		w.start("a")
		time.Sleep(30 * time.Second)
		w.outage("small", 30*time.Second)
		down := time.Now()
		w.untilOver("contracts")
		w.answered("contracts")

		refused, last, back := 0, time.Time{}, time.Time{}
		for _, e := range w.provider.Ledger(0) {
			switch {
			case e.Status == http.StatusServiceUnavailable:
				refused, last = refused+1, e.At
			case e.Model == "small" && !last.IsZero() && back.IsZero():
				back = e.At
			}
		}
		const inFlight, round = 8, 3
		if refused < 5 || refused > inFlight+round {
			t.Errorf("%d calls reached the dead model; %d in flight and one round of %d probes may", refused, inFlight, round)
		}
		partial := w.count("contracts", func(o *jobs.Outcome) bool { return o.Degraded == jobs.Partial })
		if partial < 20 || partial > 120 {
			t.Errorf("%d of 360 were answered by the second model; it was down for a sixth of the time", partial)
		}
		if late := back.Sub(down.Add(30 * time.Second)); late > 31*time.Second {
			t.Errorf("the first model was asked again %v after it was back", late)
		} else {
			t.Logf("%d calls reached the dead model, %d answers came from the second; the first was asked again %v after it was back", refused, partial, late)
		}
	})
}

func TestJobsWaitWhileEveryModelIsDown(t *testing.T) {
	inWorld(t, four, func(w *world) {
		w.submit(jobs.Batch{ID: "contracts"}, short(100)...)
		w.start("a")
		time.Sleep(10 * time.Second)
		w.outage("", 3*time.Minute)
		took := w.untilOver("contracts")
		w.answered("contracts")
		failed := w.count("contracts", func(o *jobs.Outcome) bool { return len(o.Attempts) > 1 })
		t.Logf("over %v after the outage began, %v after it ended; %d outcomes tell of failed attempts", took, took-3*time.Minute, failed)
		if took > 6*time.Minute {
			t.Errorf("it took %v, most of it after the models were back", took)
		}
		if n := w.provider.Stats().Statuses[http.StatusServiceUnavailable]; n > 80 {
			t.Errorf("%d calls were made during the outage", n)
		}
	})
}

func TestRetryAfterPausesEveryReplicaAndUsesUpNoTry(t *testing.T) {
	inWorld(t, scene{
		// Far too much is configured, so the provider has to say so.
		provider: simulator.Config{Latency: 100 * time.Millisecond, Limits: map[string]simulator.Limit{"small": {RequestsPerMinute: 6, Burst: 10 * time.Second}}},
		tune: func(c *config.Config) {
			c.Retry.Tries = 1
			c.Chains["default"] = chain("small")
		},
	}, func(w *world) {
		w.submit(jobs.Batch{ID: "contracts"}, short(20)...)
		w.start("a", "b")
		w.untilOver("contracts")
		w.answered("contracts")
		limited, during := 0, 0
		var until time.Time
		for _, e := range w.provider.Ledger(0) {
			if e.At.Before(until) && e.At.After(until.Add(-9*time.Second)) {
				during++
			}
			if e.Status == http.StatusTooManyRequests {
				limited++
				until = e.At.Add(10 * time.Second)
			}
		}
		if limited == 0 || during > limited {
			t.Errorf("%d calls were rate limited, %d were made during the pauses asked for", limited, during)
		}
		t.Logf("20 jobs at 6 a minute: %d calls were rate limited, %d were made during the pauses asked for", limited, during)
	})
}
