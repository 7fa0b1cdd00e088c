package wire

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/drover-batch/drover/budget"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/resilience"
)

// nearlySpent is the part of a limit of which nothing is said as long as more
// than that is left.
const nearlySpent = 5

// Standstill is what may keep a batch that is not paused from coming along, as
// far as the shared state tells and by the configuration of this process: money
// that is spent until the next turn of a budget, and models that do not answer.
func (s *Servers) Standstill(ctx context.Context, b *jobs.Batch) ([]string, error) {
	var names, why, chain []string
	for _, name := range b.AllChains() {
		for _, model := range s.config.Chains[name].Models {
			if !slices.Contains(chain, model) {
				chain = append(chain, model)
			}
		}
	}
	for _, limit := range s.config.Budgets {
		if (limit.Tenant == "" || limit.Tenant == b.Tenant) && (limit.Model == "" || slices.Contains(chain, limit.Model)) {
			names = append(names, budget.Account(limit.Name))
		}
	}
	if len(names) > 0 { // none would be all
		sums, err := s.Ledger.Sums(ctx, s.Redis, names...)
		if err != nil {
			return nil, err
		}
		for i := range sums {
			if sum := &sums[i]; !sum.Over(time.Now()) && sum.Limit > 0 && sum.Left() < sum.Limit/nearlySpent {
				why = append(why, fmt.Sprintf("of the budget of %s of %s, %s is left", sum.Limit, sum.Title, sum.Left()))
			}
		}
	}
	circuits, err := resilience.Circuits(ctx, s.Redis, s.keys, chain...)
	if err != nil {
		return nil, err
	}
	for _, c := range circuits {
		if c.State != resilience.Closed {
			why = append(why, fmt.Sprintf("%s does not answer: its circuit is %s after %s", c.Model, c.State, jobs.Counted(c.Failures, "failure")))
		}
	}
	return why, nil
}
