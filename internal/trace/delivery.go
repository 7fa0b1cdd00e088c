package trace

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/drover-batch/drover/jobs"
)

// Delivery notes what the spans of one delivery are to tell that nothing else
// remembers, and makes them when it ends: in Stored, HandedBack or Released.
type Delivery struct {
	t     *Tracer
	job   *jobs.Job
	batch *jobs.Batch
	began time.Time

	kept    []jobs.Attempt
	lost    int
	storing time.Time

	mu    sync.Mutex // tools run side by side
	tools []run
}

// run is a tool that was run.
type run struct {
	tool   string
	began  time.Time
	took   time.Duration
	failed bool
}

// Lent begins a delivery.
func (t *Tracer) Lent(d jobs.Delivery) *Delivery {
	if t == nil {
		return nil
	}
	return &Delivery{t: t, job: d.Job(), batch: d.Batch(), began: time.Now()}
}

// Ran notes that a tool was run, by the name that it is offered by.
func (d *Delivery) Ran(tool string, began time.Time, failed bool) {
	if d == nil {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tools = append(d.tools, run{tool, began, time.Since(began), failed})
}

// Kept notes the attempts of a checkpoint: if the job is handed back, nobody
// names them again.
func (d *Delivery) Kept(attempts []jobs.Attempt) {
	if d != nil {
		d.kept = attempts
	}
}

// Lost notes that so many earlier deliveries of the job ended without a word, and
// so without a span.
func (d *Delivery) Lost(deliveries int) {
	if d != nil {
		d.lost = deliveries
	}
}

// Storing notes that the outcome is about to be stored.
func (d *Delivery) Storing() {
	if d != nil {
		d.storing = time.Now()
	}
}

// Stored ends a delivery with an outcome, and with what came of storing it; and
// the span of the job's run, unless the outcome does not stand.
func (d *Delivery) Stored(o *jobs.Outcome, err error) {
	if d == nil {
		return
	}
	now := time.Now()
	s, ok := d.spans()
	if !ok {
		return
	}
	s.calls(o.Attempts)
	for _, skipped := range o.Skipped {
		s.process.AddEvent("model passed over", oteltrace.WithTimestamp(now), oteltrace.WithAttributes(attribute.String("drover.model", skipped.Model)))
	}
	s.child("store outcome", oteltrace.SpanKindClient, d.storing, now, unstored(err), semconv.MessagingSystemKey.String("nats"))
	result := string(o.Status)
	switch {
	case errors.Is(err, jobs.ErrSettled):
		result = "came second"
	case unstored(err) != "":
		result = "not stored"
	}
	s.end(result, now, o.Kind)
	if result != string(o.Status) {
		return
	}
	endJob(s.job, o, now)
}

// unstored is why an outcome was not stored, nothing if it was, or will be.
func unstored(err error) jobs.Kind {
	if err == nil || errors.Is(err, jobs.ErrSettled) || errors.Is(err, jobs.ErrLeaseLost) || errors.Is(err, jobs.ErrSpooled) {
		return ""
	}
	return jobs.Internal
}

// HandedBack ends a delivery without an outcome: the job comes back after a
// wait, or at once.
func (d *Delivery) HandedBack(wait time.Duration, attempts []jobs.Attempt) {
	if d == nil {
		return
	}
	s, ok := d.spans()
	if !ok {
		return
	}
	s.calls(slices.Concat(d.kept, attempts))
	result := "returned"
	if wait > 0 {
		result = "deferred"
		s.process.SetAttributes(attribute.Float64("drover.wait_seconds", wait.Seconds()))
	}
	s.end(result, time.Now(), "")
}

// Released ends a delivery of a job that had its outcome.
func (d *Delivery) Released() {
	if d == nil {
		return
	}
	if s, ok := d.spans(); ok {
		s.end("released", time.Now(), "")
	}
}

// spans are those of a delivery that ends. The job's own is exported by whoever
// ends the job, and is the parent of what all its deliveries did.
type spans struct {
	*Delivery
	ctx          context.Context // whose span is the delivery's
	job, process oteltrace.Span
}

// spans begins the spans, unless they are not sampled.
func (d *Delivery) spans() (s spans, sampled bool) {
	ctx, job := d.t.beginJob(d.job, d.batch, d.began)
	if !job.IsRecording() {
		return s, false
	}
	ctx, process := d.t.tracer.Start(ctx, "process",
		oteltrace.WithTimestamp(d.began), oteltrace.WithSpanKind(oteltrace.SpanKindConsumer), oteltrace.WithAttributes(about(d.job)...),
		oteltrace.WithAttributes(semconv.MessagingSystemKey.String("nats"), semconv.MessagingOperationTypeProcess, semconv.MessagingOperationName("process"), semconv.MessagingMessageID(string(d.job.ID))))
	if d.lost > 0 {
		process.AddEvent("earlier deliveries lost", oteltrace.WithTimestamp(d.began), oteltrace.WithAttributes(attribute.Int("drover.deliveries.lost", d.lost)))
	}
	return spans{d, ctx, job, process}, true
}

// calls makes a span of each attempt that this delivery made, and of the wait
// before it; and one of each tool that was run.
func (s spans) calls(attempts []jobs.Attempt) {
	for i := range attempts {
		if a := &attempts[i]; a.Run == s.Delivery.job.Run && a.Worker == s.t.instance && !a.Started.Before(s.began) {
			s.call(a)
		}
	}
	for _, r := range s.tools {
		var wrong jobs.Kind
		if r.failed {
			wrong = "tool_error"
		}
		s.child("execute_tool "+r.tool, oteltrace.SpanKindInternal, r.began, r.began.Add(r.took), wrong,
			semconv.GenAIOperationNameExecuteTool, semconv.GenAIToolName(r.tool))
	}
}

// least is the shortest wait that is worth a span.
const least = 10 * time.Millisecond

func (s spans) call(a *jobs.Attempt) {
	m, ok := s.t.models[a.Model]
	if !ok {
		m = model{span: "chat"}
	}
	if a.Waited >= least {
		s.child("wait for admission", oteltrace.SpanKindInternal, a.Started.Add(-a.Waited), a.Started, "", attribute.String("drover.model", a.Model))
	}
	about := make([]attribute.KeyValue, 0, len(m.common)+10)
	about = append(append(about, m.common...),
		attribute.String("drover.call.id", a.Call),
		attribute.Float64("drover.cost_usd", dollars(a.Cost)), attribute.String("drover.billing", string(a.Billing)))
	for _, n := range []struct {
		key   attribute.Key
		value int64
	}{
		{semconv.GenAIUsageInputTokensKey, a.Usage.Input}, {semconv.GenAIUsageOutputTokensKey, a.Usage.Output},
		{semconv.GenAIUsageCacheReadInputTokensKey, a.Usage.CachedInput}, {semconv.GenAIUsageCacheCreationInputTokensKey, a.Usage.CacheWrite},
		{semconv.GenAIUsageReasoningOutputTokensKey, a.Usage.Reasoning}, {semconv.HTTPResponseStatusCodeKey, int64(a.Status)},
	} {
		if n.value > 0 {
			about = append(about, n.key.Int64(n.value))
		}
	}
	if a.Step != "" {
		about = append(about, attribute.String("drover.step", a.Step))
	}
	s.child(m.span, oteltrace.SpanKindClient, a.Started, a.Started.Add(a.Took), a.Kind, about...)
}

// child makes a span of something that the delivery did.
func (s spans) child(name string, sort oteltrace.SpanKind, from, to time.Time, wrong jobs.Kind, about ...attribute.KeyValue) {
	_, span := s.t.tracer.Start(s.ctx, name, oteltrace.WithSpanKind(sort), oteltrace.WithTimestamp(from), oteltrace.WithAttributes(about...))
	fail(span, wrong)
	span.End(oteltrace.WithTimestamp(to))
}

// end ends the span of the delivery.
func (s spans) end(result string, at time.Time, wrong jobs.Kind) {
	s.process.SetAttributes(attribute.String("drover.delivery.result", result))
	fail(s.process, wrong)
	s.process.End(oteltrace.WithTimestamp(at))
}

// fail says how something failed, if it did. Messages are left out: providers
// quote in theirs what they were asked.
func fail(span oteltrace.Span, k jobs.Kind) {
	if k != "" {
		span.SetStatus(codes.Error, string(k))
		span.SetAttributes(semconv.ErrorTypeKey.String(string(k)))
	}
}

func dollars(m jobs.USD) float64 { return float64(m) / float64(jobs.Dollar) }
