package trace

import (
	"context"
	"os"
	"strconv"
	"sync/atomic"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// usualQueue is how many spans may wait to be exported unless
// OTEL_BSP_MAX_QUEUE_SIZE says otherwise: OpenTelemetry's own default.
const usualQueue = 2048

// export hands spans to a batch processor, no more than it has room for: what
// is beyond that is dropped and counted, and nobody waits. It tells once when
// spans cannot be exported, and once when they can again.
type export struct {
	sdk.SpanProcessor
	to   sdk.SpanExporter
	tell func(error)

	most             int64
	waiting, dropped atomic.Int64

	cut     context.Context // ends when there is no time left for any
	failing bool            // the processor exports one batch after the other
}

func newExport(to sdk.SpanExporter, tell func(error)) (e *export, cut func()) {
	e = &export{to: to, tell: tell, most: usualQueue}
	if n, err := strconv.Atoi(os.Getenv("OTEL_BSP_MAX_QUEUE_SIZE")); err == nil && n > 0 {
		e.most = int64(n)
	}
	e.cut, cut = context.WithCancel(context.Background())
	e.SpanProcessor = sdk.NewBatchSpanProcessor(exporter{e}, sdk.WithMaxQueueSize(int(e.most)))
	return e, cut
}

// OnEnd implements sdk.SpanProcessor.
func (e *export) OnEnd(s sdk.ReadOnlySpan) {
	if e.waiting.Add(1) > e.most {
		e.waiting.Add(-1)
		e.dropped.Add(1)
		return
	}
	e.SpanProcessor.OnEnd(s)
}

// exporter is the far side of the batch processor.
type exporter struct{ *export }

// ExportSpans implements sdk.SpanExporter. It fails quietly: an error would be
// written to the standard error, once for each batch.
func (e exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.cut, cancel)()
	err := e.to.ExportSpans(ctx, spans)
	e.waiting.Add(-int64(len(spans)))
	if err != nil {
		e.dropped.Add(int64(len(spans)))
	}
	if e.cut.Err() != nil {
		return nil // Close tells
	}
	if failing := err != nil; failing != e.failing {
		e.failing = failing
		e.tell(err)
	}
	return nil
}

// Shutdown implements sdk.SpanExporter.
func (e exporter) Shutdown(ctx context.Context) error { return e.to.Shutdown(ctx) }
