package resilience_test

import (
	"context"
	"fmt"
	"time"

	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/resilience"
)

// model answers with a text, or fails if it has none.
type model string

func (model) Tokens(*jobs.Request) int64 { return 12 }

func (m model) Ask(context.Context, *jobs.Request, int) (*jobs.Answer, error) {
	if m == "" {
		return nil, jobs.Failf(jobs.Refused, "I would rather not")
	}
	return &jobs.Answer{Text: string(m), Finish: jobs.FinishStop}, nil
}

// open is a gate that lets every call pass.
type open struct{}

func (open) Enter(context.Context, *jobs.Call) (resilience.Pass, error) {
	return resilience.Pass{}, nil
}

func (open) Ahead(*jobs.Call) time.Duration { return 0 }

func (open) Due(context.Context, *jobs.Call) time.Duration { return 0 }

func (open) Leave(context.Context, *jobs.Call, *jobs.Attempt) error { return nil }

func ExampleChain() {
	chain := resilience.Chain{
		Name: "default",
		Gate: open{},
		Links: []resilience.Link{
			{Model: &jobs.Model{Name: "small", Context: 16_000, MaxOutput: 500}, Asker: model("")},
			{Model: &jobs.Model{Name: "large", Context: 200_000, MaxOutput: 500}, Asker: model("in 2031")},
		},
	}
	batch := &jobs.Batch{ID: "contracts", Tenant: "acme"}
	job := &jobs.Job{ID: jobs.NewID(batch.ID, "a.txt"), Batch: batch.ID, CustomID: "a.txt", Run: 1}

	made := chain.Run(context.Background(), resilience.Task{
		Job: job, Batch: batch,
		Request: &jobs.Request{Messages: []jobs.Message{{Role: jobs.User, Text: "When does it end?"}}},
	})

	o := made.Outcome
	fmt.Println(o.Status, o.Degraded, o.Answer)
	fmt.Println(o.Reason)
	// Output:
	// answered partial in 2031
	// answered by large because small failed with refused: I would rather not
}
