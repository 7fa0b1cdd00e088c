// Command worker takes jobs from the queue and answers them.
//
//	worker                 work on NATS and Redis (NATS_URL, REDIS_URL)
//	worker --embedded      bring both along, for this machine
//	worker simulator       serve made-up answers, to rehearse outages with
//	worker health          ask the worker on this machine how it is
//
// worker --help says how it is stopped, and its exit codes.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/drover-batch/drover/documents"
	"github.com/drover-batch/drover/internal/wire"
)

// misuse is an error of the user's making.
type misuse struct{ error }

func (m misuse) Unwrap() error { return m.error }

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// run is the whole command; main only adds the process around it.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot(stdout, stderr)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	for line := range strings.SplitSeq(documents.Terminal(err.Error()), "\n") {
		_, _ = fmt.Fprintln(stderr, "worker: "+line)
	}
	if _, ok := errors.AsType[misuse](err); ok {
		return 2
	}
	return 1
}

func newRoot(stdout, stderr io.Writer) *cobra.Command {
	s := &serving{out: stdout, err: stderr}
	root := &cobra.Command{
		Use:     "worker",
		Version: wire.Version(),
		Short:   "Take jobs from the queue and answer them",
		Long: `Takes jobs from the queue and answers them.

SIGTERM or Ctrl-C stops it in good order: no new jobs, running calls finish
within the grace period, the rest is handed back. A second one stops it at
once. Exit codes: 0 stopped; 1 it could not work; 2 wrong usage or
configuration.`,
		Example: `  worker --config drover.yaml
  NATS_URL=nats://10.0.0.5:4222 REDIS_URL=redis://10.0.0.6:6379 worker
  worker --embedded`,
		SilenceErrors: true, SilenceUsage: true,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return s.serve(cmd.Context()) },
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return misuse{fmt.Errorf("%w: see %s --help", err, cmd.CommandPath())}
	})
	s.flags(root)
	s.root = root
	root.AddCommand(newSimulator(stdout), newHealth(s))
	return root
}

func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return misuse{fmt.Errorf("unknown argument %q: see %s --help", args[0], cmd.CommandPath())}
	}
	return nil
}
