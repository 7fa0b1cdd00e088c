package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/queue"
)

func newDeadReplay(c *cli) *cobra.Command {
	return c.onLetters("replay", "Run dead letters again, each as a new run of the same job",
		func(ctx context.Context, q *queue.Queue, l *jobs.DeadLetter) error { return q.Replay(ctx, l) },
		"replayed %d: they wait for a worker")
}

func newDeadDrop(c *cli) *cobra.Command {
	return c.onLetters("drop", "Forget dead letters; their outcomes stay dead",
		func(ctx context.Context, q *queue.Queue, l *jobs.DeadLetter) error { return q.Drop(ctx, l) },
		"dropped %d")
}

// onLetters is a command that does something to the chosen letters.
func (c *cli) onLetters(verb, short string, do func(context.Context, *queue.Queue, *jobs.DeadLetter) error, told string) *cobra.Command {
	var d deadFlags
	cmd := &cobra.Command{
		Use:   verb + " [BATCH [DOCUMENT]]",
		Short: short,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 2 || len(args) == 0 && !d.all {
				return misused(fmt.Errorf("name a batch, or a batch and a document, or give --all: %s", cmd.UseLine()))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			n := 0
			err := c.letters(cmd.Context(), &d, args[:min(1, len(args))], func(ctx context.Context, q *queue.Queue, filter queue.DeadFilter) error {
				if len(args) == 2 {
					l, err := c.find(ctx, q, filter.Batch, args[1])
					if err == nil {
						err = do(ctx, q, l)
					}
					if err == nil {
						n = 1
					}
					return err
				}
				var err error
				letters := soFar(q.Dead(ctx, filter), func(done int) { c.say("%s so far", jobs.Counted(done, "dead letter")) })
				n, err = wire.EachLetter(letters, func(l *jobs.DeadLetter) error { return do(ctx, q, l) })
				return err
			})
			switch {
			case n == 0 && err != nil: // which says why
			case c.json:
				err = errors.Join(err, c.print(map[string]int{verb: n}))
			case n == 0:
				c.say("no dead letters")
			default:
				c.say(told, n)
			}
			return err
		},
	}
	d.register(cmd)
	cmd.Flags().BoolVar(&d.all, "all", false, "those of all batches")
	return cmd
}
