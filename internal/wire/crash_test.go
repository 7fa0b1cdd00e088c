package wire

import (
	"fmt"
	"testing"
	"time"

	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/llm/simulator"
)

// crashes are all steps of the protocol at which a worker can die, and how many
// calls are paid for in vain then: one if it had been sent and its outcome was
// not stored yet, otherwise none.
var crashes = []struct {
	step          step
	nth           int
	scene         func(w *world) // what leads to the step; default: the third job
	before, after int
}{
	{step: pulled, nth: 3},
	{step: looked, nth: 2, scene: oneDied, before: 1, after: 1}, // by the one that died before; the first look is about its call
	{step: entered, nth: 3},
	{step: noted, nth: 3},
	{step: called, nth: 3, after: 1},
	{step: renewed, nth: 1, before: 1, after: 1}, // in the middle of a call
	{step: beaten, nth: 3, before: 1, after: 1},
	{step: left, nth: 3, before: 1, after: 1},
	{step: stored, nth: 3, before: 1},
	{step: acked, nth: 3},
	{step: buried, nth: 1, scene: refusedOne},
	{step: wasted, nth: 1, scene: stopped, before: 1, after: 1}, // the grace did not suffice
	{step: returned, nth: 1, scene: stopped, before: 1, after: 1},
	{step: handed, nth: 1, scene: stopped, before: 1, after: 1},
	{step: presumed, nth: 1, scene: oneDied, before: 2, after: 2}, // by the one that died before, and now
}

// oneDied lets a worker die in the middle of a call, and another take over.
func oneDied(w *world) {
	w.start("z")
	time.Sleep(time.Second)
	w.kill("z")
}

func refusedOne(w *world) { w.submit(jobs.Batch{ID: "refused"}, "[[simulate:422]] This one.") }

// stopped asks the worker to stop in the middle of a call.
func stopped(w *world) {
	time.AfterFunc(2*time.Second, func() { w.names()["a"].stopTaking() })
}

func TestCrashAtEachStepOfTheProtocol(t *testing.T) {
	s := scene{provider: simulator.Config{Latency: 14 * time.Second}, tune: func(c *config.Config) {
		c.Worker.Slots, c.Worker.Grace = 1, 5*time.Second
	}}
	for _, row := range crashes {
		for when, extra := range map[moment]int{before: row.before, after: row.after} {
			t.Run(fmt.Sprintf("%s/%s", when, row.step), func(t *testing.T) {
				inWorld(t, s, func(w *world) {
					w.submit(jobs.Batch{ID: "contracts", Budget: jobs.Dollar}, short(4)...)
					if row.scene != nil {
						row.scene(w)
					}
					w.start("a")
					set := w.names()["a"].link.arm(trap{step: row.step, when: when, nth: row.nth, spring: func(l *link) { w.end(l.member) }})
					select {
					case <-set.sprung:
					case <-time.After(5 * time.Minute):
						w.Fatal("the worker does not take this step")
					}
					w.start("b")
					w.untilOver("contracts")
					w.answered("contracts")
					if w.accepted["refused"] != nil {
						w.untilOver("refused")
					}
					if got := w.paid() - 4; got != extra {
						w.Errorf("%d calls were paid for in vain, want %d", got, extra)
					}
				})
			})
		}
	}
}

// A reply of Redis that comes later than the client waits for it leaves it
// open what the script did. It did it, and is run again.
func TestReplyOfRedisSwallowedPastTheTimeout(t *testing.T) {
	s := scene{provider: simulator.Config{Latency: 4 * time.Second}, tune: func(c *config.Config) { c.Worker.Slots = 1 }}
	for _, what := range []step{entered, left, beaten} {
		for when, words := range map[moment]string{before: "request", after: "reply"} {
			t.Run(fmt.Sprintf("%s/%s", what, words), func(t *testing.T) {
				inWorld(t, s, func(w *world) {
					w.submit(jobs.Batch{ID: "contracts", Budget: jobs.Dollar}, short(4)...)
					w.start("a")
					for nth := range 2 { // the second of them on a second try
						w.names()["a"].link.arm(trap{step: what, when: when, nth: 2 + nth, lose: true})
					}
					w.untilOver("contracts")
					w.answered("contracts")
					if w.paid() != 4 {
						w.Errorf("paid for %d calls of 4 jobs", w.paid())
					}
					sum, billed := w.spent("contracts"), jobs.USD(0)
					for _, o := range w.outcomes("contracts") {
						billed += o.Cost
					}
					if sum.Spent != billed || sum.Presumed != 0 || sum.Held != 0 {
						w.Errorf("%s were billed and the account says %+v", billed, sum)
					}
				})
			})
		}
	}
}
