package main

import (
	"context"
	"fmt"
	"hash/fnv"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/jobs"
)

func newEstimate(c *cli) *cobra.Command {
	var in input
	answer := int64(typicalAnswer)
	cmd := &cobra.Command{
		Use:   "estimate PATH…",
		Short: "Say what a batch would take and cost, without asking anybody",
		Long: `Reads the documents at PATH, counts the tokens of what would be asked about
each, and says which models of the chain they fit, what that costs, and how
long it takes under the configured limits. Nobody is asked and nothing is
enqueued. enqueue run --sample 20 measures the same on twenty of them.

The lower figures are for answers of --answer tokens, the higher ones for
answers as long as the models may write. Retries come on top.`,
		Example: `  enqueue estimate contracts --prompt @question.txt --model gpt-4.1-mini
  enqueue estimate archive.jsonl --config drover.yaml --json`,
		Args: somePaths,
		RunE: func(cmd *cobra.Command, args []string) error { return c.estimate(cmd.Context(), &in, args, answer) },
	}
	in.register(cmd)
	c.modelFlags(cmd)
	cmd.Flags().Int64Var(&answer, "answer", answer, "`tokens` of a typical answer")
	return cmd
}

func (c *cli) estimate(ctx context.Context, in *input, paths []string, answer int64) error {
	if answer < 1 {
		return misused(fmt.Errorf("--answer %d: a typical answer has at least 1 token", answer))
	}
	p, f, err := c.plan(ctx, in, paths)
	if err != nil {
		return err
	}
	e := newEstimation(p, answer)
	for item, problem := range f.read(ctx) {
		if problem != nil {
			f.report(problem)
			e.LeftOut++
			continue
		}
		r, err := p.render(&item.Document)
		if err != nil {
			return misused(err)
		}
		e.add(item.CustomID, r)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if e.Documents == 0 {
		return misused(fmt.Errorf("there is no document to ask about in %s", strings.Join(paths, " ")))
	}
	e.time(p.config)
	if c.json {
		return c.print(e)
	}
	return e.write(c.out)
}

// estimation is what a batch would take. Pairs are what is likely and what is
// the most.
type estimation struct {
	Documents int64       `json:"documents"`
	LeftOut   int64       `json:"left_out"`
	Counted   int64       `json:"counted"` // documents whose tokens were counted; the others' go by their length
	NoModel   int64       `json:"no_model"`
	Input     [2]int64    `json:"input_tokens"`
	Output    [2]int64    `json:"output_tokens"`
	Cost      [2]float64  `json:"cost_usd"`
	Seconds   [2]float64  `json:"seconds"`
	Bound     string      `json:"bound_by"`
	Models    []stepCount `json:"models"`

	planner *planner
	answer  int64
	rates   []rate
}

// stepCount is what falls to one model of the chain.
type stepCount struct {
	Model     string     `json:"model"`
	Documents int64      `json:"documents"` // calls, if none fails
	Input     [2]int64   `json:"input_tokens"`
	Output    [2]int64   `json:"output_tokens"`
	Cost      [2]float64 `json:"cost_usd"`
	Priced    bool       `json:"priced"`
	cost      [2]jobs.USD
}

// rate is how many tokens the bytes of the counted documents had.
type rate struct{ bytes, likely, most int64 }

const (
	typicalAnswer = 150       // tokens, of an answer of a few sentences
	countAll      = 2_000     // so many documents are all counted
	countEvery    = 16        // and of those behind them one in so many
	countBytes    = 256 << 20 // unless they are longer than that already
)

func newEstimation(p *planner, answer int64) *estimation {
	e := &estimation{planner: p, answer: answer, rates: make([]rate, len(p.steps)), Models: make([]stepCount, len(p.steps))}
	for i := range p.steps {
		m := &p.steps[i].model
		e.Models[i].Model, e.Models[i].Priced = m.Name, m.Price != nil
	}
	return e
}

// add takes in one request: it goes to the first model that it fits.
func (e *estimation) add(id string, r *jobs.Request) {
	e.Documents++
	length := bytesOf(r)
	count := e.counts(id)
	if count {
		e.Counted++
	}
	for i := range e.planner.steps {
		s, seen := &e.planner.steps[i], &e.rates[i]
		var z size
		if count || seen.bytes == 0 {
			z = s.of(r)
			seen.bytes, seen.likely, seen.most = seen.bytes+length, seen.likely+z.likely, seen.most+z.most
		} else {
			share := float64(length) / float64(seen.bytes)
			z = s.fit(r, int64(share*float64(seen.likely))+1, int64(share*float64(seen.most))+1)
		}
		if z.obstacle == "" {
			e.book(i, z)
			return
		}
	}
	e.NoModel++
}

// counts decides by the custom id whether a document is counted, so that the
// same input always has the same estimate.
func (e *estimation) counts(id string) bool {
	if e.Documents <= countAll && e.rates[0].bytes < countBytes {
		return true
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(id))
	return h.Sum64()%countEvery == 0
}

func (e *estimation) book(i int, z size) {
	m, price := &e.Models[i], e.planner.steps[i].model.Price
	m.Documents++
	output := [2]int64{min(e.answer, z.output), z.output}
	for j, input := range [2]int64{z.likely, z.most} {
		m.Input[j] += input
		m.Output[j] += output[j]
		e.Input[j] += input
		e.Output[j] += output[j]
		if price == nil {
			continue
		}
		cost := price.Worst(input, output[j])
		m.cost[j] += cost
		m.Cost[j] = dollars(m.cost[j])
	}
}

// time works out the sums that need all documents: cost and duration.
func (e *estimation) time(cfg *config.Config) {
	for j := range 2 {
		var cost jobs.USD
		s := schedule{cfg: cfg}
		for i := range e.Models {
			m := &e.Models[i]
			cost += m.cost[j]
			s.add(&e.planner.steps[i].model, load{
				calls: m.Documents, tokens: m.Input[j] + m.Output[j],
				busy: time.Duration(float64(m.Documents)*float64(time.Second) + float64(m.Output[j])/wordsPerSecond*float64(time.Second)),
			})
		}
		e.Cost[j] = dollars(cost)
		took, bound := s.duration()
		e.Seconds[j] = took.Seconds()
		if j == 0 {
			e.Bound = bound
		}
	}
}

// wordsPerSecond is how many tokens a second models are taken to write, after
// a second of thought.
const wordsPerSecond = 60

func (e *estimation) write(w io.Writer) error {
	how := ""
	if e.Counted < e.Documents {
		how = fmt.Sprintf(" (counted in %d of them, the rest by length)", e.Counted)
	}
	left := ""
	if e.LeftOut > 0 {
		left = fmt.Sprintf(", %d left out", e.LeftOut)
	}
	tell(w, "%s%s%s", jobs.Counted(e.Documents, "document"), left, how)
	tell(w, "%s tokens in, %s out", span(e.Input), span(e.Output))
	tell(w, "cost %s for answers of %d tokens, at most %s%s", usd(e.Cost[0]), e.typical(), usd(e.Cost[1]), e.unpriced())
	tell(w, "about %s to %s, bound by %s\n", short(seconds(e.Seconds[0])), short(seconds(e.Seconds[1])), e.Bound)
	table := newFigures(w)
	table.row("model", "documents", "tokens in", "tokens out", "cost", "at most", "")
	for _, m := range e.Models {
		low, high := usd(m.Cost[0]), usd(m.Cost[1])
		if !m.Priced {
			low, high = "unknown", "unknown"
		}
		table.row(m.Model, m.Documents, m.Input[0], m.Output[0], low, high, "")
	}
	err := table.flush()
	if e.NoModel > 0 {
		tell(w, "\n%s for no model: too long, or an image that none sees (see enqueue show)", jobs.Counted(e.NoModel, "document"))
	}
	if len(e.planner.tools) > 0 {
		tell(w, "\nModels may use tools: this is the first call of each document, and what follows comes on top.")
	}
	tell(w, "\nNobody was asked. Retries come on top; enqueue run --sample 20 measures.")
	return err
}

// typical is how long answers are taken to be: models may not be allowed so much.
func (e *estimation) typical() int64 {
	documents := int64(0)
	for _, m := range e.Models {
		documents += m.Documents
	}
	if documents == 0 {
		return e.answer
	}
	return e.Output[0] / documents
}

func (e *estimation) unpriced() string {
	var names []string
	for _, m := range e.Models {
		if !m.Priced && m.Documents > 0 {
			names = append(names, m.Model)
		}
	}
	if names == nil {
		return ""
	}
	return ", without " + strings.Join(names, " and ") + ", whose price is unknown"
}

func span(pair [2]int64) string {
	if pair[0] == pair[1] {
		return fmt.Sprint(pair[0])
	}
	return fmt.Sprintf("%d to %d", pair[0], pair[1])
}

func usd(amount float64) string { return jobs.USD(amount*float64(jobs.Dollar) + 0.5).Short() }

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
