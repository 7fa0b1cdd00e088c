package main

import (
	"context"
	"sync"
	"time"

	"github.com/drover-batch/drover/bench/process"
	"github.com/drover-batch/drover/internal/audit"
	"github.com/drover-batch/drover/llm/simulator"
)

// perform does everything that is planned, each at its time, and returns when
// all of it is over.
func (r *rig) perform(ctx context.Context, steps []step) {
	var doing sync.WaitGroup
	began := time.Now()
	for i := range steps {
		s := &steps[i]
		process.Pause(ctx, s.at-time.Since(began))
		if ctx.Err() != nil {
			break
		}
		r.say("%v", s)
		doing.Go(func() { r.do(ctx, s) })
	}
	doing.Wait()
}

func (r *rig) do(ctx context.Context, s *step) {
	var w *worker
	if len(s.workers) > 0 {
		w = r.workers[s.workers[0]]
	}
	switch s.what {
	case "kill":
		w.kill()
		process.Pause(ctx, s.lasts)
		w.want()
	case "freeze":
		w.freeze(ctx, s.lasts)
	case "stop":
		r.restart(ctx, w, s.lasts)
	case "rolling restart":
		for _, i := range s.workers {
			r.restart(ctx, r.workers[i], 0)
		}
	case "kill nats":
		r.natsAway(ctx, s, func() { process.Pause(ctx, s.lasts) })
	case "keep nats away":
		r.natsAway(ctx, s, func() {
			process.Pause(ctx, s.lasts/2)
			w.kill()
			w.want()
			process.Pause(ctx, s.lasts/2)
		})
	case "kill redis":
		r.redisAway(ctx, s.lasts)
	case "flush redis":
		r.flush(ctx)
	case "kill and flush":
		w.kill()
		process.Pause(ctx, s.lasts)
		r.flush(ctx)
		w.want()
	case "weather":
		r.blow(ctx, w, s)
	case "outage":
		r.outage(ctx, s)
	case "cancel":
		r.command(ctx, "cancel", r.current["four"].known())
	case "replay":
		r.command(ctx, "dead", "replay", r.current["one"].known())
	case "kill the enqueuer":
		from := time.Now()
		if r.current["six"].interrupt(ctx, s.lasts) {
			r.note(audit.Fault{Kind: audit.Enqueuer, What: "killed", From: from, To: time.Now()})
		}
	}
}

// restart stops a worker in order and starts it again.
func (r *rig) restart(ctx context.Context, w *worker, down time.Duration) {
	from := time.Now()
	w.stop()
	r.note(audit.Fault{Kind: audit.Stop, Worker: w.name, From: from, To: time.Now()})
	process.Pause(ctx, down)
	w.want()
	_ = process.Until(5*time.Second, "", func() bool { return w.ready() || ctx.Err() != nil }) // or not: NATS may be away
}

// natsAway kills a node, all there is or the leader of a cluster's outcomes,
// and starts it again afterwards. Clients take a while to notice.
func (r *rig) natsAway(ctx context.Context, s *step, meanwhile func()) {
	n := r.nats[0]
	if len(r.nats) > 1 {
		n = r.leader(ctx, r.nats[s.node%len(r.nats)])
	}
	from := time.Now()
	n.proc.Kill()
	meanwhile()
	err := r.startNATS(n)
	if err != nil {
		r.say("%v", err)
	}
	r.note(audit.Fault{Kind: audit.Broker, What: n.name + " was killed", From: from, To: time.Now().Add(reconnects)})
}

// leader is the node that leads the outcomes, or the other one if nobody says.
func (r *rig) leader(ctx context.Context, other *natsNode) *natsNode {
	name := r.watch.leader(ctx)
	for _, n := range r.nats {
		if n.name == name {
			return n
		}
	}
	return other
}

func (r *rig) redisAway(ctx context.Context, d time.Duration) {
	from := time.Now()
	r.redis.proc.Kill()
	process.Pause(ctx, d)
	if err := r.startRedis(); err != nil {
		r.say("%v", err)
	}
	r.note(audit.Fault{Kind: audit.Redis, From: from, To: time.Now()})
}

func (r *rig) flush(ctx context.Context) {
	from := time.Now()
	if err := r.redis.client.FlushAll(context.WithoutCancel(ctx)).Err(); err != nil {
		r.say("flushing Redis: %v", err)
	}
	r.note(audit.Fault{Kind: audit.Flush, From: from, To: time.Now()})
}

// blow has weather on one of a worker's links for a while.
func (r *rig) blow(ctx context.Context, w *worker, s *step) {
	links, late := []*proxy{w.provider}, time.Duration(0)
	switch s.link {
	case "nats":
		links, late = w.nats, reconnects
	case "redis":
		links = []*proxy{w.redis}
	}
	from := time.Now()
	for _, x := range links {
		x.set(s.weather)
	}
	process.Pause(ctx, s.lasts)
	for _, x := range links {
		x.set(weather{})
	}
	r.note(audit.Fault{Kind: audit.Network, Worker: w.name, What: s.link + " " + s.words, From: from, To: time.Now().Add(late)})
}

func (r *rig) outage(ctx context.Context, s *step) {
	from := time.Now()
	err := r.provider.SetFaults(odds, []simulator.Outage{{Model: s.model, For: s.lasts, Fault: s.fault}})
	if err != nil {
		r.say("%v", err)
	}
	process.Pause(ctx, s.lasts)
	r.note(audit.Fault{Kind: audit.Provider, What: "an outage " + s.words, From: from, To: time.Now()})
}
