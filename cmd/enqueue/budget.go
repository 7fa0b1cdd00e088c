package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-batch/drover/budget"
	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/jobs"
)

func newBudget(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "budget",
		Short: "See what is spent and what is left, raise limits and lower them",
		Long: `A budget is one of drover.yaml, or a batch's own. What is spent is what was
billed, what calls that died with their worker are presumed to have cost, and
what calls of which nobody knows may have. What is held is the worst case of
calls that are running.`,
		Args: commandsOnly,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBudgetList(c), newBudgetShow(c), newBudgetSet(c), newBudgetRecount(c))
	return cmd
}

func newBudgetList(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the budgets and the batches, with what they have come to",
		Args:  exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd.Context(), func(ctx context.Context, s *wire.Servers) error {
				all, err := accounts(ctx, s, false)
				if err != nil {
					return err
				}
				now := time.Now()
				return c.listAccounts(slices.DeleteFunc(all, func(a *account) bool { return a.Over(now) }))
			})
		},
	}
}

func newBudgetShow(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "show NAME",
		Short: "Show one budget or batch: every turn of its window, and who spent it on what",
		Args:  exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(ctx context.Context, s *wire.Servers) error {
				turns, err := named(ctx, s, args[0], false)
				if err != nil {
					return err
				}
				return c.showAccount(turns)
			})
		},
	}
}

func newBudgetSet(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "set NAME AMOUNT",
		Short: "Change a limit while workers run",
		Long: `Changes the limit of a budget or of a batch, for all workers from the next call
on. The amount is in US dollars and includes what is spent already; default
returns to what drover.yaml says of a budget, none takes a batch's limit away.
What waits for this money goes on by itself within seconds. A
limit that was set stays, whatever drover.yaml says, until default is set.`,
		Example: `  enqueue budget set acme/day 80
  enqueue budget set contracts-1a2b3c4d5e 12.50`,
		Args: exactly(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd.Context(), func(ctx context.Context, s *wire.Servers) error { return c.setLimit(ctx, s, args[0], args[1]) })
		},
	}
}

func newBudgetRecount(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "recount",
		Short: "Have what was spent counted anew, after a budget was added or renamed",
		Long: `Has a worker count what was spent from the book that NATS keeps, before its next
call. A budget that is new in drover.yaml is counted so by itself when the first
worker that has it starts; what others with the old file have spent since then is
in it after this. Calls wait while it counts; running ones go on.`,
		Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd.Context(), func(ctx context.Context, s *wire.Servers) error {
				if err := s.Recount(ctx); err != nil {
					return err
				}
				c.say("what was spent is counted anew before the next call")
				return nil
			})
		},
	}
}

// account is an account of the ledger under the name that people give it.
type account struct {
	budget.Sum
	name  string
	batch *jobs.Batch // nil if it is a budget's
}

// accounts lists the budgets, then the batches that have one or have spent
// something, or every batch, the newest first.
func accounts(ctx context.Context, s *wire.Servers, every bool) ([]*account, error) {
	sums, err := s.Sums(ctx)
	if err != nil {
		return nil, err
	}
	batches, err := s.Queue.Batches(ctx)
	if err != nil {
		return nil, err
	}
	var all []*account
	spent := map[string]budget.Sum{}
	for _, sum := range sums {
		if name, ok := sum.Budget(); ok {
			all = append(all, &account{Sum: sum, name: name})
		} else {
			spent[sum.Account] = sum
		}
	}
	for _, b := range slices.Backward(batches) {
		sum, ok := spent[budget.BatchAccount(b.ID)]
		if !ok && b.Budget == 0 && !every {
			continue
		}
		sum.Account, sum.Title = budget.BatchAccount(b.ID), "batch "+b.ID
		if !sum.Set {
			sum.Limit = b.Budget // which may have changed since its last call
		}
		all = append(all, &account{Sum: sum, name: b.ID, batch: b})
	}
	return all, nil
}

// named finds an account, in all turns of its window, by the name of a budget
// or by the id of a batch, or its name if no other of these has it. An unknown
// one is told with the nearest.
func named(ctx context.Context, s *wire.Servers, name string, every bool) ([]*account, error) {
	all, err := accounts(ctx, s, every)
	if err != nil {
		return nil, err
	}
	var found []*account
	var names []string
	for _, a := range all {
		if a.name == name || a.Account == name {
			found = append(found, a)
		}
		names = append(names, a.name)
	}
	if len(found) > 0 {
		return found, nil
	}
	for _, a := range all {
		if a.batch != nil {
			names = append(names, a.batch.Name)
			if a.batch.Name == name {
				found = append(found, a)
			}
		}
	}
	switch near := config.DidYouMean(name, names); {
	case len(found) == 1:
		return found, nil
	case len(found) > 1:
		return nil, misused(fmt.Errorf("%d batches are called %q: say which by its id, as in enqueue status", len(found), name))
	case near != "":
		return nil, misused(fmt.Errorf("no budget or batch %q%s", name, near))
	}
	return nil, misused(fmt.Errorf("no budget or batch %q that has a limit or has spent anything: enqueue budget list has them all", name))
}

// setLimit changes a batch's limit in its manifest, a budget's in the ledger.
func (c *cli) setLimit(ctx context.Context, s *wire.Servers, name, amount string) error {
	limit, err := parseLimit(amount)
	if err != nil {
		return err
	}
	a, err := c.limited(ctx, s, name)
	if err != nil {
		return err
	}
	if a.batch != nil {
		if amount == "default" {
			return misused(fmt.Errorf("a batch has no default: give %s an amount, or none", a.name))
		}
		err = s.SetBudget(ctx, a.batch.ID, limit)
	} else {
		if amount == "none" {
			return misused(fmt.Errorf("a budget of drover.yaml cannot be lifted from here: give %s an amount, or default", a.name))
		}
		err = s.SetLimit(ctx, a.name, limit)
	}
	if err != nil {
		return err
	}
	if c.json {
		return c.print(map[string]any{"name": a.name, "was_usd": dollars(a.Limit), "limit_usd": dollars(limit), "spent_usd": dollars(a.Spent)})
	}
	then := "what was paused for it goes on by itself"
	if limit > 0 && a.Spent >= limit {
		then = fmt.Sprintf("no call fits, since %s is spent already: what is left waits for more money, or ends if when_spent says so", a.Spent)
	}
	c.say("%s: %s, %s until now; it holds from the next call on, and %s", a.name, saidLimit(limit, amount), saidLimit(a.Limit, "none"), then)
	return nil
}

// limited is named, among batches that have no limit yet as well.
func (c *cli) limited(ctx context.Context, s *wire.Servers, name string) (*account, error) {
	if b, err := s.Queue.Batch(ctx, name); err == nil {
		spent, _, err := s.Spent(ctx, b.ID)
		return &account{Sum: budget.Sum{Limit: b.Budget, Spent: spent}, name: b.ID, batch: b}, err
	}
	found, err := named(ctx, s, name, true)
	if err != nil {
		return nil, err
	}
	return found[len(found)-1], nil
}

// parseLimit reads an amount, or 0 from default and none.
func parseLimit(text string) (jobs.USD, error) {
	if text == "default" || text == "none" {
		return 0, nil
	}
	limit, err := jobs.ParseUSD(text)
	if err == nil && limit <= 0 {
		err = fmt.Errorf("a limit of nothing answers nothing: use enqueue pause to stop a batch")
	}
	if err != nil {
		return 0, misused(fmt.Errorf("the amount: %w", err))
	}
	return limit, nil
}

func saidLimit(limit jobs.USD, none string) string {
	switch {
	case limit > 0:
		return limit.String()
	case none == "default":
		return "as drover.yaml has it"
	}
	return "no limit"
}
