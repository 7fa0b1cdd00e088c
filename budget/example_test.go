package budget_test

import (
	"context"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/budget"
	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/jobs"
)

// A batch with a budget of two cents makes calls of up to one cent each.
func Example() {
	server, err := miniredis.Run()
	if err != nil {
		panic(err)
	}
	defer server.Close()
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr(), MaxRetries: -1})
	defer func() { _ = rdb.Close() }()

	ledger, err := budget.New(budget.Config{})
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	gate := lua.Compose("drover", ledger.Module())
	epoch, err := gate.NewEpoch(ctx, rdb)
	if err != nil {
		panic(err)
	}
	if err := gate.Open(ctx, rdb, epoch, nil); err != nil {
		panic(err)
	}

	for _, id := range []string{"a", "b", "c"} {
		call := &jobs.Call{
			ID: id, Job: jobs.ID("job-" + id), Batch: "contracts", Tenant: "acme",
			Model: &jobs.Model{Name: "small"}, Worst: jobs.Dollars(0.01), Limit: jobs.Dollars(0.02),
		}
		enter := lua.Op{Kind: lua.Enter, Call: id, Lease: time.Minute, Steps: []lua.Step{ledger.Enter(call)}}
		attempt := &jobs.Attempt{Call: id, Billing: jobs.Billed, Cost: jobs.Dollars(0.007)}
		leave := lua.Op{Kind: lua.Leave, Call: id, Steps: []lua.Step{ledger.Leave(call, attempt)}}

		replies, err := gate.Run(ctx, rdb, []lua.Op{enter})
		if err != nil {
			panic(err)
		}
		if replies[0].Refused {
			fmt.Println(replies[0].Why)
			continue
		}
		if _, err := gate.Run(ctx, rdb, []lua.Op{leave}); err != nil {
			panic(err)
		}
	}

	sums, err := ledger.Sums(ctx, rdb, budget.BatchAccount("contracts"))
	if err != nil {
		panic(err)
	}
	fmt.Println(sums[0].Title, "has spent", sums[0].Spent)
	// Output:
	// a call of up to $0.01 does not fit: $0.014 of the budget of $0.02 of batch contracts is spent, $0.00 held
	// batch contracts has spent $0.014
}
