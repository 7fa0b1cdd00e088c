package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/drover-batch/drover/answers"
	"github.com/drover-batch/drover/documents"
	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/jobs"
)

// demands are the flags that say what an answer must be like, and what becomes
// of a document that is too long.
type demands struct {
	schema         string
	quotes, expect []string
	judge          string
	judgePrompt    string
	overflow       string
	combine        string
}

func (d *demands) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&d.schema, "schema", "", "`FILE` with the JSON Schema that every answer must match")
	f.StringSliceVar(&d.quotes, "quotes", nil, "where in the answer strings quote the document word for word: `names` of members, or JSON pointers such as /clauses/*/quote")
	f.StringArrayVar(&d.expect, "expect", nil, "CEL `expression` over answer, document and fields that must be true, such as 'answer.total > 0'; may be repeated")
	f.StringVar(&d.judge, "judge", "", "`model` or chain that has to agree to every answer")
	f.StringVar(&d.judgePrompt, "judge-prompt", "", "what the judge is asked: `TEXT` or @FILE")
	f.StringVar(&d.overflow, "overflow", string(jobs.AskLarger), "what becomes of a document too long for a model: `larger, split, shorten or bury`, or larger,split or larger,shorten")
	f.StringVar(&d.combine, "combine", "", "how the answers to the pieces of a split document are put together: `TEXT` or @FILE")
}

// into puts the demands into a batch. They have been found to be possible.
func (d *demands) into(b *jobs.Batch, c *config.Config) (*answers.Standard, error) {
	var err error
	if b.Answer.Schema, err = d.readSchema(); err != nil {
		return nil, err
	}
	b.Answer.Quotes, b.Answer.Expect = d.quotes, d.expect
	if b.Answer.JudgePrompt, err = textOrFile("--judge-prompt", d.judgePrompt); err != nil {
		return nil, err
	}
	if b.Answer.Judge, err = d.judgeOf(c); err != nil {
		return nil, err
	}
	if b.Combine, err = textOrFile("--combine", d.combine); err != nil {
		return nil, err
	}
	if b.Overflow = jobs.Overlong(d.overflow); b.Overflow == jobs.AskLarger {
		b.Overflow = ""
	}
	if err := b.Overflow.Validate(); err != nil {
		return nil, fmt.Errorf("--%w", err)
	}
	if b.Combine != "" && b.Overflow.Resort() != jobs.Split {
		return nil, errors.New("--combine says how the answers to pieces are put together, but documents are not cut: add --overflow split")
	}
	standard, err := answers.New(b.Answer)
	if err != nil {
		return nil, d.named(err)
	}
	return standard, nil
}

func (d *demands) readSchema() ([]byte, error) {
	if d.schema == "" {
		return nil, nil
	}
	info, err := os.Stat(d.schema)
	if err == nil && info.Size() > answers.MostSchema {
		return nil, fmt.Errorf("--schema %s: it has %d bytes, and %d are the most", d.schema, info.Size(), answers.MostSchema)
	}
	data, err := os.ReadFile(d.schema)
	if err != nil {
		return nil, fmt.Errorf("--schema: %w", err)
	}
	if data, err = documents.Decode(data); err != nil {
		return nil, fmt.Errorf("--schema %s: it is %w", d.schema, err)
	}
	if len(strings.TrimSpace(string(data))) == 0 {
		return nil, fmt.Errorf("--schema %s: the file is empty", d.schema)
	}
	return data, nil
}

func (d *demands) judgeOf(c *config.Config) (string, error) {
	if d.judge == "" {
		if d.judgePrompt != "" {
			return "", errors.New("--judge-prompt says what a judge is asked, but there is none: add --judge MODEL")
		}
		return "", nil
	}
	models := judges(c, d.judge)
	if len(models) == 0 {
		known := slices.Concat(slices.Collect(maps.Keys(c.Models)), slices.Collect(maps.Keys(c.Chains)))
		return "", fmt.Errorf("--judge %s: there is no model or chain of that name%s", d.judge, config.DidYouMean(d.judge, known))
	}
	for _, m := range models {
		if !inChain(c, m) {
			return "", fmt.Errorf("--judge %s: workers read the keys of the models in chains alone; add under chains: judge: [%[1]s], and say --judge judge", m)
		}
	}
	return d.judge, nil
}

// judges are the models that a judge's name stands for: the one of that name,
// or else the chain's.
func judges(c *config.Config, name string) []string {
	if _, ok := c.Models[name]; ok {
		return []string{name}
	}
	return c.Chains[name].Models
}

func inChain(c *config.Config, model string) bool {
	for _, chain := range c.Chains {
		if slices.Contains(chain.Models, model) {
			return true
		}
	}
	return false
}

// named says which flag an error of the standard is about, and which file.
func (d *demands) named(err error) error {
	lines := strings.Split(err.Error(), "\n")
	for i, line := range lines {
		if what, ok := strings.CutPrefix(line, "schema: "); ok {
			line = "schema " + d.schema + ": " + what
		}
		lines[i] = "--" + line
	}
	return errors.New(strings.Join(lines, "\n"))
}
