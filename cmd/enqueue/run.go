package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/drover-batch/drover/documents"
	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/trace"
	"github.com/drover-batch/drover/jobs"
)

// runFlags are those of `enqueue run` alone.
type runFlags struct {
	input
	out         string
	errors      string
	concurrency int
	bounded     bool // by --concurrency
	verbose     bool
}

func newRun(c *cli) *cobra.Command {
	var r runFlags
	cmd := &cobra.Command{
		Use:   "run PATH…",
		Short: "Answer documents in one process, with embedded servers",
		Long: `Reads the documents at PATH (files, folders, patterns, - for standard input),
asks the chain of models about each, and writes one line per document.

Interrupted by Ctrl-C or worse, the same command goes on where it stopped.
Run again after it has finished it pays for nothing twice: only documents that
are new are answered. Another question, --model or chain is asked about all of
them.`,
		Example: `  enqueue run examples/contracts
  enqueue run contracts --prompt "When does it end?" --budget 2.50 --model gpt-4.1-mini
  enqueue run invoices.csv --prompt "Is {{.amount}} unusual for {{.vendor}}?" --out answers.jsonl
  enqueue run archive.zip --sample 20 --budget 50
  enqueue run requests.jsonl --base-url http://127.0.0.1:11434/v1 --model llama3.2`,
		Args: somePaths,
		RunE: func(cmd *cobra.Command, args []string) error {
			r.bounded = cmd.Flags().Changed("concurrency")
			return c.run(cmd.Context(), &r, args)
		},
	}
	r.register(cmd)
	r.sampleFlags(cmd)
	c.modelFlags(cmd)
	f := cmd.Flags()
	f.StringVarP(&r.out, "out", "o", "results.jsonl", "`file` for the results, a table if it is called .csv; - for standard output")
	f.StringVar(&r.errors, "errors", "", "`file` for what has no answer, when the input is an OpenAI batch file (default: next to --out)")
	f.IntVar(&r.concurrency, "concurrency", 0, "`number` of documents to work on at the same time (default 64)")
	f.BoolVarP(&r.verbose, "verbose", "v", false, "log what happens around the calls")
	return cmd
}

// run prepares everything that can be wrong before anything is started.
func (c *cli) run(ctx context.Context, r *runFlags, paths []string) error {
	if c.nats != "" || c.redis != "" {
		return misused(errors.New("run brings its own servers: leave --nats and --redis out, or hand the documents to theirs with enqueue submit"))
	}
	var flags []config.Flag
	if r.bounded {
		flags = append(flags, config.Flag{Name: "--concurrency", Path: "worker.slots", Value: strconv.Itoa(r.concurrency)})
	}
	cfg, err := c.load(flags...)
	if err != nil {
		return err
	}
	target := &target{out: r.out, errors: r.errors, stdout: c.out, say: c.say}
	if err := target.spares(paths); err != nil {
		return misused(err)
	}
	r.asked, r.except = askedBy(cfg, c.model), target.files()
	b, f, err := c.prepare(ctx, cfg, &r.input, paths)
	if err != nil {
		return err
	}
	if err := cfg.ReadKeys(b.Chain); err != nil {
		return misused(err)
	}
	if err := cfg.ReadModelKeys(judges(cfg, b.Answer.Judge)...); err != nil {
		return misused(err)
	}
	if err := target.check(); err != nil {
		return misused(err)
	}
	if _, err := trace.Wanted(os.Getenv); err != nil {
		return misused(err)
	}
	s := &session{cli: c, cfg: cfg, batch: b, feeder: f, target: target, verbose: r.verbose}
	return s.run(ctx)
}

// prepare makes the batch and what will feed it. With --strict, all documents
// have been found to be good.
func (c *cli) prepare(ctx context.Context, cfg *config.Config, in *input, paths []string) (*jobs.Batch, *feeder, error) {
	b, prompt, err := in.batch(cfg, paths)
	if err != nil {
		return nil, nil, err
	}
	if err := priced(cfg, b); err != nil {
		return nil, nil, misused(err)
	}
	except := append(in.except, cfg.Worker.Data)
	reader, err := documents.NewReader(documents.Config{Format: in.format, Isolate: in.isolate, Except: except, Stdin: c.in})
	if err != nil {
		return nil, nil, misused(err)
	}
	f := &feeder{input: in, prompt: prompt, reader: reader, demanding: b.Answer.Any(), say: c.say, report: func(p *documents.Problem) { c.say("left out: %s", p) }}
	if in.strict {
		err = f.check(ctx)
	}
	return b, f, err
}

// priced refuses a budget on models whose price nobody knows before any job
// is made of it.
func priced(cfg *config.Config, b *jobs.Batch) error {
	if b.Budget == 0 {
		return nil
	}
	models, err := cfg.Chain(b.Chain)
	if err != nil {
		return err
	}
	for _, m := range models {
		if m.Price != nil {
			return nil
		}
	}
	return fmt.Errorf("--budget: no price is known for %s; put price: {input: …, output: …} into a drover.yaml and give it with --config", models[0].Name)
}
