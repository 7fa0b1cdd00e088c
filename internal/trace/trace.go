package trace

import (
	"context"
	"fmt"
	"os"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/drover-batch/drover/jobs"
)

// scope names what makes our spans.
const scope = "github.com/drover-batch/drover"

// Config is what a Tracer is made of.
type Config struct {
	// Service, Version and Instance say whose spans these are. OTEL_SERVICE_NAME
	// and OTEL_RESOURCE_ATTRIBUTES come before them. A worker's Instance is the
	// one that its attempts name.
	Service, Version, Instance string

	// Models are those of the configuration, by name.
	Models map[string]jobs.Model

	// Tell is told once that spans cannot be exported, and once, with nil, that
	// they can again; may be nil.
	Tell func(error)
}

// Tracer makes spans of what becomes of jobs, and exports them. As nil it does
// nothing, as do the Deliveries and the Handover that it gives. It may be used
// from any goroutine.
type Tracer struct {
	tracer   oteltrace.Tracer
	provider *sdk.TracerProvider
	export   *export
	cut      func()
	instance string
	models   map[string]model
}

// Open makes a Tracer that exports by OTLP over HTTP as the environment says; it
// is nil if the environment does not ask for traces, see Wanted.
func Open(ctx context.Context, c Config) (*Tracer, error) {
	if wanted, err := Wanted(os.Getenv); err != nil || !wanted {
		return nil, err
	}
	to, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("preparing to export traces: %w", err)
	}
	return New(ctx, c, to)
}

// New makes a Tracer that exports to the exporter, and shuts it down when it is
// closed.
func New(ctx context.Context, c Config, to sdk.SpanExporter) (*Tracer, error) {
	about, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(semconv.ServiceName(c.Service), semconv.ServiceVersion(c.Version), semconv.ServiceInstanceID(c.Instance)),
		resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("reading OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	t := &Tracer{instance: c.Instance, models: make(map[string]model, len(c.Models))}
	for name, m := range c.Models {
		t.models[name] = newModel(&m)
	}
	if c.Tell == nil {
		c.Tell = func(error) {}
	}
	t.export, t.cut = newExport(to, c.Tell)
	t.provider = sdk.NewTracerProvider(sdk.WithResource(about), sdk.WithIDGenerator(ids{}), sdk.WithSpanProcessor(t.export))
	t.tracer = t.provider.Tracer(scope, oteltrace.WithInstrumentationVersion(c.Version), oteltrace.WithSchemaURL(semconv.SchemaURL))
	return t, nil
}

// Close exports what waits and ends the Tracer. What is left when ctx ends is
// dropped, which the error tells; not what Tell was told of.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	before := t.Dropped()
	stop := context.AfterFunc(ctx, t.cut)
	err := t.provider.Shutdown(context.WithoutCancel(ctx)) // it does not wait for the last export once its context ends
	stop()
	t.cut()
	if lost := t.Dropped() - before; lost > 0 && err == nil && !t.export.failing {
		err = fmt.Errorf("exporting traces: the last %s were dropped", jobs.Counted(lost, "span"))
	}
	return err
}

// Dropped is how many spans were not exported: the collector did not take them,
// or too many waited for it.
func (t *Tracer) Dropped() int64 {
	if t == nil {
		return 0
	}
	return t.export.dropped.Load()
}
