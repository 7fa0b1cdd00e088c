package wire

import (
	"bytes"
	"context"
	"net"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/pool"
	"github.com/drover-batch/drover/resilience"
)

// change is something between the workers and the rest of their world: a
// fault, or a mistake in their protocol. What is nil changes nothing.
type change struct {
	worker func(m *member)                                               // before it runs
	says   func(l *link, p []byte) []byte                                // to the broker: returns what goes out
	hears  func(l *link, p []byte)                                       // from the broker: written over
	redis  func(ctx context.Context, c redis.Cmder, run redisCall) error // in place of running a command
}

// changing makes a change for one world.
type changing func(w *world) change

type redisCall func(ctx context.Context, c redis.Cmder) error

func (w *world) change(m *member) {
	for _, c := range w.changes {
		if c.worker != nil {
			c.worker(m)
		}
	}
}

// wire is the connection of a process to the broker.
func (w *world) wire(l *link, conn net.Conn) net.Conn {
	if len(w.changes) == 0 || l.name == "client" {
		return conn
	}
	return &changedConn{conn, l}
}

type changedConn struct {
	net.Conn
	link *link
}

func (c *changedConn) Write(p []byte) (int, error) {
	out := bytes.Clone(p)
	for _, change := range c.link.w.changes {
		if change.says != nil {
			out = change.says(c.link, out)
		}
	}
	if len(out) == 0 {
		return len(p), nil // a pipe waits until also nothing is read
	}
	if _, err := c.Conn.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (c *changedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	for _, change := range c.link.w.changes {
		if change.hears != nil {
			change.hears(c.link, p[:n])
		}
	}
	return n, err
}

// hook ties a client of Redis to the process and to what lies in between.
func (w *world) hook(rdb redis.UniversalClient, l *link) {
	rdb.AddHook(l)
	for _, c := range w.changes {
		if c.redis != nil && l.name != "client" {
			rdb.AddHook(changedRedis(c.redis))
		}
	}
}

type changedRedis func(ctx context.Context, c redis.Cmder, run redisCall) error

func (f changedRedis) DialHook(next redis.DialHook) redis.DialHook { return next }

func (f changedRedis) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (f changedRedis) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, c redis.Cmder) error {
		return f(ctx, c, redisCall(next))
	}
}

// scripted replaces words of the gate's script, given in pairs. A script
// without them is left alone.
func scripted(pairs ...string) changing {
	return func(w *world) change {
		return change{redis: func(ctx context.Context, c redis.Cmder, run redisCall) error {
			if args := c.Args(); c.Name() == "eval" { // by its hash it is not known to the server
				text, all := args[1].(string), true
				for i := 0; i < len(pairs); i += 2 {
					all = all && strings.Contains(text, pairs[i])
				}
				if all {
					args[1] = strings.NewReplacer(pairs...).Replace(text)
					w.mistaken.Add(1)
				}
			}
			return run(ctx, c)
		}}
	}
}

// lending lends the deliveries of a worker in another form.
func lending(as func(w *world, m *member, d jobs.Delivery) jobs.Delivery) changing {
	return func(w *world) change {
		return change{worker: func(m *member) {
			m.lendAs(func(d jobs.Delivery) jobs.Delivery { return as(w, m, d) })
		}}
	}
}

type lender struct {
	pool.Source
	as func(jobs.Delivery) jobs.Delivery
}

func (l *lender) Next(ctx context.Context, free int) ([]jobs.Delivery, error) {
	list, err := l.Source.Next(ctx, free)
	return l.all(list), err
}

func (l *lender) all(list []jobs.Delivery) []jobs.Delivery {
	for i, d := range list {
		list[i] = l.as(d)
	}
	return list
}

// lendAs changes what a worker is lent.
func (m *member) lendAs(as func(jobs.Delivery) jobs.Delivery) {
	p := m.worker.Pool
	l := &lender{p.Source, as}
	newcomers := p.Newcomers
	p.Source = l
	p.Newcomers = func(ctx context.Context, most int) ([]jobs.Delivery, error) {
		list, err := newcomers(ctx, most)
		return l.all(list), err
	}
}

// spoiled makes a header unknown to the broker and to readers in what workers
// write to a subject.
func spoiled(header, subject string) changing {
	return func(w *world) change {
		return change{says: func(_ *link, p []byte) []byte {
			for at := 0; ; {
				i := bytes.Index(p[at:], []byte("HPUB "+subject))
				if i < 0 {
					return p
				}
				at += i + 1
				if i := bytes.Index(p[at:], []byte("\r\n"+header+":")); i >= 0 {
					p[at+i+2] = 'X'
					w.mistaken.Add(1)
				}
			}
		}}
	}
}

// telling changes what the models' clients say of a failure.
func telling(as func(w *world, err error) error) changing {
	return func(w *world) change {
		return change{worker: func(m *member) {
			for _, chain := range m.worker.chains {
				for i, link := range chain.Links {
					chain.Links[i].Asker = &teller{link.Asker, func(err error) error { return as(w, err) }}
				}
			}
		}}
	}
}

type teller struct {
	resilience.Asker
	as func(error) error
}

func (a *teller) Ask(ctx context.Context, r *jobs.Request, output int) (*jobs.Answer, error) {
	answer, err := a.Asker.Ask(ctx, r, output)
	if err != nil {
		err = a.as(err)
	}
	return answer, err
}
