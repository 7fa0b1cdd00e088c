package wire

import (
	"context"
	"fmt"

	"github.com/drover-batch/drover/budget"
	"github.com/drover-batch/drover/internal/lua"
)

// Fleet is how everything stands that the workers share, batches left out.
type Fleet struct {
	Models  []ModelState
	Budgets []budget.Sum // the configured ones in their present turn; none until what was spent is in Redis
}

// Fleet reads it from Redis, in a few round trips however much was ever spent.
func (s *Servers) Fleet(ctx context.Context) (f Fleet, err error) {
	if f.Models, err = s.Models(ctx); err != nil {
		return f, err
	}
	epoch, err := lua.Compose(s.keys, s.Ledger.Module()).Epoch(ctx, s.Redis)
	if err != nil {
		return f, fmt.Errorf("looking for the budgets' sums: %w", err)
	}
	if epoch != "" {
		f.Budgets, err = s.Ledger.Present(ctx, s.Redis)
	}
	return f, err
}
