package trace

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/drover-batch/drover/jobs"
)

// collector keeps what is exported to it. It answers nothing while it hangs.
type collector struct {
	mu    sync.Mutex
	spans tracetest.SpanStubs
	fail  error
	hangs bool
	asked int
}

func (c *collector) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	if c.hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	if c.fail == nil {
		c.spans = append(c.spans, tracetest.SpanStubsFromReadOnlySpans(spans)...)
	}
	return c.fail
}

func (*collector) Shutdown(context.Context) error { return nil }

func (c *collector) turn(fail error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail = fail
}

// heard is what a Tracer has told.
type heard struct {
	mu   sync.Mutex
	said []string
}

func (h *heard) tell(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.said = append(h.said, fmt.Sprint(err))
}

func (h *heard) all() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return strings.Join(h.said, ", ")
}

func open(t *testing.T, c *collector) (*Tracer, *heard) {
	t.Helper()
	h := new(heard)
	tracer, err := New(t.Context(), Config{Service: "drover-worker", Instance: "w", Tell: h.tell}, c)
	if err != nil {
		t.Fatal(err)
	}
	return tracer, h
}

// lent is a delivery of a job, as far as a Tracer looks at it.
type lent struct {
	jobs.Delivery
	job   *jobs.Job
	batch *jobs.Batch
}

func (l lent) Job() *jobs.Job     { return l.job }
func (l lent) Batch() *jobs.Batch { return l.batch }

func delivery(n int) lent {
	id := jobs.NewID("b", fmt.Sprint(n))
	return lent{job: &jobs.Job{ID: id, Batch: "b", Run: 1}, batch: &jobs.Batch{ID: "b", Chain: "default", Created: time.Unix(1, 0)}}
}

// answer ends a delivery with an answer; it makes three spans and one for the
// call.
func (t *Tracer) answer(l lent) {
	attempt := jobs.Attempt{Run: 1, Worker: "w", Model: "small", Started: time.Now().Add(time.Hour)}
	t.end(l, jobs.NewOutcome(l.job, l.batch, jobs.Answered, []jobs.Attempt{attempt}))
}

func (t *Tracer) end(l jobs.Delivery, o *jobs.Outcome) {
	d := t.Lent(l)
	d.Storing()
	d.Stored(o, nil)
}

func TestOffCostsNothing(t *testing.T) { //nolint:paralleltest // AllocsPerRun wants to be alone
	var t0 *Tracer
	l := delivery(1)
	o := jobs.NewOutcome(l.job, l.batch, jobs.Answered, nil)
	var lent jobs.Delivery = l
	if n := testing.AllocsPerRun(100, func() {
		d := t0.Lent(lent)
		d.Ran("tool", time.Time{}, false)
		d.Kept(nil)
		d.Storing()
		d.Stored(o, nil)
		d.HandedBack(time.Second, nil)
		d.Released()
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
	if err := t0.Close(t.Context()); err != nil || t0.Dropped() != 0 || t0.HandIn("submit", "b").Traceparent != "" {
		t.Errorf("it does something: %v", err)
	}
}

func TestDeadCollectorIsToldOfOnceAndHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &collector{fail: errors.New("connection refused")}
		tracer, h := open(t, c)
		for n := range 10 {
			tracer.answer(delivery(n))
			time.Sleep(time.Minute)
		}
		if h.all() != "connection refused" || tracer.Dropped() != 40 {
			t.Errorf("told %q, dropped %d", h.all(), tracer.Dropped())
		}
		c.turn(nil)
		tracer.answer(delivery(11))
		if err := tracer.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if h.all() != "connection refused, <nil>" || tracer.Dropped() != 40 || len(c.spans) != 4 {
			t.Errorf("told %q, dropped %d, exported %d", h.all(), tracer.Dropped(), len(c.spans))
		}
	})
}

func TestSpansThatThereIsNoRoomForAreDroppedAndCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := &collector{hangs: true}
		tracer, _ := open(t, c)
		began := time.Now()
		for n := range usualQueue {
			tracer.answer(delivery(n))
		}
		if !time.Now().Equal(began) || tracer.Dropped() != 3*usualQueue {
			t.Errorf("it took %v, and %d were dropped", time.Since(began), tracer.Dropped())
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		err := tracer.Close(ctx)
		if time.Since(began) > 5*time.Second || err == nil || !strings.Contains(err.Error(), "the last 2048 spans were dropped") {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		if tracer.Dropped() != 4*usualQueue || c.asked > 5 {
			t.Errorf("%d were dropped, the collector was asked %d times", tracer.Dropped(), c.asked)
		}
	})
}

func TestAllThatWaitsIsExportedAtTheEnd(t *testing.T) {
	t.Parallel()
	c := new(collector)
	tracer, h := open(t, c)
	for n := range 400 {
		tracer.answer(delivery(n))
	}
	if err := tracer.Close(t.Context()); err != nil || len(c.spans) != 1600 || tracer.Dropped() != 0 || h.all() != "" {
		t.Errorf("%d were exported and %d dropped: %v, told %q", len(c.spans), tracer.Dropped(), err, h.all())
	}
}

func TestSamplerDecidesPerJobAndTheSameForAllItsDeliveries(t *testing.T) {
	t.Setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
	t.Setenv("OTEL_TRACES_SAMPLER_ARG", "0.25")
	c := new(collector)
	tracer, _ := open(t, c)
	for n := range 400 {
		l := delivery(n)
		tracer.Lent(l).HandedBack(time.Second, nil)
		tracer.answer(l)
	}
	if err := tracer.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	traces := map[oteltrace.TraceID]int{}
	for _, s := range c.spans {
		traces[s.SpanContext.TraceID()]++
	}
	if n := len(traces); n < 60 || n > 140 {
		t.Errorf("%d jobs of 400 were sampled", n)
	}
	for id, n := range traces {
		if n != 5 {
			t.Errorf("trace %s has %d spans", id, n)
		}
	}
}

func TestHandoverThatIsNotSampledIsNotNamed(t *testing.T) {
	t.Setenv("OTEL_TRACES_SAMPLER", "always_off")
	c := new(collector)
	tracer, _ := open(t, c)
	h := tracer.HandIn("submit", "b")
	h.End(1, nil)
	if err := tracer.Close(t.Context()); err != nil || h.Traceparent != "" || len(c.spans) > 0 {
		t.Errorf("%q: %v", h.Traceparent, err)
	}
}

func TestOutcomeThatCameSecondDoesNotEndTheJob(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		err    error
		result string
		ends   bool
	}{
		"stored":     {nil, "answered", true},
		"lease lost": {jobs.ErrLeaseLost, "answered", true},
		"on disk":    {jobs.ErrSpooled, "answered", true},
		"second":     {fmt.Errorf("storing: %w", jobs.ErrSettled), "came second", false},
		"not stored": {errors.New("the disk is full"), "not stored", false},
	} {
		c := new(collector)
		tracer, _ := open(t, c)
		l := delivery(1)
		d := tracer.Lent(l)
		d.Storing()
		d.Stored(jobs.NewOutcome(l.job, l.batch, jobs.Answered, nil), row.err)
		if err := tracer.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		ends := slices.ContainsFunc(c.spans, func(s tracetest.SpanStub) bool { return s.Name == "job" })
		process := c.spans[slices.IndexFunc(c.spans, func(s tracetest.SpanStub) bool { return s.Name == "process" })]
		said := slices.ContainsFunc(process.Attributes, func(a attribute.KeyValue) bool {
			return string(a.Key) == "drover.delivery.result" && a.Value.AsString() == row.result
		})
		if ends != row.ends || !said {
			t.Errorf("%s: the job ends: %v; %v", name, ends, process.Attributes)
		}
	}
}

// What is handed in with a header that nobody of us has written is traced all
// the same.
func TestHeaderThatIsNoTraceparentIsNoLink(t *testing.T) {
	t.Parallel()
	for traceparent, want := range map[string]bool{
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01": true,
		"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331":    false,
		"00-00000000000000000000000000000000-b7ad6b7169203331-01": false,
		"Mallory": false, "": false,
	} {
		if got := parse(traceparent).IsValid(); got != want {
			t.Errorf("%q: %v", traceparent, got)
		}
	}
}

func TestEnvironmentAsksForTraces(t *testing.T) {
	t.Parallel()
	const at = "OTEL_EXPORTER_OTLP_ENDPOINT"
	for _, row := range []struct {
		environ map[string]string
		wanted  bool
		wrong   string
	}{
		{map[string]string{}, false, ""},
		{map[string]string{at: " "}, false, ""},
		{map[string]string{at: "http://127.0.0.1:4318"}, true, ""},
		{map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://collector/v1/traces"}, true, ""},
		{map[string]string{at: "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "True"}, false, ""},
		{map[string]string{at: "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "none"}, false, ""},
		{map[string]string{at: "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "otlp"}, true, ""},
		{map[string]string{at: "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "zipkin"}, false, "OTEL_TRACES_EXPORTER=zipkin: "},
		{map[string]string{at: "127.0.0.1:4318"}, false, at + " is no address such as http://"},
		{map[string]string{at: "grpc://127.0.0.1:4317"}, false, at + " is no address"},
		{map[string]string{at: "http://127.0.0.1:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, false, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc: use http/protobuf"},
		{map[string]string{at: "http://127.0.0.1:4318", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, true, ""},
		{map[string]string{at: "http://127.0.0.1:4318", "OTEL_TRACES_SAMPLER": "sometimes"}, false, "OTEL_TRACES_SAMPLER=sometimes: use one of always_on, "},
		{map[string]string{at: "http://127.0.0.1:4318", "OTEL_TRACES_SAMPLER_ARG": "10%"}, false, "OTEL_TRACES_SAMPLER_ARG=10%: use a share from 0 to 1"},
		{map[string]string{at: "http://127.0.0.1:4318", "OTEL_TRACES_SAMPLER_ARG": "1.5"}, false, "OTEL_TRACES_SAMPLER_ARG=1.5: "},
		{map[string]string{"OTEL_TRACES_SAMPLER": "sometimes"}, false, ""},
	} {
		wanted, err := Wanted(func(name string) string { return row.environ[name] })
		if wanted != row.wanted || (err == nil) != (row.wrong == "") || err != nil && !strings.HasPrefix(err.Error(), row.wrong) {
			t.Errorf("%v: %v, %v", row.environ, wanted, err)
		}
	}
}

// BenchmarkAnswer is what the traces of a job with one call cost its worker.
func BenchmarkAnswer(b *testing.B) {
	tracer, err := New(b.Context(), Config{Instance: "w"}, new(nowhere))
	if err != nil {
		b.Fatal(err)
	}
	l := delivery(1)
	o := jobs.NewOutcome(l.job, l.batch, jobs.Answered, []jobs.Attempt{{Run: 1, Worker: "w", Model: "small", Started: time.Now().Add(time.Hour)}})
	for name, t := range map[string]*Tracer{"on": tracer, "off": nil} {
		b.Run(name, func(b *testing.B) {
			var lent jobs.Delivery = l
			b.ReportAllocs()
			for b.Loop() {
				t.end(lent, o)
			}
		})
	}
	_ = tracer.Close(b.Context())
}

type nowhere struct{}

func (nowhere) ExportSpans(context.Context, []sdk.ReadOnlySpan) error { return nil }
func (nowhere) Shutdown(context.Context) error                        { return nil }
