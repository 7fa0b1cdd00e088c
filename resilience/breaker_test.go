package resilience

import (
	"strings"
	"testing"
	"time"

	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/jobs"
)

// circuits runs the test with a breaker of the default settings.
func circuits(t *testing.T, test func(t *testing.T, d *desk)) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store) {
		test(t, s.desk(t, NewBreaker(BreakerConfig{}), keyspace))
	})
}

// needsTime skips the test on servers whose clock cannot be moved.
func (d *desk) needsTime() {
	if d.pass == nil {
		d.t.Skip("a real server's clock cannot be moved")
	}
}

// ends makes n calls one after the other that all end as given.
func (d *desk) ends(n int, worker string, a jobs.Attempt) {
	d.t.Helper()
	for range n {
		d.leave(d.admit(newCall(worker)), a)
	}
}

func (d *desk) circuit() Circuit {
	d.t.Helper()
	c, err := Circuits(d.t.Context(), d.rdb, d.guard.(*Breaker).config.Keys, "small")
	if err != nil {
		d.t.Fatal(err)
	}
	return c[0]
}

func (d *desk) stands(want string) {
	d.t.Helper()
	if got := d.circuit(); got.State != want {
		d.t.Fatalf("the circuit is %s, want %s", got.State, want)
	}
}

func TestCircuitOpensForTheWholeFleet(t *testing.T) {
	circuits(t, func(t *testing.T, d *desk) {
		d.ends(4, "a", bad)
		d.stands(Closed)
		d.ends(1, "a", bad)
		d.stands(Open)
		r := d.refuse(newCall("b"))
		if want := "the circuit is open after 5 failures"; r.Why != want {
			t.Errorf("why: %q, want %q", r.Why, want)
		}
		within(t, "wait", r.Wait, 29*time.Second, 30*time.Second)
		c := d.circuit()
		within(t, "open for", c.Until.Sub(c.Since), 30*time.Second, 30*time.Second)
		if c.Failures != 5 {
			t.Errorf("%d failures are told", c.Failures)
		}
	})
}

// Calls that waited for their time used to be sent into the circuit that had
// opened meanwhile.
func TestCallThatWaitsForItsTimeIsKeptByACircuitThatOpens(t *testing.T) {
	circuits(t, func(t *testing.T, d *desk) {
		d.needsTime()
		due := func(c *jobs.Call) time.Duration {
			return d.run(lua.Op{Kind: lua.Due, Call: c.ID, Steps: []lua.Step{d.guard.(*Breaker).due(c)}})[0].Wait
		}
		waits := d.admit(newCall("b"))
		d.ends(4, "a", bad)
		within(t, "while it is closed", due(waits), 0, 0)
		d.ends(1, "a", bad)
		within(t, "while it is open", due(waits), 30*time.Second, 30*time.Second)
		d.pass(20 * time.Second)
		d.run(lua.Op{Kind: lua.Beat, Lease: lease, Calls: []string{waits.ID}})
		d.pass(10 * time.Second)
		within(t, "while it is half open", due(waits), time.Millisecond, time.Second)
		probe := d.admit(newCall("b"))
		within(t, "of a probe", due(probe), 0, 0)
		d.leave(probe, jobs.Attempt{})
		d.ends(2, "b", jobs.Attempt{})
		within(t, "once it has closed", due(waits), 0, 0)
	})
}

func TestRefusalsTellTheStateOfTheCircuit(t *testing.T) {
	circuits(t, func(t *testing.T, d *desk) {
		d.needsTime()
		refused := func(state string) {
			t.Helper()
			if r := d.refuse(newCall("b")); r.Tag != state {
				t.Errorf("told as %q: %s", r.Tag, r.Why)
			}
		}
		d.ends(5, "a", bad)
		refused(Open)
		d.pass(30 * time.Second)
		probes := []*jobs.Call{d.admit(newCall("b")), d.admit(newCall("b")), d.admit(newCall("b"))}
		refused(HalfOpen)
		for _, c := range probes {
			d.leave(c, jobs.Attempt{})
		}
		for range 3 {
			d.admit(newCall("b"))
		}
		refused(Closed)
	})
}

func TestCircuitVerdicts(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		attempts []jobs.Kind
		want     string
	}{
		{"success clears the count", []jobs.Kind{jobs.Timeout, jobs.Timeout, jobs.Timeout, jobs.Timeout, "", jobs.Timeout}, Closed},
		{"neutral ones do not", []jobs.Kind{jobs.Timeout, jobs.Timeout, jobs.Timeout, jobs.Timeout, jobs.RateLimited, jobs.Timeout}, Open},
		{"nor do they count", []jobs.Kind{jobs.RateLimited, jobs.InvalidRequest, jobs.Refused, jobs.Interrupted, jobs.Overflow, jobs.RateLimited}, Closed},
		{"a refused key opens at once", []jobs.Kind{jobs.NoQuota}, Open},
		{"an answer that fails our checks is an answer", []jobs.Kind{jobs.InvalidAnswer, jobs.InvalidAnswer, jobs.InvalidAnswer, jobs.InvalidAnswer, jobs.InvalidAnswer}, Closed},
	}
	s := onMini(t)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			keys := lua.Keyspace(strings.ReplaceAll(tt.name, " ", "-"))
			d := s.desk(t, NewBreaker(BreakerConfig{Keys: keys}), keys)
			for _, k := range tt.attempts {
				d.ends(1, "a", jobs.Attempt{Kind: k})
			}
			d.stands(tt.want)
		})
	}
}

func TestHighRateOfFailuresOpens(t *testing.T) {
	circuits(t, func(t *testing.T, d *desk) {
		for range 9 { // never five in a row, and below the least volume
			d.ends(1, "a", bad)
			d.ends(1, "a", jobs.Attempt{})
		}
		d.stands(Closed)
		d.ends(1, "a", jobs.Attempt{})
		d.ends(1, "a", bad)
		d.stands(Open)
	})
}

func TestFailuresBeforeTheWindowAreForgotten(t *testing.T) {
	circuits(t, func(t *testing.T, d *desk) {
		d.needsTime()
		for range 9 {
			d.ends(1, "a", bad)
			d.ends(1, "a", jobs.Attempt{})
		}
		d.pass(2 * time.Minute)
		d.ends(1, "a", jobs.Attempt{})
		d.ends(1, "a", bad)
		d.stands(Closed)
	})
}

func TestOneReplicaThatFailsStopsOnlyItself(t *testing.T) {
	circuits(t, func(t *testing.T, d *desk) {
		d.ends(1, "b", jobs.Attempt{})
		d.ends(1, "c", jobs.Attempt{})
		d.ends(5, "a", bad)
		d.stands(Closed)
		if c := d.circuit(); c.Workers != 3 || c.Apart != 1 {
			t.Errorf("%d workers, %d apart, want one of three", c.Workers, c.Apart)
		}
		if r := d.refuse(newCall("a")); !strings.Contains(r.Why, "this worker's own circuit") {
			t.Errorf("why: %q", r.Why)
		}
		d.ends(4, "b", bad)
		d.stands(Closed)
		d.ends(1, "b", bad) // now two of three hear nothing good
		d.stands(Open)
		d.refuse(newCall("c"))
	})
}

func TestRefusedKeyOfOneReplicaStopsOnlyThat(t *testing.T) {
	circuits(t, func(t *testing.T, d *desk) {
		d.ends(1, "b", jobs.Attempt{})
		d.ends(1, "a", jobs.Attempt{Kind: jobs.NoQuota})
		d.refuse(newCall("a"))
		d.admit(newCall("b"))
	})
}

func TestOnlyThreeProbesFleetWide(t *testing.T) {
	circuits(t, func(t *testing.T, d *desk) {
		d.needsTime()
		d.ends(5, "a", bad)
		d.pass(30 * time.Second)
		d.stands(HalfOpen)
		first, second, third := d.admit(newCall("a")), d.admit(newCall("b")), d.admit(newCall("c"))
		within(t, "wait", d.refuse(newCall("d")).Wait, time.Millisecond, time.Second)

		d.leave(first, jobs.Attempt{Kind: jobs.RateLimited}) // says nothing, frees its place
		fourth := d.admit(newCall("d"))
		d.refuse(newCall("d"))
		d.leave(second, jobs.Attempt{})
		d.leave(third, jobs.Attempt{})
		d.stands(HalfOpen)
		d.leave(fourth, jobs.Attempt{})
		d.stands(Closed)
	})
}

func TestOneBadProbeReopens(t *testing.T) {
	circuits(t, func(t *testing.T, d *desk) {
		d.needsTime()
		d.ends(5, "a", bad)
		d.pass(30 * time.Second)
		d.ends(2, "a", jobs.Attempt{})
		d.ends(1, "b", bad)
		d.stands(Open)
		d.pass(29 * time.Second)
		d.refuse(newCall("a"))
		d.pass(time.Second)
		d.ends(3, "a", jobs.Attempt{})
		d.stands(Closed)
	})
}

func TestDeadProberFreesItsPlace(t *testing.T) {
	circuits(t, func(t *testing.T, d *desk) {
		d.needsTime()
		d.ends(5, "a", bad)
		d.pass(30 * time.Second)
		for range 3 {
			d.admit(newCall("a"))
		}
		d.pass(lease - time.Second)
		d.refuse(newCall("b"))
		d.pass(time.Second)
		d.ends(3, "b", jobs.Attempt{})
		d.stands(Closed)
	})
}

func TestLateResultsChangeNothing(t *testing.T) {
	circuits(t, func(t *testing.T, d *desk) {
		d.needsTime()
		early, good, late := d.admit(newCall("a")), d.admit(newCall("a")), d.admit(newCall("a"))
		d.ends(5, "a", bad)
		d.leave(early, jobs.Attempt{})
		d.stands(Open)
		d.pass(30 * time.Second)
		d.ends(2, "a", jobs.Attempt{})
		d.leave(good, jobs.Attempt{}) // would be the third
		d.stands(HalfOpen)
		d.leave(late, bad)
		d.stands(HalfOpen)
		d.ends(1, "a", jobs.Attempt{})
		d.stands(Closed)
	})
}

func TestCallsRampUpAfterAnOutage(t *testing.T) {
	circuits(t, func(t *testing.T, d *desk) {
		d.needsTime()
		d.ends(5, "a", bad)
		d.pass(30 * time.Second)
		d.ends(3, "a", jobs.Attempt{})
		for _, most := range []int{3, 6, 12, 24} {
			n := 0
			var inFlight []*jobs.Call
			for c := newCall("a"); !d.enter(c).Refused; c = newCall("a") {
				inFlight = append(inFlight, c)
				n++
			}
			if n != most {
				t.Fatalf("%d at once, want %d", n, most)
			}
			for _, c := range inFlight {
				d.leave(c, jobs.Attempt{})
			}
			d.pass(time.Second)
		}
		d.pass(6 * time.Second)
		var ops []lua.Op
		for range 2000 { // more than one second more would have allowed
			c := newCall("a")
			ops = append(ops, lua.Op{Kind: lua.Enter, Call: c.ID, Lease: lease, Steps: []lua.Step{d.guard.Enter(c)}})
		}
		for _, r := range d.run(ops...) {
			if r.Refused {
				t.Fatalf("refused after the ramp: %s", r.Why)
			}
		}
	})
}

func TestClockPutBackDoesNotKeepACircuitOpen(t *testing.T) {
	circuits(t, func(t *testing.T, d *desk) {
		d.needsTime()
		d.ends(5, "a", bad)
		d.pass(-time.Hour)
		d.ends(3, "a", jobs.Attempt{})
		d.stands(Closed)
	})
}

func TestReplicasLongGoneAreForgotten(t *testing.T) {
	circuits(t, func(t *testing.T, d *desk) {
		d.needsTime()
		d.ends(1, "a", jobs.Attempt{})
		d.pass(time.Hour)
		d.ends(1, "b", jobs.Attempt{})
		key := keyspace.Key("circuit", "small")
		if n := d.rdb.HLen(t.Context(), key).Val(); n != 2 {
			t.Errorf("%d circuits left, want the fleet's and one replica's: %v", n, d.rdb.HKeys(t.Context(), key).Val())
		}
	})
}

func TestReplicaShutOutAloneStillCountsByItsLateAnswers(t *testing.T) {
	circuits(t, func(t *testing.T, d *desk) {
		d.needsTime()
		broken := jobs.Attempt{Kind: jobs.NoQuota}
		d.ends(1, "a", jobs.Attempt{})
		late := d.admit(newCall("c"))
		d.ends(1, "c", broken)
		d.stands(Closed) // a heard well of the model
		d.pass(25 * time.Second)
		d.leave(late, jobs.Attempt{})
		d.ends(1, "a", jobs.Attempt{})
		d.pass(40 * time.Second)
		d.ends(1, "b", broken)
		d.stands(Open) // to b and c it is broken, to a it is not
	})
}

func TestGoodAnswersClearTheCountInOneGroup(t *testing.T) {
	circuits(t, func(t *testing.T, d *desk) {
		good, fails, again := d.admit(newCall("a")), d.admit(newCall("a")), d.admit(newCall("a"))
		d.ends(3, "a", bad)
		leave := func(c *jobs.Call, a jobs.Attempt) lua.Op {
			return lua.Op{Kind: lua.Leave, Call: c.ID, Steps: []lua.Step{d.guard.Leave(c, &a)}}
		}
		d.run(leave(good, jobs.Attempt{}), leave(fails, bad), leave(again, jobs.Attempt{}))
		d.ends(4, "a", bad)
		d.stands(Closed)
	})
}

func TestDeadProberOfAWorkerShutOutAloneFreesItsPlace(t *testing.T) {
	circuits(t, func(t *testing.T, d *desk) {
		d.needsTime()
		d.ends(1, "b", jobs.Attempt{})
		d.ends(1, "c", jobs.Attempt{})
		d.ends(5, "a", bad)
		d.stands(Closed)
		d.pass(30 * time.Second)
		for range 3 {
			d.admit(newCall("a"))
		}
		d.refuse(newCall("a"))
		d.pass(lease)
		d.ends(3, "a", jobs.Attempt{})
		for range 3 {
			d.admit(newCall("a"))
		}
	})
}
