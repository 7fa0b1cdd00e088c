package llm_test

import (
	"encoding/json"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/llm"
	"github.com/drover-batch/drover/llm/simulator"
)

// writers are the providers whose answers are words.
var writers = []string{"openai", "openai-responses", "anthropic", "gemini", "simulator"}

var lease = jobs.Request{
	Messages: []jobs.Message{{Role: jobs.User, Text: "# Lease\n\nThe tenant pays 900 euros a month. Heating is extra."}},
	Schema:   json.RawMessage(`{"type":"object","properties":{"rent":{"type":"integer"}},"required":["rent"],"additionalProperties":false}`),
	Tools:    []jobs.Tool{{Name: "search", Schema: []byte(`{"type":"object","properties":{"query":{"type":"string"}}}`)}},
}

func TestUsageIsTheProvidersInEveryProtocol(t *testing.T) {
	t.Parallel()
	for _, provider := range writers {
		inBubble(t, simulator.Config{Cached: 0.5, Reasoning: 9}, jobs.Model{Provider: provider}, func(t *testing.T, s *simulator.Server, c *llm.Client) {
			a, err := c.Ask(t.Context(), document("It rains in Spain, mainly in the plain."), 0)
			if err != nil {
				t.Fatalf("%s: %v", provider, err)
			}
			e := s.Ledger(0)[0]
			if a.Usage.Input != e.Input || a.Usage.Output != e.Output || a.Usage.CachedInput != e.Input/2 || a.Usage.Reasoning != 9 || a.RequestID == "" {
				t.Errorf("%s: %+v, the provider says %+v", provider, a, e)
			}
		})
	}
}

func TestSchemasHoldInEveryProtocol(t *testing.T) {
	t.Parallel()
	for _, provider := range writers {
		inBubble(t, simulator.Config{}, jobs.Model{Provider: provider, Structured: true}, func(t *testing.T, s *simulator.Server, c *llm.Client) {
			req := lease
			req.Tools = nil
			for want, odds := range map[string]simulator.Odds{`{"rent":0}`: nil, `{"rent":["unknown"]}`: {simulator.Invalid: 1}} {
				if err := s.SetFaults(odds, nil); err != nil {
					t.Fatal(err)
				}
				if a, err := c.Ask(t.Context(), &req, 0); err != nil || a.Text != want {
					t.Errorf("%s: %+v, %v, want %s", provider, a, err, want)
				}
			}
		})
	}
}

func TestModelsThatCannotBeHeldToASchemaAreToldIt(t *testing.T) {
	t.Parallel()
	for _, provider := range writers {
		inBubble(t, simulator.Config{}, jobs.Model{Provider: provider}, func(t *testing.T, _ *simulator.Server, c *llm.Client) {
			req := lease
			req.Tools, req.System = nil, "You know leases."
			if a, err := c.Ask(t.Context(), &req, 0); err != nil || a.Text != `{"rent":0}` {
				t.Errorf("%s: %+v, %v", provider, a, err)
			}
			if req.System != "You know leases." || req.Schema == nil {
				t.Errorf("%s: the request was changed: %+v", provider, req)
			}
		})
	}
	inBubble(t, simulator.Config{}, jobs.Model{Provider: "gemini", Structured: true}, func(t *testing.T, _ *simulator.Server, c *llm.Client) {
		if a, err := c.Ask(t.Context(), &lease, 0); err != nil || a.Text != `{"rent":0}` {
			t.Errorf("gemini beside tools: %+v, %v", a, err)
		}
	})
}

func TestToolsAreCalledAndAnsweredInEveryProtocol(t *testing.T) {
	t.Parallel()
	for _, provider := range writers {
		inBubble(t, simulator.Config{Reasoning: 9}, jobs.Model{Provider: provider, Upstream: "gemini-3.8-flash"}, func(t *testing.T, _ *simulator.Server, c *llm.Client) {
			req := lease
			req.Messages = []jobs.Message{{Role: jobs.User, Text: lease.Messages[0].Text + ` [[simulate:call search {"query":"rent"}; search {"query":"heating"}]]`}}
			a, err := c.Ask(t.Context(), &req, 0)
			if err != nil || a.Finish != jobs.FinishTools || len(a.Calls) != 2 || a.Calls[1].Arguments != `{"query":"heating"}` || a.Calls[0].ID == a.Calls[1].ID {
				t.Fatalf("%s: %+v, %v", provider, a, err)
			}
			if (a.Thoughts != nil) != (provider == "gemini" || provider == "anthropic") {
				t.Errorf("%s: thought %+v", provider, a.Thoughts)
			}
			req.Messages = append(req.Messages, jobs.Message{Role: jobs.Assistant, Calls: a.Calls, Thoughts: a.Thoughts})
			for _, call := range a.Calls {
				req.Messages = append(req.Messages, jobs.Message{Role: jobs.ToolRole, Reply: call.ID, Text: "900 euros"})
			}
			if a, err = c.Ask(t.Context(), &req, 0); err != nil || a.Finish != jobs.FinishStop || a.Text == "" {
				t.Errorf("%s: %+v, %v", provider, a, err)
			}
		})
	}
}

func TestLengthAndRefusalsAreToldInEveryProtocol(t *testing.T) {
	t.Parallel()
	for _, provider := range writers {
		inBubble(t, simulator.Config{}, jobs.Model{Provider: provider}, func(t *testing.T, _ *simulator.Server, c *llm.Client) {
			if a, err := c.Ask(t.Context(), document("A document about rain. [[simulate:length]]"), 0); err != nil || a.Finish != jobs.FinishLength {
				t.Errorf("%s: %+v, %v", provider, a, err)
			}
			_, err := c.Ask(t.Context(), document("[[simulate:refuse]]"), 0)
			if f, ok := errors.AsType[*jobs.Failure](err); !ok || f.Kind != jobs.Refused || f.Billing != jobs.Billed {
				t.Errorf("%s: %v", provider, err)
			}
		})
	}
}

func TestGeminiIsWaitedForAsItsErrorSays(t *testing.T) {
	t.Parallel()
	cfg := simulator.Config{Limits: map[string]simulator.Limit{"m": {RequestsPerMinute: 2, Burst: time.Second}}}
	inBubble(t, cfg, jobs.Model{Provider: "gemini"}, func(t *testing.T, _ *simulator.Server, c *llm.Client) {
		_, _ = c.Ask(t.Context(), document("x"), 0)
		_, err := c.Ask(t.Context(), document("x"), 0)
		if f, ok := errors.AsType[*jobs.Failure](err); !ok || f.Kind != jobs.RateLimited || f.RetryAfter != 30*time.Second {
			t.Errorf("got %+v", err)
		}
	})
}

func TestAVectorIsTheAnswerOfAnEmbeddingModel(t *testing.T) {
	t.Parallel()
	inBubble(t, simulator.Config{}, jobs.Model{Provider: "openai-embeddings"}, func(t *testing.T, s *simulator.Server, c *llm.Client) {
		a, err := c.Ask(t.Context(), document("It rains in Spain."), 0)
		if err != nil {
			t.Fatal(err)
		}
		var vector []float64
		if err := json.Unmarshal([]byte(a.Text), &vector); err != nil || len(vector) != 8 || a.Usage != (jobs.Usage{Input: s.Ledger(0)[0].Input}) {
			t.Errorf("%s: %v, %+v", a.Text, err, a.Usage)
		}
		synctest.Wait()
	})
}

func BenchmarkProtocols(b *testing.B) {
	s, err := simulator.New(simulator.Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for _, provider := range append(writers, "openai-embeddings") {
		b.Run(provider, func(b *testing.B) {
			c, err := llm.New(jobs.Model{Name: "m", Provider: provider, BaseURL: "http://simulator", MaxOutput: 500}, s.Client())
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Ask(b.Context(), document(prose), 0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
