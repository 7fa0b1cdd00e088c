package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/spf13/cobra"

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
				n, err = eachLetter(letters, func(l *jobs.DeadLetter) error { return do(ctx, q, l) })
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

// abreast is how many letters are seen to at a time. Each takes several writes
// that the broker has to have on disk one after the other; those of many go
// together.
const abreast = 64

// eachLetter does something to letters, several at a time, and returns to how
// many. Those of a batch that was cancelled, or whose deadline has gone by, keep
// none of the others from it, and are told of at the end.
func eachLetter(letters iter.Seq2[*jobs.DeadLetter, error], do func(*jobs.DeadLetter) error) (int, error) {
	seen := letterCount{stay: map[string]int64{}, why: map[string]error{}}
	free := make(chan struct{}, abreast)
	var busy sync.WaitGroup
	for l, err := range letters {
		if err != nil {
			seen.note("", err)
		}
		if seen.failed() {
			break
		}
		free <- struct{}{}
		busy.Go(func() {
			seen.note(l.Job.Batch, do(l))
			<-free
		})
	}
	busy.Wait()
	return seen.done, seen.err()
}

// letterCount is what has become of letters.
type letterCount struct {
	mu     sync.Mutex
	done   int
	stay   map[string]int64 // by batch
	why    map[string]error
	broken error
}

func (c *letterCount) note(batch string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case errors.Is(err, queue.ErrCancelled):
		c.stay[batch]++
		c.why[batch] = errors.New("it was cancelled")
	case errors.Is(err, queue.ErrPastDeadline):
		c.stay[batch]++
		c.why[batch] = queue.ErrPastDeadline
	case err != nil:
		c.broken = cmp.Or(c.broken, err)
	default:
		c.done++
	}
}

func (c *letterCount) failed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broken != nil
}

// err is what kept letters as they were.
func (c *letterCount) err() error {
	kept := []error{c.broken}
	for _, batch := range slices.Sorted(maps.Keys(c.stay)) {
		kept = append(kept, fmt.Errorf("%s of batch %s left as before: %w", jobs.Counted(c.stay[batch], "dead letter"), batch, c.why[batch]))
	}
	return errors.Join(kept...)
}
