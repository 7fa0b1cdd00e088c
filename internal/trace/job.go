package trace

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/drover-batch/drover/jobs"
)

// Ended makes the trace of a job that has its outcome and that nobody was lent:
// one span.
func (t *Tracer) Ended(j *jobs.Job, b *jobs.Batch, o *jobs.Outcome) {
	if t == nil {
		return
	}
	now := time.Now()
	if _, job := t.beginJob(j, b, now); job.IsRecording() {
		endJob(job, o, now)
	}
}

// beginJob begins the span of a job's run as a whole, which lasts since it was
// queued; or since some moment if the clocks differ.
func (t *Tracer) beginJob(j *jobs.Job, b *jobs.Batch, latest time.Time) (context.Context, oteltrace.Span) {
	began := j.Queued
	if began.IsZero() || began.After(latest) {
		began = latest
	}
	return t.tracer.Start(context.WithValue(context.Background(), placeKey{}, placeOf(j, b, j.Run)), "job",
		oteltrace.WithTimestamp(began), oteltrace.WithLinks(links(j, b)...),
		oteltrace.WithAttributes(about(j)...), oteltrace.WithAttributes(attribute.String("drover.chain", b.Chain)))
}

// about is what the spans of a job and of its deliveries have in common.
func about(j *jobs.Job) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("drover.job.id", string(j.ID)), attribute.String("drover.batch.id", j.Batch), attribute.Int("drover.run", j.Run),
	}
}

// links lead to what handed the job in, and from a replay to the run before.
func links(j *jobs.Job, b *jobs.Batch) []oteltrace.Link {
	var links []oteltrace.Link
	if from := parse(j.Traceparent); from.IsValid() {
		links = append(links, oteltrace.Link{SpanContext: from})
	}
	if j.Run > 1 {
		links = append(links, oteltrace.Link{SpanContext: placeOf(j, b, j.Run-1).context()})
	}
	return links
}

// endJob ends the span with the outcome that stands.
func endJob(span oteltrace.Span, o *jobs.Outcome, at time.Time) {
	span.SetAttributes(
		attribute.String("drover.status", string(o.Status)), attribute.Float64("drover.cost_usd", dollars(o.Cost)),
		attribute.Int64("drover.tokens.input", o.Usage.Input), attribute.Int64("drover.tokens.output", o.Usage.Output),
	)
	if o.Degraded != "" {
		span.SetAttributes(attribute.String("drover.degraded", string(o.Degraded)))
	}
	if o.SameAs != nil {
		span.SetAttributes(attribute.Bool("drover.deduplicated", true))
	}
	fail(span, o.Kind)
	span.End(oteltrace.WithTimestamp(at))
}
