package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/queue"
)

// standing is a batch and how far it has come.
type standing struct {
	Batch  string  `json:"batch"`
	Name   string  `json:"name"`
	Tenant string  `json:"tenant"`
	Chain  string  `json:"chain"`
	Budget float64 `json:"budget_usd,omitempty"`
	Cost   bill    `json:"cost_usd"`
	Doubt  float64 `json:"ambiguous_usd"` // the part of the cost nobody confirmed
	jobs.Progress
	Done    int64  `json:"done"`
	Checked *rungs `json:"checked,omitempty"` // of a batch that was named

	ambiguous jobs.USD
}

func newStatus(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "status [BATCH]",
		Short: "Show the batches, how far they have come and what they cost",
		Long: `Shows the batches, how far they have come and what they cost. Queued documents
wait for a worker. Running ones are with a worker, or were put off for a while
because nobody can be asked about them now, as when a circuit is open.`,
		Args: atMost(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(ctx context.Context, s *wire.Servers) error {
				list, err := c.batches(ctx, s.Queue, args)
				if err != nil {
					return err
				}
				return c.status(ctx, s, list, len(args) > 0)
			})
		},
	}
}

func (c *cli) batches(ctx context.Context, q *queue.Queue, args []string) ([]*jobs.Batch, error) {
	if len(args) == 0 {
		return q.Batches(ctx)
	}
	b, err := c.batch(ctx, q, args[0])
	return []*jobs.Batch{b}, err
}

// batch finds a batch by its id, or by its name if no other has it. An unknown
// one is told with the nearest.
func (c *cli) batch(ctx context.Context, q *queue.Queue, name string) (*jobs.Batch, error) {
	b, err := q.Batch(ctx, name)
	if !isUnknown(err) {
		return b, err
	}
	all, err := q.Batches(ctx)
	if err != nil {
		return nil, err
	}
	var names, found []string
	for _, other := range all {
		names = append(names, other.ID, other.Name)
		if other.Name == name {
			b, found = other, append(found, other.ID)
		}
	}
	switch {
	case len(found) == 1:
		return b, nil
	case len(found) > 1:
		return nil, misused(fmt.Errorf("%d batches are called %q: say which by its id, as in enqueue status", len(found), name))
	case len(all) == 0:
		return nil, misused(fmt.Errorf("no batch %q: there are none here", name))
	}
	if near := config.DidYouMean(name, names); near != "" {
		return nil, misused(fmt.Errorf("no batch %q%s", name, near))
	}
	return nil, misused(fmt.Errorf("no batch %q: enqueue status lists them", name))
}

func isUnknown(err error) bool { return errors.Is(err, queue.ErrNoBatch) }

func (c *cli) status(ctx context.Context, s *wire.Servers, list []*jobs.Batch, named bool) error {
	if len(list) == 0 && !c.json {
		c.say("no batches yet: enqueue submit PATH makes one")
	}
	table := newTable(c.out)
	for i, b := range list {
		st, err := look(ctx, s, b)
		if err == nil && named {
			st.Checked, err = rungsOf(ctx, s.Queue, b)
		}
		switch {
		case err != nil:
			return err
		case c.json:
			if err := c.print(st); err != nil {
				return err
			}
			continue
		case i == 0:
			table.row("BATCH", "STATE", "DONE", "TOTAL", "QUEUED", "RUNNING", "DEAD", "COST", "AMBIGUOUS", "REASON")
		}
		table.row(b.ID, st.State, st.Done, st.Total, st.Queued, st.Running, st.Dead, st.Cost, st.ambiguous, st.Reason)
		if st.Checked != nil && st.Checked.any() {
			defer c.say("checked answers: %s", st.Checked)
		}
	}
	return table.flush()
}

// look tells how a batch stands.
func look(ctx context.Context, s *wire.Servers, b *jobs.Batch) (*standing, error) {
	p, err := s.Queue.Progress(ctx, b.ID)
	if err != nil {
		return nil, err
	}
	cost, ambiguous, err := s.Spent(ctx, b.ID)
	if err != nil {
		return nil, err
	}
	return &standing{b.ID, b.Name, b.Tenant, b.Chain, dollars(b.Budget), bill{cost, cost == 0 && p.Unpriced}, dollars(ambiguous), p, p.Done(), nil, ambiguous}, nil
}
