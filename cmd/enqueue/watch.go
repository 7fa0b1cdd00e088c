package main

import (
	"context"
	"fmt"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/jobs"
)

func newWatch(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "watch BATCH",
		Short: "Follow a batch to its end",
		Long: `Follows a batch until it is over or paused. Interrupting it leaves the batch
alone. Servers that are away meanwhile are waited for, up to a minute. With
--json there is a line whenever anything has changed.`,
		Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(ctx context.Context, s *wire.Servers) error {
				b, err := c.batch(ctx, s.Queue, args[0])
				if err != nil {
					return err
				}
				return c.watch(ctx, s, b)
			})
		},
	}
}

// watch shows progress until the batch is over, paused, or nobody wants to
// see it any more.
func (c *cli) watch(ctx context.Context, s *wire.Servers, b *jobs.Batch) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	last, err := c.followBatch(ctx, s, b)
	switch {
	case err != nil:
		return err
	case last == nil || ctx.Err() != nil:
		return &exit{code: exitInterrupted}
	case last.State == jobs.Paused:
		c.say("paused: %s", plain(last.Reason))
		return &exit{code: exitPaused}
	case !last.Over(): // and nobody else can get at these servers
		return fmt.Errorf("nobody is working on it: start worker --embedded, or go on with the command that made it")
	}
	if last.Dead > 0 {
		c.say("%s: see enqueue dead list %s", jobs.Counted(last.Dead, "dead letter"), b.ID)
	}
	if last.State == jobs.Cancelled {
		c.say("cancelled")
		return &exit{code: exitUnanswered}
	}
	return c.answered(ctx, s, b, last.Dead)
}

// answered fails if documents ended without an answer, and tells of those that
// left no dead letter behind: they expired, or their letters were dropped.
func (c *cli) answered(ctx context.Context, s *wire.Servers, b *jobs.Batch, letters int64) error {
	ends, err := s.Ends(ctx, b.ID)
	if ctx.Err() != nil {
		return &exit{code: exitInterrupted}
	}
	if err != nil {
		return err
	}
	without := ends[jobs.Expired] + ends[jobs.Dead] + ends[jobs.WasCancelled]
	if without == 0 {
		return nil
	}
	what := "document"
	if letters > 0 {
		what = "other document"
	}
	if more := without - letters; more > 0 {
		c.say("%s without an answer: see enqueue results %s", jobs.Counted(more, what), b.ID)
	}
	return &exit{code: exitUnanswered}
}

// lookPatience is how long a batch is followed that cannot be looked at: servers
// restart, and it goes on meanwhile.
const lookPatience = time.Minute

// starved is how many looks tell that a batch waits for documents that nobody
// brings.
const starved = 20

// followBatch looks again and again, so that rates are current even while the
// numbers stand still. It returns how the batch stood last, nil if it never
// got to see it.
func (c *cli) followBatch(ctx context.Context, s *wire.Servers, b *jobs.Batch) (last *standing, err error) {
	var d display
	var lost time.Time // since when it cannot be looked at
	var stands standstill
	idle := 0 // looks in a row at which nothing was left to do, and more to come
	told := c.err
	if !c.json {
		d = newDisplay(c.err, plain(b.Name), nil)
		defer d.close()
		told = d
	}
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		st, err := look(ctx, s, b)
		if ctx.Err() != nil {
			return last, nil
		}
		switch {
		case err == nil:
			if idle++; st.State != jobs.Enqueueing || st.Queued+st.Running > 0 || last == nil || st.Total != last.Total {
				idle = 0
			}
			if idle == starved {
				tell(told, "all that is in is done, and the batch waits for more documents: if enqueue submit was interrupted, the same command goes on")
			}
			if stands.lasts(st) {
				tellStandstill(ctx, told, s, b, st)
			}
			before := last
			last, lost = st, time.Time{}
			if err := c.showStanding(d, st, before); err != nil {
				return last, err
			}
			if st.Over() || st.State == jobs.Paused || s.Embedded {
				return last, nil
			}
		case isUnknown(err) || s.Embedded || !lost.IsZero() && time.Since(lost) > lookPatience:
			return last, err
		case lost.IsZero():
			lost = time.Now()
			tell(told, "cannot see how the batch stands, and look again: %v", err)
		}
		select {
		case <-ctx.Done():
			return last, nil
		case <-ticker.C:
		}
	}
}

// showStanding shows how a batch stands to people or, without a display and
// where it is not the same as before, to scripts.
func (c *cli) showStanding(d display, st, before *standing) error {
	if d == nil {
		if before != nil && *before == *st {
			return nil
		}
		return c.print(st)
	}
	d.show(snapshot{done: st.Done, total: st.Total, dead: st.Dead, growing: st.State == jobs.Enqueueing, cost: st.Cost.cost})
	return nil
}
