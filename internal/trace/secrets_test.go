package trace

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// Whatever somebody said, a document, a prompt, a model or its provider, is in no
// span, and neither is what a user calls things.
func TestWhatAnybodySaidIsInNoSpan(t *testing.T) {
	t.Parallel()
	const s = "Mallory-4711"
	raw := json.RawMessage(`"` + s + `"`)
	model := jobs.Model{Name: "small", Provider: "openai", Upstream: "gpt", BaseURL: "https://" + s + ":" + s + "@models.example/" + s + "?key=" + s, Key: jobs.NewSecret(s)}
	job := &jobs.Job{ID: "j", Batch: "b", CustomID: s, Run: 2, Traceparent: s, Document: jobs.Document{Source: s, Fields: map[string]string{s: s}, Body: []byte(s)}}
	batch := &jobs.Batch{ID: "b", Name: s, Tenant: s, Prompt: s, System: s, Reason: s, Chain: "default"}
	attempt := jobs.Attempt{Call: "c", Run: 2, Model: "small", Worker: "w", Started: time.Now().Add(time.Hour), Kind: jobs.InvalidRequest, Message: s, RequestID: s}
	outcome := &jobs.Outcome{
		Job: "j", Batch: "b", CustomID: s, Source: s, Tenant: s, Run: 2, Status: jobs.Dead, Kind: jobs.InvalidRequest, Reason: s, Answer: s, Finish: s,
		SameAs: &jobs.Same{Batch: s, Job: s, CustomID: s}, Response: raw, ErrorBody: raw,
		Attempts: []jobs.Attempt{attempt}, Skipped: []jobs.Skip{{Model: "large", Why: s}},
		Rejected: []jobs.Rejection{{Answer: s}}, Transcript: []jobs.Message{{Text: s}},
	}

	c := new(collector)
	tracer, err := New(t.Context(), Config{Service: "drover-worker", Instance: "w", Models: map[string]jobs.Model{"small": model}}, c)
	if err != nil {
		t.Fatal(err)
	}
	tracer.HandIn("submit", "b").End(1, errors.New(s))
	tracer.Lent(lent{job: job, batch: batch}).HandedBack(time.Second, []jobs.Attempt{attempt})
	for _, err := range []error{nil, fmt.Errorf("%s: %w", s, jobs.ErrSettled), errors.New(s)} {
		d := tracer.Lent(lent{job: job, batch: batch})
		d.Ran("doc_search", time.Now(), true)
		d.Storing()
		d.Stored(outcome, err)
	}
	if err := tracer.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("%+v", c.spans)
	if strings.Contains(text, s) {
		t.Errorf("the spans say %s", text)
	}
	for _, want := range []string{"submit", "job", "process", "chat gpt", "models.example", "invalid_request", "execute_tool doc_search", "store outcome"} {
		if !strings.Contains(text, want) {
			t.Errorf("the spans do not say %s", want)
		}
	}
}
