package resilience_test

import (
	"context"
	"fmt"
	"log"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/resilience"
)

// A gate asks its guards before each call and tells them what became of it. Two
// failures in a row open the circuit of the model, for all replicas.
func ExampleGate() {
	server, err := miniredis.Run()
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	rdb := redis.NewClient(&redis.Options{Addr: server.Addr(), MaxRetries: -1, ContextTimeoutEnabled: true})
	defer func() { _ = rdb.Close() }()

	gate := resilience.NewGate(resilience.GateConfig{
		Redis: rdb, Worker: "worker-1",
		Guards: []resilience.Guard{
			resilience.NewBreaker(resilience.BreakerConfig{Failures: 2}),
			resilience.NewLimiter(resilience.LimiterConfig{Quotas: map[string]resilience.Quota{"small": {Concurrent: 8}}}),
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		gate.Run(ctx)
	}()

	for _, id := range []string{"a", "b", "c"} {
		call := &jobs.Call{ID: id, Worker: "worker-1", Job: "job", Batch: "contracts", Tenant: "acme", Model: &jobs.Model{Name: "small"}}
		pass, err := gate.Enter(ctx, call)
		if err != nil {
			log.Fatal(err)
		}
		if pass.Refusal != nil {
			fmt.Println(id, "is turned away:", pass.Refusal.Reason)
			continue
		}
		fmt.Println(id, "is made, and fails")
		if err := gate.Leave(ctx, call, &jobs.Attempt{Call: id, Model: "small", Kind: jobs.ServerError}); err != nil {
			log.Fatal(err)
		}
	}
	cancel()
	<-ended
	// Output:
	// a is made, and fails
	// b is made, and fails
	// c is turned away: the circuit is open after 2 failures
}
