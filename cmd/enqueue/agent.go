package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/jobs"
)

// agent is what the flags say about conversations with tools.
type agent struct {
	tools      []string
	guardrails jobs.Guardrails
	bounds     []string // flags that were given
}

func (a *agent) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringSliceVar(&a.tools, "tools", nil, "`names` of the tools its models may use, such as doc.search,files.*, or none (default: those of the chain)")
	bound := func(name, help string, set func(string) error) {
		f.Func(name, help, func(text string) error {
			a.bounds = append(a.bounds, "--"+name)
			return set(text)
		})
	}
	bound("max-iterations", "most answers of models in one conversation with tools: a `number`", whole(&a.guardrails.Iterations))
	bound("max-tool-calls", "most runs of tools in one: a `number`", whole(&a.guardrails.ToolCalls))
	bound("max-duration", "most `time` to work on one, such as 10m", func(text string) (err error) {
		if a.guardrails.Duration, err = time.ParseDuration(text); err == nil && a.guardrails.Duration < time.Second {
			err = fmt.Errorf("use 1s to %v", jobs.LongestConversation)
		}
		return err
	})
	bound("max-tokens", "most tokens sent and answered in one, all calls together: a `number`", whole(&a.guardrails.Tokens))
}

// whole reads a number above 0.
func whole[T int | int64](into *T) func(string) error {
	return func(text string) error {
		var n T
		if _, err := fmt.Sscanf(text+"\n", "%d\n", &n); err != nil || n < 1 {
			return fmt.Errorf("%q is not a whole number above 0", text)
		}
		*into = n
		return nil
	}
}

// apply gives a batch what the flags say, if its chain may.
func (a *agent) apply(c *config.Config, b *jobs.Batch) error {
	if err := jobs.CheckTools(a.tools, c.ToolServerNames()); err != nil {
		return fmt.Errorf("--tools: %w", err)
	}
	own := c.Chains[b.Chain].Agent.Tools
	allowed, refused := jobs.NarrowTools(own, a.tools)
	switch {
	case len(refused) > 0 && len(own) == 0:
		return fmt.Errorf("--tools: the chain %s may not use %s, only the document's: name others in chains.%[1]s.tools of the configuration", b.Chain, strings.Join(refused, ", "))
	case len(refused) > 0:
		return fmt.Errorf("--tools: the chain %s may not use %s, only %s and the document's", b.Chain, strings.Join(refused, ", "), strings.Join(own, ", "))
	case len(allowed) == 0 && len(a.bounds) > 0:
		return fmt.Errorf("%s bounds conversations with tools, and this batch has none: give it some with --tools", a.bounds[0])
	}
	b.Tools, b.Guardrails = a.tools, a.guardrails
	return nil
}

// identity is what makes it another batch: what it may use.
func (a *agent) identity() []string {
	if len(a.tools) == 0 {
		return nil
	}
	return []string{"tools", strings.Join(a.tools, ",")}
}

// showTranscript writes a conversation for people.
func showTranscript(w io.Writer, talk []jobs.Message) {
	if len(talk) == 0 {
		return
	}
	tell(w, "\nthe conversation, shortened:")
	for i, m := range talk {
		if m.Text != "" {
			tell(w, "%3d  %-9s  %s", i+1, m.Role, clip(plain(m.Text), 300))
		}
		for _, c := range m.Calls {
			tell(w, "%3d  %-9s  calls %s %s", i+1, m.Role, plain(c.Name), clip(plain(c.Arguments), 200))
		}
	}
}
