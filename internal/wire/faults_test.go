package wire

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/drover-batch/drover/internal/audit"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/llm/simulator"
	"github.com/drover-batch/drover/queue"
)

// fault is something that happens to a world at a moment. All that is up to
// chance is drawn before the world begins, so that a schedule of faults can be
// played again with some of them left out.
type fault struct {
	kind string
	at   time.Duration // since the world's begin
	span time.Duration // how long it lasts, or the worker stays away
	who  string        // a worker
	on   trap          // the step that it waits for, if any
	size time.Duration // how far a clock jumps, how much longer messages take
	how  simulator.Outage
	out  bool // it is left out
}

func (f *fault) String() string {
	text := fmt.Sprintf("%6.3fs %s", f.at.Seconds(), f.kind)
	if f.who != "" {
		text += " " + f.who
	}
	if f.on.step != elsewhere {
		text += fmt.Sprintf(" %s its %s no. %d", f.on.when, f.on.step, f.on.nth)
	}
	if f.how.Fault != "" {
		text += fmt.Sprintf(" of %q with %s", f.how.Model, f.how.Fault)
	}
	if f.size != 0 {
		text += fmt.Sprintf(" by %v", f.size)
	}
	if f.span != 0 {
		text += fmt.Sprintf(" for %.3fs", f.span.Seconds())
	}
	return text
}

// kind is a kind of fault: how one is drawn, and what it does. It is over when
// happen returns.
type kind struct {
	name   string
	weight int // how often it is drawn
	whom   whom
	draw   func(f *fault, r *rand.Rand)
	happen func(w *world, f *fault)
}

// whom a kind of fault befalls.
type whom bool

const (
	worker    whom = true
	everybody whom = false
)

// The workers' own clocks cannot differ in a bubble: only Redis' jumps.
var kinds = []kind{
	{"kill", 2, worker, func(f *fault, r *rand.Rand) { f.span = seconds(r, 0, 10) }, func(w *world, f *fault) {
		if m := w.names()[f.who]; m != nil {
			w.end(m)
			time.Sleep(f.span)
			w.raise(f.who)
		}
	}},
	{"crash", 6, worker, func(f *fault, r *rand.Rand) { f.on, f.span = anyStep(r, workerSteps), seconds(r, 0, 10) }, func(w *world, f *fault) {
		w.entrap(f, func(l *link) { w.end(l.member) })
		time.Sleep(f.span)
		w.raise(f.who)
	}},
	{"freeze", 2, worker, func(f *fault, r *rand.Rand) { f.on, f.span = anyStep(r, workerSteps), seconds(r, 1, 80) }, func(w *world, f *fault) {
		w.entrap(f, func(l *link) { l.freeze(f.span) })
	}},
	{"lose", 4, worker, func(f *fault, r *rand.Rand) { f.on = anyStep(r, workerSteps); f.on.lose = true }, func(w *world, f *fault) {
		w.entrap(f, nil)
	}},
	{"disconnect", 2, worker, func(f *fault, r *rand.Rand) { f.on = anyStep(r, workerSteps) }, func(w *world, f *fault) {
		w.entrap(f, (*link).drop)
	}},
	{"slow link", 2, worker, func(f *fault, r *rand.Rand) { f.size, f.span = seconds(r, 0, 4), seconds(r, 1, 20) }, func(w *world, f *fault) {
		if m := w.names()[f.who]; m != nil {
			m.link.drag(f.size, f.span)
		}
	}},
	{"stop", 2, worker, func(f *fault, r *rand.Rand) { f.span = seconds(r, 0, 10) }, func(w *world, f *fault) {
		if m := w.remove(f.who); m != nil {
			began := time.Now()
			m.stopTaking()
			<-m.done
			m.stopWorking()
			w.note(audit.Fault{Kind: audit.Stop, Worker: f.who, From: began, To: time.Now()})
			time.Sleep(f.span)
			w.raise(f.who)
		}
	}},
	{"outage", 3, everybody, drawOutage, func(w *world, f *fault) {
		w.must(w.provider.SetFaults(w.mishaps, []simulator.Outage{f.how}))
	}},
	{"broker restart", 2, everybody, func(f *fault, r *rand.Rand) { f.span = seconds(r, 0, 50) }, func(w *world, f *fault) {
		if w.broker.running() {
			w.broker.stop()
			time.Sleep(f.span)
			w.broker.start()
		}
	}},
	{"Redis away", 2, everybody, func(f *fault, r *rand.Rand) { f.span = seconds(r, 0, 60) }, func(w *world, f *fault) {
		w.setRedisAway(true)
		time.Sleep(f.span)
		w.setRedisAway(false)
	}},
	{"Redis flush", 2, everybody, func(*fault, *rand.Rand) {}, func(w *world, _ *fault) { w.flushRedis() }},
	{"Redis clock jumps", 2, everybody, func(f *fault, r *rand.Rand) {
		f.size, f.span = seconds(r, -120, 120).Round(time.Millisecond), seconds(r, 0, 30)
	}, func(w *world, f *fault) {
		w.note(audit.Fault{Kind: audit.Redis, From: time.Now(), To: time.Now().Add(f.span)})
		w.redis.Skew(f.size)
		time.Sleep(f.span)
		w.redis.Skew(0)
	}},
	{"cancel", 1, everybody, func(*fault, *rand.Rand) {}, func(w *world, _ *fault) {
		_, _ = w.client.Queue.Cancel(w.ctx, "three") // it may be finished, or the broker away
	}},
	{"pause", 2, everybody, func(f *fault, r *rand.Rand) { f.span = seconds(r, 0, 20) }, func(w *world, f *fault) {
		_ = w.client.Queue.Pause(w.ctx, "two", "for no reason")
		time.Sleep(f.span)
		for w.client.Queue.Resume(w.ctx, "two") != nil {
			time.Sleep(time.Second)
		}
	}},
	{"replay", 1, everybody, func(*fault, *rand.Rand) {}, func(w *world, _ *fault) {
		for l, err := range w.client.Queue.Dead(w.ctx, deadOf("one")) {
			if err == nil {
				_ = w.client.Queue.Replay(w.ctx, l)
			}
		}
	}},
	{"enqueuer", 2, worker, func(f *fault, r *rand.Rand) {
		f.who, f.on, f.span = "enqueuer", trap{step: enqueued, when: r.IntN(2) == 0, nth: 1 + r.IntN(20)}, seconds(r, 0, 5)
	}, func(w *world, f *fault) { w.enqueueTwice(f) }},
}

// workerSteps are those that a worker takes.
var workerSteps = []step{pulled, looked, entered, noted, called, left, stored, buried, acked, wasted, presumed, returned, handed, renewed, beaten}

// anyStep draws a step and one of the next times it is taken.
func anyStep(r *rand.Rand, steps []step) trap {
	return trap{step: steps[r.IntN(len(steps))], when: r.IntN(2) == 0, nth: 1 + r.IntN(6)}
}

// mishaps are what goes wrong with a few calls all the time.
func mishaps() simulator.Odds {
	return simulator.Odds{
		"429": 0.03, "500": 0.03, "422": 0.01, simulator.Drop: 0.02, simulator.Cut: 0.02, simulator.Truncate: 0.01,
		simulator.Hang: 0.01, simulator.NoUsage: 0.02, simulator.Length: 0.01, simulator.Refuse: 0.01,
	}
}

func drawOutage(f *fault, r *rand.Rand) {
	f.how = simulator.Outage{
		Model: []string{"small", "large", ""}[r.IntN(3)],
		For:   seconds(r, 1, 60),
		Fault: []simulator.Fault{"503", "500", "429", simulator.Hang, simulator.Drop, simulator.Cut, simulator.Truncate, simulator.Garbage}[r.IntN(8)],
	}
}

func seconds(r *rand.Rand, from, to float64) time.Duration {
	return time.Duration((from + (to-from)*r.Float64()) * float64(time.Second))
}

// entrap has something happen at a step of the worker, if it takes it within a
// minute.
func (w *world) entrap(f *fault, spring func(l *link)) {
	m := w.names()[f.who]
	if m == nil {
		return
	}
	t := f.on
	t.spring = spring
	set := m.link.arm(t)
	select {
	case <-set.sprung:
	case <-time.After(time.Minute):
		m.link.disarm(set)
	}
}

// enqueueTwice enqueues a batch by a process that is killed in the middle and
// by another that goes on.
func (w *world) enqueueTwice(f *fault) {
	const batch, n = "four", 12
	w.mu.Lock()
	again := w.accepted[batch] != nil
	for i := range n {
		if !again {
			w.accepted[batch] = append(w.accepted[batch], fmt.Sprint(i))
		}
	}
	w.mu.Unlock()
	if again {
		return
	}
	killed := false
	for {
		m, err := w.connect(f.who, nil)
		if err == nil {
			alive, die := context.WithCancel(w.ctx)
			if t := f.on; !killed {
				t.spring = func(l *link) { l.sever(); die() }
				m.link.arm(t)
				killed = true
			}
			err = enqueueAll(alive, m, batch, n)
			die()
			_ = m.servers.Close()
		}
		if err == nil {
			return
		}
		time.Sleep(max(f.span, time.Second))
	}
}

// enqueueAll goes on with a batch until it is sealed.
func enqueueAll(ctx context.Context, m *member, batch string, n int) error {
	wr, err := m.servers.Queue.Enqueue(ctx, &jobs.Batch{ID: batch, Name: batch, Tenant: "acme", Chain: "default"})
	if err != nil {
		return err
	}
	for i := int(wr.Position().Count); i < n && !wr.Sealed(); i++ {
		id := fmt.Sprint(i)
		body := text(batch, id, "The parties agree on what follows.")
		if err := wr.Add(ctx, id, jobs.Document{Source: batch + "/" + id, Body: []byte(body)}); err != nil {
			return err
		}
	}
	if err := wr.Close(ctx); err != nil && !errors.Is(err, queue.ErrSealed) {
		return err
	}
	return nil
}
