package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/jobs"
)

func newSubmit(c *cli) *cobra.Command {
	var in input
	follow := false
	cmd := &cobra.Command{
		Use:   "submit PATH…",
		Short: "Put a batch into the queue, for workers to answer",
		Long: `Reads the documents at PATH and enqueues a job for each, then prints the id of
the batch. Interrupted, the same command goes on where it stopped and adds
nothing twice.`,
		Example: `  enqueue submit contracts --prompt @question.txt --tenant acme --budget 20 --watch
  NATS_URL=nats://10.0.0.5:4222 REDIS_URL=redis://10.0.0.6:6379 enqueue submit contracts`,
		Args: somePaths,
		RunE: func(cmd *cobra.Command, args []string) error { return c.submit(cmd.Context(), &in, args, follow) },
	}
	in.register(cmd)
	in.sampleFlags(cmd)
	c.modelFlags(cmd)
	for _, name := range []string{"model", "base-url"} { // to say what to do instead
		_ = cmd.Flags().MarkHidden(name)
	}
	cmd.Flags().BoolVar(&follow, "watch", false, "follow the batch to its end")
	return cmd
}

func (c *cli) submit(ctx context.Context, in *input, paths []string, follow bool) error {
	if c.model != "" || c.baseURL != "" {
		return misused(errors.New("workers ask the models of their own configuration: leave --model and --base-url out, and choose among their chains with --chain"))
	}
	cfg, err := c.load()
	if err != nil {
		return err
	}
	b, f, err := c.prepare(ctx, cfg, in, paths)
	if err != nil {
		return err
	}
	var told sync.Once
	f.full = func(time.Duration) {
		told.Do(func() {
			c.say("the queue takes no more for now: waiting for room; interrupted, the same command goes on")
		})
	}
	tracer, done, err := tracer(ctx, cfg, wire.ProcessID(), c.say)
	if err != nil {
		return err
	}
	defer done()
	f.tracer = tracer
	return c.on(ctx, cfg, func(ctx context.Context, s *wire.Servers) error {
		if err := c.submitSample(ctx, cfg, s, f, b); err != nil {
			return err
		}
		came, err := f.feed(ctx, s.Queue, b)
		if err == nil {
			err = c.submitted(b, came)
		}
		if err == nil && follow {
			err = c.watch(ctx, s, b)
		}
		if err == nil && came.problems > 0 {
			err = &exit{code: exitUnanswered}
		}
		return err
	})
}

// submitSample enqueues the sample first, if there is to be one, follows it to
// its end and asks whether to go on.
func (c *cli) submitSample(ctx context.Context, cfg *config.Config, s *wire.Servers, f *feeder, b *jobs.Batch) error {
	if f.input.sample == 0 {
		return nil
	}
	p, err := s.Queue.Progress(ctx, b.ID)
	if err == nil && p.Total > int64(f.input.sample) {
		c.say("the batch has begun with more than the sample: going on with it")
		return nil
	}
	picked, err := f.choose(ctx, f.input.sample)
	if err != nil {
		return err
	}
	f.only = picked.ids
	if _, err := f.feed(ctx, s.Queue, b); err != nil {
		return err
	}
	if err := c.watch(ctx, s, b); err != nil && !hasCode(err, exitUnanswered) {
		return err
	}
	m, err := picked.measure(ctx, cfg, s.Queue, b.ID)
	if err != nil {
		return err
	}
	m.tell(c)
	f.only = nil
	if !c.goOn(f.input, m) {
		return &exit{code: exitSampled}
	}
	return nil
}

func hasCode(err error, code int) bool {
	e, ok := errors.AsType[*exit](err)
	return ok && e.code == code
}

func (c *cli) submitted(b *jobs.Batch, in intake) error {
	if c.json {
		return c.print(map[string]any{"batch": b.ID, "jobs": in.documents, "left_out": in.problems})
	}
	left := ""
	if in.problems > 0 {
		left = fmt.Sprintf(", %d left out", in.problems)
	}
	c.say("%s in batch %s%s", jobs.Counted(in.documents, "document"), b.ID, left)
	_, err := fmt.Fprintln(c.out, b.ID)
	return err
}
