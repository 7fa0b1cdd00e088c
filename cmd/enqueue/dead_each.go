package main

import (
	"context"
	"errors"
	"fmt"
	"iter"

	"github.com/spf13/cobra"

	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/queue"
)

func newDeadReplay(c *cli) *cobra.Command {
	var with insteadFlags
	var otherwise *wire.Otherwise // nil if with says nothing
	cmd := c.onLetters("replay", "Run dead letters again, each as a new run of the same job, also by another chain or with another prompt", deed{
		ready: func(s *wire.Servers) (err error) { otherwise, err = with.of(s); return err },
		check: func(ctx context.Context, letters iter.Seq2[*jobs.DeadLetter, error]) error {
			if otherwise == nil {
				return nil
			}
			unfit, err := otherwise.Unfit(ctx, letters)
			if unfit != nil {
				err = misused(fmt.Errorf("%w; nothing was replayed", unfit))
			}
			return err
		},
		do: func(ctx context.Context, q *queue.Queue, l *jobs.DeadLetter) error {
			if otherwise != nil {
				if err := otherwise.Amend(ctx, l); err != nil {
					return err
				}
			}
			return q.Replay(ctx, l)
		},
		told: func(n int) string { return fmt.Sprintf("replayed %d%s: they wait for a worker", n, with.told()) },
	})
	cmd.Long = `Runs dead letters again, each as a new run of the same job, whose outcome replaces
the dead one. What earlier runs have cost stays on its bill, and the budget of its
batch holds. With --chain, --prompt or --system these letters alone are asked by
another chain or with other words; each is checked before any is replayed, and
results say so in chain, prompt and system. A letter that dies again is replayed as
it was last asked, unless it is said otherwise again.`
	cmd.Example = `  enqueue dead replay contracts --kind timeout
  enqueue dead replay contracts --kind overflow --chain large
  enqueue dead replay contracts lease.txt --prompt @mended.txt`
	with.register(cmd)
	return cmd
}

func newDeadDrop(c *cli) *cobra.Command {
	return c.onLetters("drop", "Forget dead letters; their outcomes stay dead", deed{
		do:   func(ctx context.Context, q *queue.Queue, l *jobs.DeadLetter) error { return q.Drop(ctx, l) },
		told: func(n int) string { return fmt.Sprintf("dropped %d", n) },
	})
}

// deed is something to do to dead letters.
type deed struct {
	ready func(*wire.Servers) error                                           // before any is looked for; may be nil
	check func(context.Context, iter.Seq2[*jobs.DeadLetter, error]) error     // all of them, before it is done to any; may be nil
	do    func(ctx context.Context, q *queue.Queue, l *jobs.DeadLetter) error // one of them
	told  func(n int) string
}

// onLetters is a command that does something to the chosen letters.
func (c *cli) onLetters(verb, short string, to deed) *cobra.Command {
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
			err := c.letters(cmd.Context(), &d, args[:min(1, len(args))], func(ctx context.Context, s *wire.Servers, filter queue.DeadFilter) (err error) {
				if to.ready != nil {
					if err := to.ready(s); err != nil {
						return err
					}
				}
				chosen := s.Queue.Dead(ctx, filter)
				if len(args) == 2 {
					l, err := c.find(ctx, s.Queue, filter.Batch, args[1])
					if err != nil {
						return err
					}
					chosen = one(l)
				}
				if to.check != nil {
					if err := to.check(ctx, chosen); err != nil {
						return err
					}
				}
				chosen = soFar(chosen, func(done int) { c.say("%s so far", jobs.Counted(done, "dead letter")) })
				n, err = wire.EachLetter(chosen, func(l *jobs.DeadLetter) error { return to.do(ctx, s.Queue, l) })
				return err
			})
			switch {
			case n == 0 && err != nil: // which says why
			case c.json:
				err = errors.Join(err, c.print(map[string]int{verb: n}))
			case n == 0:
				c.say("no dead letters")
			default:
				c.say("%s", to.told(n))
			}
			return err
		},
	}
	d.register(cmd)
	cmd.Flags().BoolVar(&d.all, "all", false, "those of all batches")
	return cmd
}

// one yields a single letter.
func one(l *jobs.DeadLetter) iter.Seq2[*jobs.DeadLetter, error] {
	return func(yield func(*jobs.DeadLetter, error) bool) { yield(l, nil) }
}
