package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/jobs"
)

// insteadFlags are what dead letters are asked with in place of what their batch
// says.
type insteadFlags struct{ chain, prompt, system string }

func (f *insteadFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.chain, "chain", "", "another `chain` of models to try in order")
	cmd.Flags().StringVar(&f.prompt, "prompt", "", "what to ask instead: `TEXT` or @FILE, as for submit")
	cmd.Flags().StringVar(&f.system, "system", "", "another system prompt: `TEXT` or @FILE")
}

// of is what the flags ask for, nil if nothing, once it is known to be there.
func (f *insteadFlags) of(s *wire.Servers) (*wire.Otherwise, error) {
	i := jobs.Instead{Chain: f.chain}
	for _, text := range []struct {
		flag, said string
		into       **string
	}{{"--prompt", f.prompt, &i.Prompt}, {"--system", f.system, &i.System}} {
		if text.said == "" {
			continue
		}
		read, err := textOrFile(text.flag, text.said)
		if err != nil {
			return nil, misused(err)
		}
		*text.into = &read
	}
	if i == (jobs.Instead{}) {
		return nil, nil
	}
	otherwise, err := s.Otherwise(i)
	return otherwise, misused(err)
}

// told says after a number of letters what they are asked with.
func (f *insteadFlags) told() string {
	var with []string
	if f.chain != "" {
		with = append(with, "by the chain "+plain(f.chain))
	}
	if f.prompt != "" {
		with = append(with, "with another prompt")
	}
	if f.system != "" {
		with = append(with, "with another system prompt")
	}
	if len(with) == 0 {
		return ""
	}
	return " " + strings.Join(with, ", ")
}
