package wire

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/trace"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/llm/simulator"
)

// collector is where all processes of a world export their spans to.
type collector struct {
	mu    sync.Mutex
	spans tracetest.SpanStubs
}

// exporting is a process's way there, which ends when it is killed.
type exporting struct {
	*collector
	link *link // nil for whoever submits
}

func (e exporting) ExportSpans(_ context.Context, spans []sdk.ReadOnlySpan) error {
	if e.link != nil && e.link.isCut() {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.spans = append(e.spans, tracetest.SpanStubsFromReadOnlySpans(spans)...)
	return nil
}

func (exporting) Shutdown(context.Context) error { return nil }

// tracer is that of a process, nil in a world without traces.
func (w *world) tracer(id string, l *link) *trace.Tracer {
	if w.traces == nil {
		return nil
	}
	t, err := trace.New(w.ctx, trace.Config{Service: "drover", Instance: id, Models: w.config.Models}, exporting{w.traces, l})
	w.must(err)
	return t
}

// handIn makes the trace of a submission.
func (w *world) handIn(batch string) (traceparent string, done func(jobs int)) {
	t := w.tracer("client", nil)
	h := t.HandIn("submit", batch)
	return h.Traceparent, func(n int) {
		h.End(int64(n), nil)
		w.must(t.Close(w.ctx))
	}
}

// ended stops all workers, so that they export what they have, and returns the
// spans in the order of their beginnings.
func (w *world) ended() tracetest.SpanStubs {
	w.Helper()
	for name := range w.names() {
		w.stop(name)
	}
	w.traces.mu.Lock()
	defer w.traces.mu.Unlock()
	spans := slices.Clone(w.traces.spans)
	slices.SortStableFunc(spans, func(a, b tracetest.SpanStub) int {
		return cmp.Or(a.StartTime.Compare(b.StartTime), a.EndTime.Compare(b.EndTime))
	})
	return spans
}

// told is what the spans say, a line each, the children under their parents, but
// for the waits: there may be one before the first call of a worker.
func told(spans tracetest.SpanStubs, parent oteltrace.SpanID, indent string, want ...string) string {
	var b strings.Builder
	for _, s := range spans {
		if s.Parent.SpanID() != parent || s.Name == "wait for admission" {
			continue
		}
		b.WriteString(indent + s.Name)
		for _, key := range want {
			if v := value(s, key); v != "" {
				b.WriteString(" " + v)
			}
		}
		b.WriteString("\n" + told(spans, s.SpanContext.SpanID(), indent+"  ", want...))
	}
	return b.String()
}

func value(s tracetest.SpanStub, key string) string {
	for _, a := range s.Attributes {
		if string(a.Key) == key {
			return a.Value.String()
		}
	}
	return ""
}

// same compares what spans say with what they should.
func (w *world) same(spans tracetest.SpanStubs, want string, keys ...string) {
	w.Helper()
	if got := told(spans, oteltrace.SpanID{}, "", keys...); got != want {
		w.Errorf("the spans are\n%swant\n%s", got, want)
	}
}

// runs are the spans of jobs as a whole.
func runs(spans tracetest.SpanStubs) (list []tracetest.SpanStub) {
	for _, s := range spans {
		if s.Name == "job" {
			list = append(list, s)
		}
	}
	return list
}

// tracing is a world with traces, whose model takes four seconds.
func tracing(tune ...func(*config.Config)) scene {
	return scene{traced: true, provider: simulator.Config{Latency: 4 * time.Second}, tune: func(c *config.Config) {
		for _, f := range tune {
			f(c)
		}
	}}
}

func TestTraceLeadsFromTheSubmissionToTheOutcome(t *testing.T) {
	inWorld(t, tracing(), func(w *world) {
		began := time.Now()
		w.submit(jobs.Batch{ID: "contracts"}, short(1)...)
		time.Sleep(time.Minute)
		w.start("a")
		w.untilOver("contracts")
		spans := w.ended()
		w.same(spans, `submit contracts
job contracts answered
  process contracts answered
    chat small small
    store outcome
`, "drover.batch.id", "gen_ai.request.model", "drover.status", "drover.delivery.result")
		submit, job := spans[0], runs(spans)[0]
		if len(job.Links) != 1 || job.Links[0].SpanContext.SpanID() != submit.SpanContext.SpanID() || job.Links[0].SpanContext.TraceID() == job.SpanContext.TraceID() {
			w.Errorf("the job is not linked to its submission: %+v", job.Links)
		}
		if lasted := job.EndTime.Sub(job.StartTime); lasted < time.Minute+4*time.Second || job.StartTime.Before(began) {
			w.Errorf("the job began at %v and lasted %v", job.StartTime, lasted)
		}
		o := w.outcomes("contracts")["0"]
		call := spans[slices.IndexFunc(spans, func(s tracetest.SpanStub) bool { return s.Name == "chat small" })]
		for key, want := range map[string]string{
			"gen_ai.operation.name": "chat", "gen_ai.provider.name": "simulator", "server.address": "127.0.0.1", "server.port": "1",
			"gen_ai.usage.input_tokens": fmt.Sprint(o.Usage.Input), "gen_ai.usage.output_tokens": fmt.Sprint(o.Usage.Output),
			"drover.billing": "billed", "http.response.status_code": "200", "drover.call.id": o.Attempts[0].Call,
		} {
			if got := value(call, key); got != want {
				w.Errorf("the call has %s %q, want %q", key, got, want)
			}
		}
		if took := call.EndTime.Sub(call.StartTime); took < 4*time.Second || took > 5*time.Second {
			w.Errorf("the call took %v", took)
		}
	})
}

func TestRedeliveredJobGoesOnInItsTrace(t *testing.T) {
	s := tracing(func(c *config.Config) { c.Worker.Grace = time.Second })
	inWorld(t, s, func(w *world) {
		w.submit(jobs.Batch{ID: "contracts"}, short(1)...)
		w.start("a") // which hands the job back, and says so in its trace
		time.Sleep(2 * time.Second)
		w.stop("a")
		w.start("b")
		time.Sleep(2 * time.Second)
		w.kill("b") // which says nothing
		w.start("c")
		w.untilOver("contracts")
		spans := w.ended()[1:]
		w.same(spans, `job
  process returned
    chat small interrupted
  process answered
    chat small
    store outcome
`, "drover.delivery.result", "error.type")
		if last := spans[slices.IndexFunc(spans, func(s tracetest.SpanStub) bool { return value(s, "drover.delivery.result") == "answered" })]; len(last.Events) != 1 ||
			last.Events[0].Name != "earlier deliveries lost" || last.Events[0].Attributes[0].Value.AsInt64() != 1 {
			w.Errorf("nothing explains the gap that a killed worker left: %+v", last.Events)
		}
		if job := runs(spans)[0]; job.EndTime.Sub(job.StartTime) < w.config.Worker.Lease {
			w.Errorf("the job took %v", job.EndTime.Sub(job.StartTime))
		}
	})
}

// TestJobsThatNobodyIsLentHaveTheirTraces has jobs ended by the queue: by a worker
// that finds them past their deadline, by whoever cancels them, and by the last of
// many workers that the job is the death of.
func TestJobsThatNobodyIsLentHaveTheirTraces(t *testing.T) {
	inWorld(t, tracing(), func(w *world) {
		w.submit(jobs.Batch{ID: "unwanted"}, short(2)...)
		canceller := w.tracer("canceller", nil)
		w.client.Queue.OnEnded(canceller.Ended)
		_, err := w.client.Queue.Cancel(w.ctx, "unwanted")
		w.must(err)
		w.must(canceller.Close(w.ctx))
		w.submit(jobs.Batch{ID: "deadly"}, short(1)...)
		for i := range 5 {
			source, err := w.client.Queue.Source(fmt.Sprint("victim", i))
			w.must(err)
			for lent := []jobs.Delivery(nil); len(lent) == 0 || lent[0].Batch().ID != "deadly"; {
				lent, err = source.Next(w.ctx, 1)
				w.must(err)
			}
			time.Sleep(w.config.Worker.Lease + time.Second) // and says nothing more
			w.must(source.Close())
		}
		w.submit(jobs.Batch{ID: "late", Deadline: time.Now().Add(time.Minute)}, short(1)...)
		time.Sleep(2 * time.Minute)
		w.start("a")
		w.untilOver("late")
		w.untilOver("deadly")
		spans := w.ended()
		got := map[string]int{}
		for _, job := range runs(spans) {
			got[strings.Join([]string{value(job, "drover.batch.id"), value(job, "drover.status"), value(job, "error.type")}, " ")]++
			if len(job.Links) != 1 || job.Parent.IsValid() || job.EndTime.Before(job.StartTime) {
				w.Errorf("the job of batch %s is %+v", value(job, "drover.batch.id"), job)
			}
		}
		want := map[string]int{"late expired past_deadline": 1, "unwanted cancelled ": 2, "deadly dead poison": 1}
		if !maps.Equal(got, want) {
			w.Errorf("the jobs are %v, want %v", got, want)
		}
	})
}

func TestTraceShowsRetriesAndTheFallback(t *testing.T) {
	inWorld(t, tracing(), func(w *world) {
		w.submit(jobs.Batch{ID: "contracts"}, "[[simulate:500@small]] They agree.")
		w.start("a")
		w.untilOver("contracts")
		w.same(w.ended()[1:], `job answered partial
  process
    chat small server_error 500
    chat small server_error 500
    chat small server_error 500
    chat large 200
    store outcome
`, "drover.status", "drover.degraded", "error.type", "http.response.status_code")
	})
}

func TestReplayIsATraceThatLeadsToTheRunBefore(t *testing.T) {
	inWorld(t, tracing(), func(w *world) {
		w.submit(jobs.Batch{ID: "contracts"}, "[[simulate:422*1]] They agree.")
		w.start("a")
		w.untilOver("contracts")
		time.Sleep(time.Hour)
		w.must(w.client.Queue.Replay(w.ctx, w.letters("contracts")["0"]))
		w.untilOver("contracts")
		list := runs(w.ended())
		if len(list) != 2 || value(list[0], "drover.status") != "dead" || value(list[0], "error.type") != "invalid_request" || value(list[1], "drover.status") != "answered" {
			w.Fatalf("%+v", list)
		}
		first, second := list[0], list[1]
		if len(second.Links) != 1 || second.Links[0].SpanContext.TraceID() != first.SpanContext.TraceID() || second.Links[0].SpanContext.SpanID() != first.SpanContext.SpanID() {
			w.Errorf("the replay leads to %+v, not to %+v", second.Links, first.SpanContext)
		}
		if first.SpanContext.TraceID() == second.SpanContext.TraceID() || second.StartTime.Sub(first.StartTime) < time.Hour {
			w.Errorf("the replay began at %v, in the trace of the run before from %v", second.StartTime, first.StartTime)
		}
	})
}

func TestTraceShowsTheWaitForAQuota(t *testing.T) {
	s := tracing(func(c *config.Config) {
		c.Worker.Slots = 2
		small := c.Models["small"]
		small.Quota = "one"
		c.Models["small"] = small
		c.Quotas = map[string]config.Quota{"one": {Concurrent: 1}}
	})
	inWorld(t, s, func(w *world) {
		w.submit(jobs.Batch{ID: "contracts", Chain: "cheap"}, short(2)...)
		w.start("a")
		w.untilOver("contracts")
		waited := time.Duration(0)
		for _, s := range w.ended() {
			if s.Name == "wait for admission" && value(s, "drover.model") == "small" {
				waited += s.EndTime.Sub(s.StartTime)
			}
		}
		if waited < 3*time.Second || waited > 8*time.Second {
			w.Errorf("the second job waited %v for the first, by its trace", waited)
		}
	})
}

// TestModelsAreToldOfTheTraceOnlyWhereTheyShall asks with and without
// traces.propagate, and of a job that is not sampled.
func TestModelsAreToldOfTheTraceOnlyWhereTheyShall(t *testing.T) {
	for name, row := range map[string]struct{ propagate, traced bool }{"told": {true, true}, "not asked for": {false, true}, "no traces": {true, false}} {
		t.Run(name, func(t *testing.T) {
			s := tracing(func(c *config.Config) { c.Traces.Propagate = row.propagate })
			s.traced = row.traced
			inWorld(t, s, func(w *world) {
				w.submit(jobs.Batch{ID: "contracts"}, short(1)...)
				w.start("a")
				w.untilOver("contracts")
				want := ""
				if row.propagate && row.traced {
					job := runs(w.ended())[0].SpanContext
					want = fmt.Sprintf("00-%s-%s-01", job.TraceID(), job.SpanID())
				}
				if len(w.told) != 1 || w.told[0] != want {
					w.Errorf("requests have the traceparents %q, want %q", w.told, want)
				}
			})
		})
	}
}

func TestTraceShowsTools(t *testing.T) {
	s := talking(reading(2))
	s.traced = true
	inWorld(t, s, func(w *world) {
		w.submit(talk(), "word 1")
		w.start("a")
		w.untilOver("talk")
		w.same(w.ended()[1:], `job
  process
    chat small turn 1
    execute_tool doc_search doc_search
    chat small turn 2
    execute_tool doc_search doc_search
    chat small turn 3
    store outcome
`, "drover.step", "gen_ai.tool.name")
	})
}

// What documents, prompts, answers and providers say is nobody's business who
// may read traces, and neither are the names of documents.
func TestTracesGiveNothingAway(t *testing.T) {
	const secret = "Mallory-4711"
	s := talking(func(a simulator.Asked) *simulator.Reply {
		if a.Turn == 0 {
			return calls("doc_search", `{"text":"`+secret+`"}`)
		}
		return &simulator.Reply{Calls: []simulator.Call{{Name: secret, Arguments: `{}`}}, Text: secret}
	}, func(c *config.Config) {
		for name, m := range c.Models {
			m.Key, m.BaseURL = jobs.NewSecret(secret), "http://127.0.0.1:1/v1?key="+secret
			c.Models[name] = m
		}
	})
	s.traced, s.alike = true, true
	inWorld(t, s, func(w *world) {
		b := jobs.Batch{ID: "talk", Name: secret, Tenant: secret, Chain: "default", Prompt: secret + " {{.Text}}", System: secret}
		handover, done := w.handIn(b.ID)
		wr, err := w.client.Queue.Enqueue(w.ctx, &b)
		w.must(err)
		wr.Traceparent = handover
		for i, doc := range []string{secret, secret + " [[simulate:422]]", secret + " [[simulate:500@small]]"} {
			w.must(wr.Add(w.ctx, fmt.Sprint(secret, i), jobs.Document{Source: secret, Fields: map[string]string{secret: secret}, Body: []byte(doc)}))
		}
		w.must(wr.Close(w.ctx))
		done(3)
		w.start("a")
		w.untilOver("talk")
		spans := w.ended()
		if n := len(runs(spans)); n != 3 {
			w.Fatalf("%d jobs ended", n)
		}
		if text := fmt.Sprintf("%+v", spans); strings.Contains(text, secret) {
			w.Errorf("the spans give away what they must not: %s", text)
		}
		kept, err := json.Marshal(w.outcomes("talk"))
		w.must(err)
		if !strings.Contains(string(kept), secret) {
			w.Error("nobody said what must not be given away")
		}
	})
}
