package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/drover-batch/drover/documents"
	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/llm"
	"github.com/drover-batch/drover/tools"
)

// planner tells what asking about a document would take, without asking.
type planner struct {
	config *config.Config
	prompt *documents.Prompt
	schema json.RawMessage // that answers have to match
	tools  []string        // that models may use, as lists of them say
	own    []jobs.Tool     // those of them that are over the document
	steps  []step
}

// step is one model of the chain.
type step struct {
	model  jobs.Model
	client *llm.Client
}

// plan is prepare for whoever only wants to know what asking would take.
func (c *cli) plan(ctx context.Context, in *input, paths []string) (*planner, *feeder, error) {
	cfg, err := c.load()
	if err != nil {
		return nil, nil, err
	}
	b, f, err := c.prepare(ctx, cfg, in, paths)
	if err != nil {
		return nil, nil, err
	}
	p, err := newPlanner(cfg, b, f.prompt)
	if err != nil {
		return nil, nil, err
	}
	return p, f, p.equip(ctx, b)
}

// equip has requests name the tools over the document, as those of a worker do.
// What tool servers have is known once they are started, which they are not.
func (p *planner) equip(ctx context.Context, b *jobs.Batch) error {
	p.tools, _ = jobs.NarrowTools(p.config.Chains[b.Chain].Agent.Tools, b.Tools)
	own := slices.DeleteFunc(slices.Clone(p.tools), func(name string) bool { return !strings.HasPrefix(name, jobs.DocumentTools+".") })
	kit, err := tools.New(tools.Config{}).Kit(ctx, own, nil)
	if err != nil {
		return err
	}
	if kit.ReadsDocument() {
		p.prompt = p.prompt.WithoutText()
	}
	p.own = kit.Tools()
	return nil
}

func newPlanner(cfg *config.Config, b *jobs.Batch, prompt *documents.Prompt) (*planner, error) {
	models, err := cfg.Chain(b.Chain)
	if err != nil {
		return nil, misused(err)
	}
	p := &planner{config: cfg, prompt: prompt, schema: b.Answer.Schema}
	for _, m := range models {
		if m.Provider == "simulator" && m.BaseURL == "" {
			m.BaseURL = "http://simulator/v1" // it gets its address when it is started
		}
		client, err := llm.New(m, http.DefaultClient) // which is never used
		if err != nil {
			return nil, misused(err)
		}
		p.steps = append(p.steps, step{m, client})
	}
	return p, nil
}

// render makes the request that a worker would.
func (p *planner) render(d *jobs.Document) (*jobs.Request, error) {
	r, err := p.prompt.Render(d)
	if err != nil || d.Ready() {
		return r, err
	}
	r.Schema, r.Tools = p.schema, p.own
	return r, nil
}

// size is what one request is to one model.
type size struct {
	likely, most int64 // tokens of input
	output       int64 // most tokens of the answer
	obstacle     string
}

// of counts a request for a model of the chain.
func (s *step) of(r *jobs.Request) size {
	likely, most := s.client.Bounds(r)
	return s.fit(r, likely, most)
}

// fit tells whether a request of so many tokens can go to the model.
func (s *step) fit(r *jobs.Request, likely, most int64) size {
	z := size{likely: likely, most: most, output: int64(s.model.MaxOutput)}
	if r.MaxOutput > 0 {
		z.output = min(z.output, int64(r.MaxOutput))
	}
	switch {
	case !s.model.Vision && slices.ContainsFunc(r.Messages, func(m jobs.Message) bool { return len(m.Images) > 0 }):
		z.obstacle = "does not see images"
	case !s.model.HasRoom(most, z.output):
		z.obstacle = fmt.Sprintf("too long: %d tokens do not fit its %d", most, s.model.Context)
	case s.model.Context > 0:
		z.output = min(z.output, int64(s.model.Context)-most)
	}
	return z
}

// worst is the most that one call of that size costs.
func (s *step) worst(z size) (cost jobs.USD, known bool) {
	if s.model.Price == nil {
		return 0, false
	}
	return s.model.Price.Worst(z.most, z.output), true
}

// bytesOf is how much text a request holds.
func bytesOf(r *jobs.Request) int64 {
	n := len(r.System) + len(r.Schema) + len(r.Body)
	for i := range r.Messages {
		n += len(r.Messages[i].Text)
	}
	return int64(n)
}
