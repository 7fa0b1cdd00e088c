package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/queue"
)

func newPause(c *cli) *cobra.Command {
	reason := ""
	cmd := c.onBatch("pause BATCH", "Stop working on a batch until it is resumed", func(ctx context.Context, s *wire.Servers, b *jobs.Batch) error {
		if err := s.Queue.Pause(ctx, b.ID, reason); err != nil {
			return err
		}
		c.say("paused %s; calls that are running finish", b.ID)
		return nil
	})
	cmd.Flags().StringVar(&reason, "reason", "somebody paused it", "`text` for whoever looks")
	return cmd
}

func newResume(c *cli) *cobra.Command {
	budget := ""
	cmd := c.onBatch("resume BATCH", "Go on with a paused batch", func(ctx context.Context, s *wire.Servers, b *jobs.Batch) error {
		p, err := s.Queue.Progress(ctx, b.ID)
		switch {
		case err != nil:
			return err
		case p.State == jobs.Cancelled:
			return fmt.Errorf("batch %s: %w", b.ID, queue.ErrCancelled)
		case p.State == jobs.Finished:
			return fmt.Errorf("batch %s: it is finished; there is nothing to resume", b.ID)
		}
		if budget != "" {
			limit, err := parseBudget(budget)
			if err != nil {
				return err
			}
			if err := s.Queue.SetBudget(ctx, b.ID, limit); err != nil {
				return err
			}
		}
		if p.State != jobs.Paused {
			c.say("%s is not paused: it goes on anyway", b.ID)
			return nil
		}
		if err := s.Queue.Resume(ctx, b.ID); err != nil {
			return err
		}
		c.say("resumed %s", b.ID)
		return nil
	})
	cmd.Flags().StringVar(&budget, "budget", "", "new limit in US `dollars`, with what is spent already included")
	return cmd
}

func newCancel(c *cli) *cobra.Command {
	return c.onBatch("cancel BATCH", "Give up, for good, on what has no outcome yet", func(ctx context.Context, s *wire.Servers, b *jobs.Batch) error {
		before, err := s.Queue.Ended(ctx, b.ID)
		if err != nil {
			return err
		}
		traced, err := c.traceEnds(ctx, s)
		if err != nil {
			return err
		}
		defer traced()
		cancel := func() error { _, err := s.Queue.Cancel(ctx, b.ID); return err }
		if err := meanwhile(cancel, func() { c.tellLeft(ctx, s, b) }); err != nil {
			return err
		}
		ended, err := s.Queue.Ended(ctx, b.ID)
		if err != nil {
			return err
		}
		p, err := s.Queue.Progress(ctx, b.ID)
		if err != nil {
			return err
		}
		rest := ""
		if left := p.Total - ended; left > 0 {
			rest = fmt.Sprintf("; workers still have %s: what is being asked already may be answered, the rest is given up", jobs.Counted(left, "document"))
		}
		c.say("cancelled %s: gave up on %s%s", b.ID, jobs.Counted(ended-before, "document"), rest)
		return nil
	})
}

// tellLeft tells how much of a batch is still to be given up.
func (c *cli) tellLeft(ctx context.Context, s *wire.Servers, b *jobs.Batch) {
	if p, err := s.Queue.Progress(ctx, b.ID); err == nil {
		c.say("%s to go", jobs.Counted(p.Queued+p.Running, "document"))
	}
}

func newRemove(c *cli) *cobra.Command {
	return c.onBatch("remove BATCH", "Take a batch that is over away, with its outcomes", func(ctx context.Context, s *wire.Servers, b *jobs.Batch) error {
		remove := func() error { return s.Queue.Remove(ctx, b.ID) }
		if err := meanwhile(remove, func() { c.say("still removing %s", b.ID) }); err != nil {
			return err
		}
		c.say("removed %s, its outcomes and dead letters: what it has cost still counts", b.ID)
		return nil
	})
}

// parseBudget reads the amount of a --budget.
func parseBudget(text string) (jobs.USD, error) {
	limit, err := jobs.ParseUSD(text)
	if err == nil && limit == 0 {
		err = fmt.Errorf("a budget of nothing answers nothing")
	}
	if err != nil {
		return 0, misused(fmt.Errorf("--budget: %w", err))
	}
	return limit, nil
}

// onBatch is a command that does something to one batch.
func (c *cli) onBatch(use, short string, do func(context.Context, *wire.Servers, *jobs.Batch) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(ctx context.Context, s *wire.Servers) error {
				b, err := c.batch(ctx, s.Queue, args[0])
				if err != nil {
					return err
				}
				return do(ctx, s, b)
			})
		},
	}
}
