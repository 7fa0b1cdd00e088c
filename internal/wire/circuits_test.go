package wire

import (
	"cmp"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/drover-batch/drover/internal/audit"
	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/racing"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/llm/simulator"
	"github.com/drover-batch/drover/resilience"
)

// latency is how long the provider takes in these worlds.
const latency = time.Second

// circuitScene has workers of so many slots and one model.
func circuitScene(slots int) scene {
	return scene{
		provider: simulator.Config{Latency: latency, Keep: 1 << 20},
		tune: func(c *config.Config) {
			c.Worker.Slots = slots
			c.Chains["default"] = chain("small")
		},
	}
}

// circuit is how the model's circuit stands for the fleet.
func (w *world) circuit() resilience.Circuit {
	w.Helper()
	all, err := resilience.Circuits(w.ctx, w.client.Redis, w.client.keys, "small")
	w.must(err)
	return all[0]
}

// opens waits until the circuit has opened and returns when that was.
func (w *world) opens() time.Time {
	w.Helper()
	var c resilience.Circuit
	w.wait(func() bool { c = w.circuit(); return c.State == resilience.Open })
	return c.Since
}

// between are the calls that reached the provider in a time.
func (w *world) between(from, to time.Time) []audit.Asked {
	return slices.DeleteFunc(w.asked(), func(c audit.Asked) bool { return c.At.Before(from) || !c.At.Before(to) })
}

// mostAtOnce is how many of the calls overlapped at most; each took so long.
func mostAtOnce(calls []audit.Asked, took time.Duration) (most int) {
	for i, c := range calls {
		n := 0
		for _, other := range calls[:i+1] {
			if c.At.Sub(other.At) < took {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

func TestEveryReplicaStopsWithinARoundTripOfTheDecision(t *testing.T) {
	const oneWay = 100 * time.Millisecond // to Redis, and back
	s := circuitScene(8)
	usual := s.tune
	s.tune = func(c *config.Config) { // calls wait for their time when the circuit opens
		usual(c)
		c.Quotas = map[string]config.Quota{"small": {Requests: 600}}
	}
	inWorld(t, s, func(w *world) {
		w.submit(jobs.Batch{ID: "contracts"}, short(300)...)
		w.start(crew(4)...)
		for _, m := range w.names() {
			m.link.drag(oneWay, time.Hour)
		}
		time.Sleep(8 * time.Second)
		w.outage("", time.Minute)
		opened := w.opens()
		time.Sleep(20 * time.Second)
		late, last := 0, time.Duration(0)
		for _, c := range w.between(opened, opened.Add(20*time.Second)) {
			last = c.At.Sub(opened)
			if last > 2*oneWay+oneWay+20*time.Millisecond { // the answer, the record in the broker, and the way to the provider
				late++
			}
		}
		t.Logf("the last call reached the dead model %v after the decision", last)
		if late > 0 {
			w.Errorf("%d calls were begun later than a round trip after the circuit had opened, the last %v after it", late, last)
		}
		w.untilOver("contracts")
		w.answered("contracts")
	})
}

func TestThreeProbesAreInFlightOfAWholeFleetAndAnOutageCostsNoMore(t *testing.T) {
	racing.Spare(t, "TestModelThatReturnsIsFoundAndFullyUsed probes as well")
	inWorld(t, circuitScene(4), func(w *world) {
		w.submit(jobs.Batch{ID: "contracts"}, short(400)...)
		w.start(crew(8)...)
		time.Sleep(5 * time.Second)
		w.outage("", 3*time.Minute)
		opened := w.opens()
		over := opened.Add(3*time.Minute - 10*time.Second)
		time.Sleep(time.Until(over))
		refused := 0
		for _, c := range w.between(opened.Add(-10*time.Second), over) {
			if c.Status == http.StatusServiceUnavailable {
				refused++
			}
		}
		probes := w.between(opened.Add(latency), over)
		most := mostAtOnce(probes, latency)
		const rounds, inFlight = 6, 8 * 4
		t.Logf("in three minutes %d calls reached the dead model, %d of them probes, at most %d at once", refused, len(probes), most)
		if most > 3 || len(probes) == 0 || len(probes) > 3*rounds || refused > inFlight+3*rounds {
			w.Errorf("%d calls reached the dead model, %d of them probes, %d at once; want 3 at once and no more than %d and 3 in each of %d rounds", refused, len(probes), most, inFlight, rounds)
		}
		w.untilOver("contracts")
		w.answered("contracts")
	})
}

func TestProberThatDiesFreesItsProbe(t *testing.T) {
	s := circuitScene(4)
	usual := s.tune
	s.tune = func(c *config.Config) {
		usual(c)
		c.Worker.Lease = 10 * time.Second
	}
	inWorld(t, s, func(w *world) {
		w.submit(jobs.Batch{ID: "contracts"}, short(100)...)
		w.start(crew(2)...)
		time.Sleep(3 * time.Second)
		w.must(w.provider.SetFaults(nil, []simulator.Outage{{For: 20 * time.Second}}))
		opened := w.opens()
		w.stop("b") // a makes all probes
		time.Sleep(time.Until(opened.Add(25 * time.Second)))
		w.must(w.provider.SetFaults(nil, []simulator.Outage{{Fault: simulator.Hang, For: 10 * time.Second}}))
		w.wait(func() bool { return len(w.between(opened.Add(25*time.Second), time.Now())) == 3 })
		died := time.Now()
		w.kill("a")
		w.start("c")
		time.Sleep(time.Minute)
		first := w.between(died, time.Now())
		if len(first) == 0 {
			w.Fatal("nobody probes any more")
		}
		after := first[0].At.Sub(died)
		t.Logf("the next probe %v after the prober had died; the lease is %v", after, w.config.Worker.Lease)
		if after > w.config.Worker.Lease+2*time.Second || after < w.config.Worker.Lease/3 {
			w.Errorf("the next probe was made %v after the prober had died, and the lease is %v", after, w.config.Worker.Lease)
		}
		w.untilOver("contracts")
	})
}

func TestReplicaWithoutDNSOpensOnlyItsOwnCircuit(t *testing.T) {
	inWorld(t, circuitScene(4), func(w *world) {
		w.submit(jobs.Batch{ID: "contracts"}, short(1000)...)
		w.start(crew(4)...)
		time.Sleep(5 * time.Second)
		broken := w.names()["d"].link
		broken.lose(true)
		began := time.Now()
		for time.Since(began) < time.Minute {
			time.Sleep(time.Second)
			if c := w.circuit(); c.State != resilience.Closed {
				w.Fatalf("the fleet's circuit is %s, since one replica has no DNS", c.State)
			}
		}
		gaps := map[string]time.Duration{}
		at := map[string]time.Time{}
		for _, c := range w.between(began, time.Now()) {
			gaps[c.Who] = max(gaps[c.Who], c.At.Sub(cmp.Or(at[c.Who], c.At)))
			at[c.Who] = c.At
		}
		worst := max(gaps["a"], gaps["b"], gaps["c"])
		broken.lose(false)
		mended := time.Now()
		var back time.Duration
		w.wait(func() bool {
			for _, c := range w.between(mended, time.Now()) {
				if c.Who == "d" {
					back = c.At.Sub(mended)
					return true
				}
			}
			return false
		})
		t.Logf("the others never paused for more than %v; the broken one asked again %v after it was mended", worst, back)
		if len(gaps) != 3 || worst > 3*latency || back > w.config.Breaker.Recovery+2*time.Second {
			w.Errorf("calls came from %d replicas, which paused for up to %v; the broken one asked again %v after it was mended", len(gaps), worst, back)
		}
		w.untilOver("contracts")
		w.answered("contracts")
	})
}

func TestModelThatReturnsIsFoundAndFullyUsed(t *testing.T) {
	inWorld(t, circuitScene(4), func(w *world) {
		w.submit(jobs.Batch{ID: "contracts"}, short(700)...)
		w.start(crew(2)...)
		var first, full []time.Duration
		for _, down := range []time.Duration{30 * time.Second, 44 * time.Second, 58 * time.Second} {
			time.Sleep(5 * time.Second)
			w.outage("", down)
			back := time.Now().Add(down)
			time.Sleep(time.Until(back.Add(45 * time.Second)))
			calls := w.between(back, time.Now())
			if len(calls) == 0 {
				w.Fatal("the model has been back for 45s and nobody asks it")
			}
			first = append(first, calls[0].At.Add(latency).Sub(back))
			full = append(full, fullRate(calls, 2*4).Sub(back))
		}
		slices.Sort(first)
		slices.Sort(full)
		t.Logf("first answer after %v in the median and %v at worst, full rate after %v and %v", first[1], first[2], full[1], full[2])
		recovery := w.config.Breaker.Recovery
		if first[2] > recovery+latency+2*time.Second || full[0] < 0 || full[2] > recovery+15*time.Second {
			w.Errorf("answers came again %v after the model, and all slots were busy after %v; it is probed every %v", first, full, recovery)
		}
	})
}

// fullRate is when as many calls as there are slots began within one answer's
// time.
func fullRate(calls []audit.Asked, slots int) time.Time {
	for i := slots - 1; i < len(calls); i++ {
		if calls[i].At.Sub(calls[i-slots+1].At) <= latency {
			return calls[i].At
		}
	}
	return time.Time{}
}
