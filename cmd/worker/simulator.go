package main

import (
	"context"
	"fmt"
	"io"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-batch/drover/llm/simulator"
)

// newSimulator serves the simulator by itself, so that several workers can
// share one and an outage can be rehearsed.
func newSimulator(out io.Writer) *cobra.Command {
	var listen string
	var c simulator.Config
	var rpm, tpm int
	cmd := &cobra.Command{
		Use:   "simulator",
		Short: "Serve made-up answers over the OpenAI, Anthropic and Gemini protocols",
		Long: `Serves made-up answers, to rehearse limits and outages with. While it runs:

  curl -X POST http://ADDRESS/simulator/faults -d '{"outages":[{"model":"sim-small","for":"30s"}]}'
  curl http://ADDRESS/simulator/stats

A document that contains [[simulate:500]], [[simulate:hang]], [[simulate:refuse]],
[[simulate:fenced]], [[simulate:invalid]] or the like is answered in that way.
The same words work as odds: {"odds":{"fenced":0.1,"invalid":0.05}}.`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c.Limits = map[string]simulator.Limit{"*": {RequestsPerMinute: rpm, TokensPerMinute: tpm, Burst: time.Second}}
			return simulate(cmd.Context(), out, listen, c)
		},
	}
	f := cmd.Flags()
	f.StringVar(&listen, "listen", "127.0.0.1:9090", "`address` to serve on")
	f.DurationVar(&c.Latency, "latency", 400*time.Millisecond, "median `time` until an answer begins")
	f.Float64Var(&c.Spread, "spread", 0.5, "how much that varies, 0 for not at all")
	f.Float64Var(&c.TokensPerSecond, "speed", 200, "`tokens` per second that answers are written with, 0 for at once")
	f.Uint64Var(&c.Seed, "seed", 1, "of all chance")
	f.IntVar(&rpm, "requests-per-minute", 0, "true limit of each model, 0 for none")
	f.IntVar(&tpm, "tokens-per-minute", 0, "true limit of each model, 0 for none")
	return cmd
}

func simulate(ctx context.Context, out io.Writer, listen string, c simulator.Config) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	s, err := simulator.New(c)
	if err != nil {
		return misuse{err}
	}
	url, err := s.Listen(listen)
	if err != nil {
		return fmt.Errorf("%w; choose another address with --listen", err)
	}
	_, _ = fmt.Fprintln(out, url)
	<-ctx.Done()
	return s.Close()
}
