package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-batch/drover/answers"
	"github.com/drover-batch/drover/documents"
	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/jobs"
)

// input is what a batch is made of.
type input struct {
	paths   []string
	format  string
	strict  bool
	isolate bool
	sample  int
	yes     bool

	name, tenant, chain string
	prompt, system      string
	budget, whenSpent   string
	alertAt             []float64
	cheaperAt           float64
	deadline            time.Duration
	weight              int
	whenLimited         string
	cached              bool
	unavailable         string
	agent               agent
	dedupe              string

	except []string // files that are written, and so not read
	asked  []string // who answers, where no configuration says so; see askedBy

	demands
	standard *answers.Standard // what they came to
}

func (in *input) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&in.prompt, "prompt", "", "what to ask: `TEXT` or @FILE, a template over {{.Text}}, {{.Source}} and the document's fields")
	f.StringVar(&in.system, "system", "", "system prompt: `TEXT` or @FILE")
	f.StringVar(&in.name, "name", "", "`name` of the batch (default: after the first path)")
	f.StringVar(&in.tenant, "tenant", "default", "`name` of whom work and money belong to")
	f.StringVar(&in.chain, "chain", "", "`chain` of models to try in order (default: default)")
	f.StringVar(&in.budget, "budget", "", "most US `dollars` to spend, such as 2.50")
	f.StringVar(&in.whenSpent, "when-spent", string(jobs.PauseWhenSpent), "what becomes of the rest once the budget is used up: `pause, bury or expire`")
	f.Float64SliceVar(&in.alertAt, "alert-at", nil, "`shares` of the budget that raise an alert, such as 0.5,0.8")
	f.Float64Var(&in.cheaperAt, "cheaper-at", 0, "`share` of the budget from which cheaper models of the chain are asked first, such as 0.8")
	f.DurationVar(&in.deadline, "deadline", 0, "`time` after which to give up on what is not answered, such as 6h")
	f.IntVar(&in.weight, "weight", 1, "`number` of shares it has in the tenant's slots and calls, beside its other batches")
	f.StringVar(&in.whenLimited, "when-limited", "", "what to do while a model's quota is used up: `wait, fallback or auto`; default: as the chain says")
	f.BoolVar(&in.cached, "cached", false, "accept an earlier answer to the same request when no model can answer")
	f.StringVar(&in.unavailable, "unavailable", "", "`TEXT` that stands in when no model can answer")
	in.agent.flags(cmd)
	f.StringVar(&in.dedupe, "dedupe", string(jobs.DedupeOff), "which identical requests to pay for once: those of this batch, or of all batches of its tenant that say so: `batch, tenant or off`")
	in.demands.flags(cmd)
	f.StringVar(&in.format, "format", "", "`name` of the format of every path, if theirs does not tell: "+strings.Join(documents.Formats(), ", "))
	f.BoolVar(&in.isolate, "isolate", false, "read PDF files in a sandbox only, even where there is a pdftotext")
	f.BoolVar(&in.strict, "strict", false, "enqueue nothing if any document has a problem")
}

// sampleFlags are for the commands that ask models.
func (in *input) sampleFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.IntVar(&in.sample, "sample", 0, "answer this `number` of documents first, show what they cost, and ask before going on")
	f.BoolVarP(&in.yes, "yes", "y", false, "go on after the sample without asking")
}

// batch makes the batch that the flags describe. The same paths, prompt and
// chain, or model, under the same name are the same batch.
func (in *input) batch(c *config.Config, paths []string) (*jobs.Batch, *documents.Prompt, error) {
	in.paths = paths
	if err := in.checkSample(); err != nil {
		return nil, nil, misused(err)
	}
	prompt, err := textOrFile("--prompt", in.prompt)
	if err != nil {
		return nil, nil, misused(err)
	}
	system, err := textOrFile("--system", in.system)
	if err != nil {
		return nil, nil, misused(err)
	}
	parsed, err := documents.ParsePrompt(prompt, system)
	if err != nil {
		return nil, nil, misused(err)
	}
	if _, err := c.Chain(in.chain); err != nil {
		return nil, nil, misused(err)
	}
	b := &jobs.Batch{
		Name: in.title(), Tenant: in.tenant, Chain: chainName(c, in.chain), Prompt: prompt, System: system,
		WhenSpent: jobs.Spent(in.whenSpent), AlertAt: in.alertAt, CheaperAt: in.cheaperAt, Weight: in.weight,
		WhenLimited: jobs.WhenLimited(in.whenLimited),
		Degrade:     jobs.Degrade{Cached: in.cached, Unavailable: in.unavailable},
	}
	if b.Dedupe = jobs.Dedupe(in.dedupe); b.Dedupe == jobs.DedupeOff {
		b.Dedupe = ""
	}
	if err := in.agent.apply(c, b); err != nil {
		return nil, nil, misused(err)
	}
	if in.budget != "" {
		if b.Budget, err = parseBudget(in.budget); err != nil {
			return nil, nil, err
		}
	}
	if in.weight == 0 { // which is how a batch says nothing of it
		return nil, nil, misused(fmt.Errorf("--weight 0: use 1 to %d; enqueue pause keeps a batch waiting", jobs.MostWeight))
	}
	if in.deadline < 0 {
		return nil, nil, misused(fmt.Errorf("--deadline %s has gone by already: give a time from now, such as 6h", in.deadline))
	}
	if in.deadline > 0 {
		b.Deadline = time.Now().UTC().Add(in.deadline).Round(time.Second)
	}
	if in.standard, err = in.demands.into(b, c); err != nil {
		return nil, nil, misused(err)
	}
	b.ID = jobs.BatchID(b.Name, append(append(in.sameness(b), absolute(paths)...), in.agent.identity()...)...)
	return b, parsed, misused(b.Validate())
}

// sameness is what makes a batch the same when it is submitted again, besides
// its paths.
func (in *input) sameness(b *jobs.Batch) []string {
	parts := append([]string{b.Tenant, b.Chain, b.Prompt, b.System}, in.asked...)
	if d := b.DemandsDigest(); d != "" {
		parts = append(parts, d)
	}
	return parts
}

// askedBy is who answers if it is not a chain of a configuration: the simulator,
// or the one model of --model. Another one makes another batch, whose answers
// are not those of the first. Where the model is does not matter, so that a
// batch goes on when a wrong --base-url was corrected.
func askedBy(c *config.Config, model string) []string {
	switch {
	case c.Simulated:
		return []string{"simulated"}
	case model != "":
		return []string{"model", model}
	}
	return nil
}

// chainName resolves the empty name as config.Chain does.
func chainName(c *config.Config, name string) string {
	if name != "" {
		return name
	}
	if _, ok := c.Chains["default"]; !ok && len(c.Chains) == 1 {
		for only := range c.Chains {
			return only
		}
	}
	return "default"
}

// title is the batch's name, by default that of the first path.
func (in *input) title() string {
	if in.name != "" {
		return in.name
	}
	base := filepath.Base(in.paths[0])
	if abs, err := filepath.Abs(in.paths[0]); err == nil && in.paths[0] != "-" {
		base = filepath.Base(abs)
	}
	return strings.TrimSuffix(base, filepath.Ext(base))
}

func absolute(paths []string) []string {
	out := make([]string, len(paths))
	for i, p := range paths {
		out[i] = p
		if abs, err := filepath.Abs(p); err == nil && p != "-" {
			out[i] = abs
		}
	}
	return out
}

// textOrFile reads @FILE, or takes the text as it is.
func textOrFile(flag, text string) (string, error) {
	name, isFile := strings.CutPrefix(text, "@")
	if !isFile {
		return text, nil
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return "", fmt.Errorf("%s: %w; to start a text with @, put a space before it", flag, err)
	}
	decoded, err := documents.Decode(data)
	if err != nil {
		return "", fmt.Errorf("%s: %s is %w", flag, name, err)
	}
	return string(decoded), nil
}
