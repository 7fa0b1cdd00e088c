package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/jobs"
)

// cli is what all commands share.
type cli struct {
	in       io.Reader
	out, err io.Writer

	config  string
	data    string
	nats    string
	redis   string
	baseURL string
	model   string
	json    bool
}

func newRoot(stdin io.Reader, stdout, stderr io.Writer) *cobra.Command {
	c := &cli{in: stdin, out: stdout, err: stderr}
	root := &cobra.Command{
		Use:     "enqueue",
		Version: wire.Version(),
		Short:   "Hand documents to Drover and bring back the outcomes",
		Long: `Hands documents to Drover and brings back the outcomes.

With run, everything happens in this one process. With submit, the documents
wait in a queue for workers: those on the servers of --nats and --redis, or a
worker --embedded in the same data folder.

` + exitCodes,
		Example: `  enqueue run examples/contracts
  enqueue submit examples/contracts --name contracts && enqueue watch contracts`,
		SilenceErrors: true, SilenceUsage: true,
		Args: commandsOnly,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },

		PersistentPreRunE: noneEmpty,
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(wrongFlag)
	f := root.PersistentFlags()
	f.StringVar(&c.config, "config", "", "configuration `file` (default: $DROVER_CONFIG, else the built-in simulator)")
	f.StringVar(&c.data, "data", "", "`folder` for embedded servers and state (default .drover)")
	f.StringVar(&c.nats, "nats", "", "`URL` of NATS (default: $NATS_URL, else a worker --embedded in the data folder)")
	f.StringVar(&c.redis, "redis", "", "`URL` of Redis (default: $REDIS_URL, likewise)")
	f.BoolVar(&c.json, "json", false, "print JSON, a line each, for scripts")

	group(root, "Before anything is spent:", newEstimate(c), newShow(c))
	group(root, "In one process:", newRun(c))
	group(root, "With workers:", newSetup(c), newSubmit(c), newWatch(c), newPause(c), newResume(c), newCancel(c))
	group(root, "With either:", newStatus(c), newModels(c), newDashboard(c), newResults(c), newRemove(c), newBudget(c), newDead(c), newPrices(c))
	return root
}

// group adds commands under a title of their own.
func group(root *cobra.Command, title string, commands ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: title, Title: title})
	for _, cmd := range commands {
		cmd.GroupID = title
	}
	root.AddCommand(commands...)
}

// modelFlags are for the commands that need to know the models.
func (c *cli) modelFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.baseURL, "base-url", "", "`URL` of an OpenAI-compatible server, such as http://127.0.0.1:11434/v1")
	cmd.Flags().StringVar(&c.model, "model", "", "`name` of the one model to ask, instead of a configured chain")
}

// wrongFlag tells an unknown flag with the nearest.
func wrongFlag(cmd *cobra.Command, err error) error {
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
		if near := config.DidYouMean("--"+unknown.GetSpecifiedName(), names); near != "" {
			return misused(fmt.Errorf("%w%s", err, near))
		}
	}
	return misused(fmt.Errorf("%w: see %s --help", err, cmd.CommandPath()))
}

// noneEmpty refuses flags of a command that are given without a value, as by a
// variable that is not set: no budget is not what --budget "$LIMIT" asks for.
// Those that all commands share have the environment to fall back on.
func noneEmpty(cmd *cobra.Command, _ []string) error {
	var empty error
	cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if empty == nil && f.Changed && f.Value.Type() == "string" && strings.TrimSpace(f.Value.String()) == "" {
			empty = misused(fmt.Errorf("--%s is empty: give it a value, or leave it out", f.Name))
		}
	})
	return empty
}

// commandsOnly is the check of a command that only holds others.
func commandsOnly(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, sub := range cmd.Commands() {
		names = append(names, sub.Name())
	}
	if near := config.DidYouMean(args[0], names); near != "" {
		return misused(fmt.Errorf("unknown command %q%s", args[0], near))
	}
	return misused(fmt.Errorf("unknown command %q: see %s --help", args[0], cmd.CommandPath()))
}

// exactly is the check of commands that take so many arguments, all of them
// named in Use.
func exactly(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) != n {
			return misused(fmt.Errorf("%s where there should be %d: %s", jobs.Counted(len(args), "argument"), n, cmd.UseLine()))
		}
		return nil
	}
}

// atMost is the check of commands whose arguments may be left out.
func atMost(n int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > n {
			return misused(fmt.Errorf("unexpected argument %q: %s", args[n], cmd.UseLine()))
		}
		return nil
	}
}

// somePaths is the check of commands that read documents.
func somePaths(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return misused(fmt.Errorf("name at least one file or folder: %s examples/contracts", cmd.CommandPath()))
	}
	return nil
}
