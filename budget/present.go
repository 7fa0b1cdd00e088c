package budget

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
)

// presentFields are those of an account that do not grow with the number of
// its models and batches.
var presentFields = []string{"spent", "held", "presumed", "ambiguous", "alerted"}

// Present returns what each configured budget has come to in its present turn,
// in the order of the configuration and without the parts of models and
// batches. It blocks for one round trip, however much was ever spent.
func (l *Ledger) Present(ctx context.Context, rdb redis.Cmdable) ([]Sum, error) {
	now := time.Now()
	accounts := make([]account, len(l.budgets))
	found := make([]*redis.SliceCmd, len(l.budgets))
	var limits *redis.MapStringStringCmd
	_, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		limits = p.HGetAll(ctx, l.settings)
		for i, f := range l.budgets {
			accounts[i] = f.at(now)
			found[i] = p.HMGet(ctx, accounts[i].key, presentFields...)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the budgets' sums: %w", err)
	}
	sums := make([]Sum, len(l.budgets))
	for i := range sums {
		fields := accounts[i].fields()
		for j, v := range found[i].Val() {
			fields[presentFields[j]], _ = v.(string)
		}
		sums[i] = *l.sum(accounts[i].key, fields)
		sums[i].override(limits.Val())
	}
	return sums, nil
}
