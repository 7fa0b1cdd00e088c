package trace_test

import (
	"context"
	"fmt"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/drover-batch/drover/internal/trace"
	"github.com/drover-batch/drover/jobs"
)

// printer exports spans to whoever watches.
type printer struct{}

func (printer) ExportSpans(_ context.Context, spans []sdk.ReadOnlySpan) error {
	for _, s := range spans {
		fmt.Println(s.Name())
	}
	return nil
}

func (printer) Shutdown(context.Context) error { return nil }

// lent is a delivery; a queue has the real ones.
type lent struct{ jobs.Delivery }

func (lent) Job() *jobs.Job     { return &jobs.Job{ID: "7", Batch: "contracts", Run: 1} }
func (lent) Batch() *jobs.Batch { return &jobs.Batch{ID: "contracts", Chain: "default"} }

func Example() {
	ctx := context.Background()
	models := map[string]jobs.Model{"small": {Name: "small", Provider: "openai", Upstream: "gpt-4.1-mini"}}
	tracer, err := trace.New(ctx, trace.Config{Service: "worker", Instance: "w1", Models: models}, printer{})
	if err != nil {
		fmt.Println(err)
		return
	}

	delivery := tracer.Lent(lent{})
	attempt := jobs.Attempt{Run: 1, Worker: "w1", Model: "small", Started: time.Now(), Took: time.Second}
	delivery.Storing()
	delivery.Stored(&jobs.Outcome{Run: 1, Status: jobs.Answered, Attempts: []jobs.Attempt{attempt}}, nil)

	if err := tracer.Close(ctx); err != nil {
		fmt.Println(err)
	}
	// Output:
	// chat gpt-4.1-mini
	// store outcome
	// process
	// job
}
