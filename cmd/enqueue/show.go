package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/drover-batch/drover/documents"
	"github.com/drover-batch/drover/jobs"
)

func newShow(c *cli) *cobra.Command {
	var in input
	count := 1
	cmd := &cobra.Command{
		Use:   "show PATH…",
		Short: "Show what models would be asked, without asking",
		Long: `Reads the first documents at PATH and shows the messages that the prompt makes
of each, its fields, which models of the chain it fits, and what asking them
costs at the most. Nobody is asked and nothing is enqueued.`,
		Example: `  enqueue show invoices.csv --prompt "Is {{.amount}} unusual for {{.vendor}}?"
  enqueue show contracts --prompt @question.txt -n 3`,
		Args: somePaths,
		RunE: func(cmd *cobra.Command, args []string) error { return c.show(cmd.Context(), &in, args, count) },
	}
	in.register(cmd)
	c.modelFlags(cmd)
	cmd.Flags().IntVarP(&count, "count", "n", count, "`number` of documents to show")
	return cmd
}

func (c *cli) show(ctx context.Context, in *input, paths []string, count int) error {
	if count < 1 {
		return misused(fmt.Errorf("--count %d: show at least 1 document", count))
	}
	p, f, err := c.plan(ctx, in, paths)
	if err != nil {
		return err
	}
	shown := 0
	for item, problem := range f.reader.Read(ctx, paths...) {
		if problem != nil {
			f.report(problem)
			continue
		}
		if shown++; shown > count {
			break
		}
		preview, err := p.preview(&item)
		if err != nil {
			return misused(errors.New(messageOf(err)))
		}
		if c.json {
			err = c.print(preview)
		} else {
			preview.write(c.out)
		}
		if err != nil {
			return err
		}
	}
	if shown == 0 {
		return misused(fmt.Errorf("there is no document to ask about in %s", strings.Join(paths, " ")))
	}
	return ctx.Err()
}

// preview is a document as models would get it.
type preview struct {
	CustomID string            `json:"custom_id"`
	Source   string            `json:"source"`
	Fields   map[string]string `json:"fields,omitempty"`
	System   string            `json:"system,omitempty"`
	User     string            `json:"user,omitempty"`
	Image    string            `json:"image,omitempty"`  // its media type
	Schema   json.RawMessage   `json:"schema,omitempty"` // that the answer has to match
	Tools    []string          `json:"tools,omitempty"`  // that models may use
	Body     string            `json:"body,omitempty"`   // of a ready request
	Models   []previewModel    `json:"models"`
}

type previewModel struct {
	Model    string   `json:"model"`
	Tokens   int64    `json:"tokens"` // of input, at the most
	Output   int64    `json:"max_output"`
	Obstacle string   `json:"obstacle,omitempty"`
	Cost     *float64 `json:"max_cost_usd"` // nil: no price is known
}

func (p *planner) preview(item *documents.Item) (*preview, error) {
	d := &item.Document
	r, err := p.render(d)
	if err != nil {
		return nil, err
	}
	v := &preview{CustomID: item.CustomID, Source: d.Source, Fields: d.Fields, System: r.System, Image: d.Type, Schema: r.Schema, Body: string(r.Body)}
	if !d.Ready() {
		v.Tools = p.tools
	}
	if len(r.Messages) > 0 {
		v.User = r.Messages[0].Text
	}
	for i := range p.steps {
		s := &p.steps[i]
		z := s.of(r)
		m := previewModel{Model: s.model.Name, Tokens: z.most, Output: z.output, Obstacle: z.obstacle}
		if cost, known := s.worst(z); known {
			usd := dollars(cost)
			m.Cost = &usd
		}
		v.Models = append(v.Models, m)
	}
	return v, nil
}

// mostShown is how much of a message is shown to people: its beginning and its
// end say how the prompt came out.
const mostShown = 4000

func (v *preview) write(w io.Writer) {
	tell(w, "%s (custom id %s)", plain(v.Source), plain(v.CustomID))
	if len(v.Fields) > 0 {
		tell(w, "fields: %s", plain(strings.Join(slices.Sorted(maps.Keys(v.Fields)), ", ")))
	}
	if len(v.Tools) > 0 {
		tell(w, "tools: %s", plain(strings.Join(v.Tools, ", ")))
	}
	for _, part := range []struct{ name, text string }{
		{"system", v.System}, {"user", v.User}, {"request", v.Body}, {"schema of the answer", string(v.Schema)},
	} {
		if part.text != "" {
			tell(w, "\n--- %s ---\n%s", part.name, strings.TrimRight(middleCut(part.text), "\n"))
		}
	}
	if v.Image != "" {
		tell(w, "\n--- image: %s ---", v.Image)
	}
	tell(w, "\n---")
	for _, m := range v.Models {
		cost := "its price is unknown"
		if m.Cost != nil {
			cost = "at most " + jobs.USD(*m.Cost*float64(jobs.Dollar)+0.5).String()
		}
		if m.Obstacle != "" {
			tell(w, "%s: %s", m.Model, m.Obstacle)
			continue
		}
		tell(w, "%s: %d tokens and up to %d in answer, %s", m.Model, m.Tokens, m.Output, cost)
	}
	tell(w, "")
}

func middleCut(text string) string {
	r := []rune(text)
	if len(r) <= mostShown {
		return text
	}
	half := mostShown / 2
	return fmt.Sprintf("%s\n[… %d characters …]\n%s", string(r[:half]), len(r)-2*half, string(r[len(r)-half:]))
}
