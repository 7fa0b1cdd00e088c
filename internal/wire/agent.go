package wire

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/resilience"
	"github.com/drover-batch/drover/tools"
)

// toolbox makes the box of the tool servers that the chains may use.
func toolbox(p Parts) (*tools.Box, error) {
	c := p.Config
	used := map[string]bool{}
	for _, chain := range c.Chains {
		for _, entry := range chain.Agent.Tools {
			server, _, _ := strings.Cut(entry, ".")
			used[server] = true
		}
	}
	servers := map[string]tools.Server{}
	for name, s := range c.ToolServers {
		if !used[name] {
			continue
		}
		environ, err := c.ToolEnviron(name)
		if err != nil {
			return nil, err
		}
		token, err := c.ToolToken(name)
		if err != nil {
			return nil, err
		}
		servers[name] = tools.Server{
			Command: s.Command, Env: environ, URL: s.URL, Token: token,
			Timeout: s.Timeout, MaxResult: int(s.MaxResult),
			Concurrent: s.Concurrent, PerMinute: s.PerMinute, PerJob: s.PerJob,
		}
	}
	turns := &resilience.Turns{Redis: p.Redis, Keys: lua.Keyspace(c.Redis.Prefix)}
	return tools.New(tools.Config{
		Servers: servers, Dial: p.DialTools, Turn: turns.Wait,
		Note: func(server, what string) { p.Log.Debug().Str("tool_server", server).Msg(what) },
	}), nil
}

// kit is the tools that a job may use, nil for none. If they are not to be had
// now, it is the decision to wait for them.
func (w *Worker) kit(ctx context.Context, b *jobs.Batch, d *jobs.Document) (*tools.Kit, *jobs.Decision) {
	agent := w.parts.Config.Chains[b.Chain].Agent
	allowed, refused := jobs.NarrowTools(agent.Tools, b.Tools)
	switch {
	case d.Ready():
		return nil, nil
	case len(refused) > 0:
		return nil, w.lacking(b, unknownChain, fmt.Errorf("the batch wants the tools %s, which the chain %q of this worker may not use", strings.Join(refused, ", "), b.Chain))
	case len(allowed) == 0:
		return nil, nil
	}
	kit, err := w.box.Kit(ctx, allowed, agent.Calls)
	switch away, ok := errors.AsType[*tools.Away](err); {
	case ok:
		return nil, w.lacking(b, away.Wait, err)
	case ctx.Err() != nil:
		return nil, &jobs.Decision{Back: true}
	case err != nil:
		return nil, w.lacking(b, unknownChain, err)
	}
	return kit, nil
}

// lacking lets the batch rest: another worker may have what it needs, or this
// one later.
func (w *Worker) lacking(b *jobs.Batch, wait time.Duration, why error) *jobs.Decision {
	return new(w.rests(b, max(wait, 100*time.Millisecond), "a batch waits for its tools", why))
}

// equip lets a task use tools. ran is told of each that is run.
func equip(t *resilience.Task, kit *tools.Kit, ran tools.Ran) {
	document := &t.Job.Document
	t.Turn = func(ctx context.Context, talk []jobs.Message) ([]jobs.Message, error) {
		replies := kit.Run(ctx, document, talk, ran)
		return replies, context.Cause(ctx) // one that was cut short has not been run
	}
}
