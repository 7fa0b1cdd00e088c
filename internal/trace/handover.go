package trace

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	oteltrace "go.opentelemetry.io/otel/trace"
)

// Handover is the span of a command that hands jobs in.
type Handover struct {
	// Traceparent names the span, in W3C's form, for the jobs that it hands in.
	Traceparent string

	span oteltrace.Span
}

// HandIn begins the span of a command that hands jobs of a batch in.
func (t *Tracer) HandIn(command, batch string) *Handover {
	if t == nil {
		return new(Handover)
	}
	ctx, span := t.tracer.Start(context.Background(), command, oteltrace.WithSpanKind(oteltrace.SpanKindProducer), oteltrace.WithAttributes(
		semconv.MessagingSystemKey.String("nats"), semconv.MessagingOperationTypeSend, semconv.MessagingOperationName(command),
		attribute.String("drover.batch.id", batch)))
	h := &Handover{span: span}
	if span.SpanContext().IsSampled() { // nobody could follow a link to it otherwise
		h.Traceparent = traceparent(ctx)
	}
	return h
}

// End ends the span: so many jobs of the batch are in.
func (h *Handover) End(count int64, err error) {
	if h.span == nil {
		return
	}
	h.span.SetAttributes(semconv.MessagingBatchMessageCountKey.Int64(count))
	if err != nil {
		h.span.SetStatus(codes.Error, "") // its words may name documents
		h.span.SetAttributes(semconv.ErrorTypeOther)
	}
	h.span.End()
}

// parse reads a traceparent. One that is none gives a context that is not valid.
func parse(traceparent string) oteltrace.SpanContext {
	if traceparent == "" {
		return oteltrace.SpanContext{}
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{"traceparent": traceparent})
	return oteltrace.SpanContextFromContext(ctx)
}

// Traceparent names the span of the job, for whom it asks; "" if it is not
// sampled, so that others trace nothing for it either.
func (d *Delivery) Traceparent() string {
	if d == nil {
		return ""
	}
	ctx, job := d.t.beginJob(d.job, d.batch, d.began)
	if !job.SpanContext().IsSampled() {
		return ""
	}
	return traceparent(ctx)
}

func traceparent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier["traceparent"]
}
