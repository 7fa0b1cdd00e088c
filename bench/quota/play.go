package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"time"

	"github.com/drover-batch/drover/bench/process"
	"github.com/drover-batch/drover/internal/audit"
	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/llm/simulator"
)

const (
	model   = "small"
	latency = 500 * time.Millisecond
	typical = 200.0 // tokens of a call, in and out
)

// play is a scene from its first process to its figures.
func (r *rig) play(ctx context.Context, name string, s *scene) (f figures, err error) {
	c := &crew{rig: r, scene: s, name: name, there: map[string]audit.Presence{}}
	defer func() { err = errors.Join(err, c.close()) }()
	if c.provider, err = newProvider(s); err != nil {
		return f, err
	}
	observer, err := c.configure("observer")
	if err != nil {
		return f, err
	}
	settings, err := config.Load(config.Source{Path: observer, Environ: []string{}})
	if err != nil {
		return f, err
	}
	servers, err := wire.Connect(ctx, settings, true)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, servers.Close()) }()
	for range s.replicas {
		if err := c.hire(); err != nil {
			return f, err
		}
	}
	if err := c.ready(); err != nil {
		return f, err
	}
	if err := c.submit(ctx, servers); err != nil {
		return f, err
	}
	from, to, err := c.perform(ctx)
	if err != nil {
		return f, err
	}
	m := audit.Meter{Limit: s.limit, Calls: c.calls(), There: c.there, Since: c.since}
	return figures{*s, m.Between(from, to)}, nil
}

// submit enqueues more than the fleet can do, in documents of many sizes.
func (c *crew) submit(ctx context.Context, servers *wire.Servers) error {
	w, err := servers.Queue.Enqueue(ctx, &jobs.Batch{ID: "papers", Name: "papers", Tenant: "acme", Chain: "default"})
	if err != nil {
		return err
	}
	dice := rand.New(rand.NewPCG(1, 2))
	for i := range int(c.scene.perSecond() * 1.4 * (c.warmUp + c.scene.longer + c.measured + 5*time.Second).Seconds()) {
		body := fmt.Sprintf("# Paper %d\n\n%sThe end.", i, strings.Repeat("Whereas they met. ", 12+dice.IntN(50)))
		if err := w.Add(ctx, fmt.Sprint(i), jobs.Document{Source: fmt.Sprint(i), Body: []byte(body)}); err != nil {
			return err
		}
	}
	return w.Close(ctx)
}

// perform lets time pass, and happen what the scene is about. It returns when
// the measuring began and ended.
func (c *crew) perform(ctx context.Context) (from, to time.Time, err error) {
	ctx, cancel := context.WithCancel(ctx)
	background := make(chan error, 2)
	running := 0
	start := func(f func(context.Context) error) {
		running++
		go func() { background <- f(ctx) }()
	}
	if c.scene.others > 0 {
		start(func(ctx context.Context) error {
			return c.provider.others(ctx, c.scene.others*c.scene.perSecond())
		})
	}
	if c.scene.churn {
		start(c.comeAndGo)
	}
	from, to, err = c.pass(ctx)
	cancel()
	for range running {
		err = errors.Join(err, <-background)
	}
	return from, to, err
}

func (c *crew) pass(ctx context.Context) (from, to time.Time, err error) {
	process.Pause(ctx, c.warmUp)
	if c.scene.outage > 0 {
		err = c.provider.SetFaults(nil, []simulator.Outage{{For: c.scene.outage}})
		process.Pause(ctx, c.scene.outage)
		c.since = time.Now()
	}
	if c.scene.change > 0 {
		changed := c.scene.limit
		changed.RequestsPerMinute = c.scene.change
		err = c.provider.SetLimits(map[string]simulator.Limit{model: changed})
		c.scene.limit, c.since = changed, time.Now()
	}
	process.Pause(ctx, c.scene.longer)
	from = time.Now()
	process.Pause(ctx, c.measured)
	return from, time.Now(), err
}

// calls are those that reached the provider, with who made them.
func (c *crew) calls() []audit.Asked {
	entries := c.provider.Ledger(0)
	c.provider.mu.Lock()
	defer c.provider.mu.Unlock()
	all := make([]audit.Asked, len(entries))
	for i, e := range entries {
		all[i] = audit.Asked{Entry: e, Who: c.provider.came[e.ID]}
	}
	return all
}

func (c *crew) folder(who string) string { return filepath.Join(c.rig.dir, c.name+"-"+who) }
