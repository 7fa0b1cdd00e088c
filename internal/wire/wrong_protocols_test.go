package wire

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/llm/simulator"
)

// hasty is a provider that takes four seconds, in a world with faults.
func hasty(faults ...changing) scene {
	s := four
	s.changes = faults
	return s
}

// aBatch runs a batch of so many jobs on two workers for a few minutes,
// whatever happens to them.
func aBatch(n int) func(w *world) {
	return func(w *world) {
		w.submit(jobs.Batch{ID: "contracts", Budget: jobs.Dollar}, short(n)...)
		w.start("a", "b")
		time.Sleep(3 * time.Minute)
	}
}

// paysOnce is for worlds in which nothing excuses a second payment.
func (w *world) paysOnce(n int) {
	w.Helper()
	if w.paid() != n {
		w.Errorf("paid for %d calls of %d jobs", w.paid(), n)
	}
}

var wrongs = []wrong{
	{
		name:    "acknowledge before storing",
		when:    "a worker dies just after its first acknowledgement",
		scene:   hasty(dying("+ACK", true)),
		play:    aBatch(16),
		mistake: []changing{lending(hurried)},
		caught:  `^contracts/\d+ has no outcome$`,
	}, {
		name:    "no lookup on redelivery",
		when:    "a worker dies just before its first acknowledgement",
		scene:   hasty(dying("+ACK", false)),
		play:    aBatch(16),
		mistake: []changing{lending(blind)},
		caught:  `was asked for again at .*, after its outcome`,
	}, {
		name:    "lookup before the claim only",
		when:    "Redis is slow, and jobs are lent twice",
		scene:   hasty(slowRedis(3 * time.Second)),
		play:    lentTwice(2*time.Second, 2*time.Second),
		mistake: []changing{lending(stale)},
		caught:  `was asked for again at .*, after its outcome`,
	}, {
		name:    "claim not checked",
		when:    "jobs are lent twice",
		scene:   hasty(),
		play:    lentTwice(2 * time.Second),
		mistake: []changing{scripted("if hold then\n    return {why = 'claimed", "if false then\n    return {why = 'claimed")},
		caught:  `was paid for twice: .* nothing excuses it`,
	}, {
		name:  "no heartbeat",
		when:  "calls take longer than a lease",
		scene: slow,
		play: func(w *world) {
			w.submit(jobs.Batch{ID: "contracts", Budget: jobs.Dollar}, short(24)...)
			w.start("a", "b")
			w.untilOver("contracts")
			w.paysOnce(24)
		},
		mistake: []changing{
			lending(heartless),
			scripted("due[#due + 1] = int(now + shape.lease)\n      due[#due + 1] = calls[i]", ""),
		},
		caught: `was paid for twice: .* nothing excuses it`,
	}, {
		name:    "no compare-and-swap on outcomes",
		when:    "a worker freezes, and thaws with its answers",
		scene:   scene{provider: four.provider, reconnects: true},
		play:    thawed,
		mistake: []changing{spoiled(jetstream.ExpectedLastSubjSeqHeader, "drover.outcomes.")},
		caught:  `was paid for and is not on record`,
	}, {
		name:  "stop without a grace period",
		when:  "the fleet is restarted one by one",
		scene: second,
		play: func(w *world) {
			w.submit(jobs.Batch{ID: "contracts"}, short(100)...)
			w.start("a", "b", "c")
			for _, name := range []string{"a", "b", "c"} {
				time.Sleep(1300 * time.Millisecond)
				w.stop(name)
				w.start(name)
			}
			w.untilOver("contracts")
			w.paysOnce(100)
		},
		mistake: []changing{hasteful},
		caught:  `paid for \d+ calls of 100 jobs`,
	}, {
		name:    "own retry taken for somebody else",
		when:    "replies to outcomes are lost",
		scene:   scene{provider: second.provider, changes: []changing{unconfirmed(3)}},
		play:    aBatch(20),
		mistake: []changing{spoiled("Drover-Id", "drover.outcomes.")},
		caught:  `is on record twice`,
	}, {
		name:  "drop an answer while NATS is away",
		when:  "NATS is restarted during the calls",
		scene: scene{provider: four.provider, reconnects: true},
		play: func(w *world) {
			w.submit(jobs.Batch{ID: "contracts"}, short(40)...)
			w.start("a", "b")
			time.Sleep(6 * time.Second)
			w.broker.stop()
			time.Sleep(10 * time.Second)
			w.broker.start()
			w.untilOver("contracts")
		},
		mistake: []changing{lending(forgetful)},
		caught:  `was paid for and is not on record`,
	}, {
		name:  "hand-back that forgets what was paid",
		when:  "a worker stops in the middle of calls",
		scene: scene{provider: simulator.Config{Latency: 15 * time.Second}, tune: withGrace(5 * time.Second)},
		play: func(w *world) {
			w.submit(jobs.Batch{ID: "contracts"}, short(8)...)
			w.start("a")
			time.Sleep(3 * time.Second)
			w.stop("a")
			w.start("b")
			w.untilOver("contracts")
		},
		mistake: []changing{lending(silent)},
		caught:  `was paid for and is not on record`,
	}, {
		name:  "timeouts billed as free",
		when:  "the provider hangs",
		scene: second,
		play: func(w *world) {
			w.must(w.provider.SetFaults(nil, []simulator.Outage{{For: 2 * time.Second, Fault: simulator.Hang}}))
			aBatch(20)(w)
		},
		mistake: []changing{telling(generous)},
		caught:  `did cost \S+ and is on record as \$0`,
	}, {
		name:  "dead holds released",
		when:  "a worker is killed in the middle of calls",
		scene: four,
		play: func(w *world) {
			w.submit(jobs.Batch{ID: "contracts", Budget: jobs.Dollar}, short(40)...)
			w.start("a", "b")
			time.Sleep(6 * time.Second)
			w.kill("a")
			w.untilOver("contracts")
		},
		mistake: []changing{scripted("post(hold, ctx.now, -hold.worst, hold.worst, hold.worst, 0)", "post(hold, ctx.now, -hold.worst, 0, 0, 0)")},
		caught:  `was billed \S+ and knows of`,
	}, {
		name:  "reserve not idempotent",
		when:  "replies to the gate's Enter are lost",
		scene: scene{provider: second.provider, changes: []changing{unheard("E", 10)}},
		play:  aBatch(20),
		mistake: []changing{scripted(
			"return tonumber(string.match(known, '^I(%d+)'))", "", // it is asked anew
			"if hold then\n    return {why = 'claimed", "if hold and opened(hold).call ~= ctx.call then\n    return {why = 'claimed",
			"local function book(", "local opened\nlocal function book(",
			"local function opened(", "function opened(",
		)},
		caught: `still holds`,
	}, {
		name:    "settle not idempotent",
		when:    "replies to the gate's Leave are lost",
		scene:   scene{provider: second.provider, changes: []changing{unheard("L", 10)}},
		play:    aBatch(20),
		mistake: []changing{scripted("if not known and departed(call) then return LEFT end", "")},
		caught:  `in the book, .* in the sums`,
	}, {
		name:    "missing sums read as nothing spent",
		when:    "Redis is flushed",
		scene:   four,
		play:    flushed,
		mistake: []changing{scripted("if not open and not restoring then return NO_EPOCH end", "if not open then redis.call('SET', KEYS[1], 'anew') open = true end")},
		caught:  `was billed \S+ and knows of`,
	}, {
		name:  "calls in flight not held again after a flush",
		when:  "the sums are lost while half of the budget is held",
		scene: slow,
		play: func(w *world) {
			w.submit(jobs.Batch{ID: "contracts", Budget: jobs.Dollars(0.0053), Chain: "cheap", WhenSpent: jobs.BuryWhenSpent}, short(100)...)
			w.start("a", "b")
			time.Sleep(42 * time.Second) // sixteen calls are answered, sixteen on their way
			w.flushRedis()
			w.start("c", "d")
			w.untilOver("contracts")
		},
		mistake: []changing{scripted("return admit(call, shape, true)", "return 0")},
		caught:  `has spent`,
	},
}

// lentTwice has the broker forget what it lent, after each of these times, so
// that jobs are delivered again while they are being answered.
func lentTwice(after ...time.Duration) func(w *world) {
	return func(w *world) {
		w.start("a", "b")
		time.Sleep(6 * time.Second) // who has just begun is careful
		w.submit(jobs.Batch{ID: "contracts", Budget: jobs.Dollar}, short(8)...)
		w.wait(func() bool { return len(w.look().Sent) > 0 })
		js, err := jetstream.New(w.client.NATS)
		w.must(err)
		for _, d := range after {
			time.Sleep(d)
			w.must(js.DeleteConsumer(w.ctx, "DROVER_JOBS", "contracts"))
		}
		w.untilOver("contracts")
		w.paysOnce(8)
	}
}

// thawed freezes a worker for longer than its lease: it has the answers of
// jobs that others have answered meanwhile.
func thawed(w *world) {
	w.submit(jobs.Batch{ID: "contracts"}, short(40)...)
	w.start("a", "b")
	time.Sleep(6 * time.Second)
	w.freeze("a", 90*time.Second)
	w.untilOver("contracts")
	time.Sleep(2 * time.Minute)
}

// flushed loses the sums with all slots in the middle of a call.
func flushed(w *world) {
	w.submit(jobs.Batch{ID: "contracts", Budget: jobs.Dollar}, short(80)...)
	w.start("a", "b")
	time.Sleep(14 * time.Second) // the results of the first rounds are told and booked
	w.flushRedis()
	w.start("c")
	w.untilOver("contracts")
}
