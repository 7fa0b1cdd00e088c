package llm

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/drover-batch/drover/jobs"
)

// afterCalls is the conversation that goes on after an answer that called a tool.
func afterCalls(a *jobs.Answer) *jobs.Request {
	return &jobs.Request{Messages: []jobs.Message{
		{Role: jobs.User, Text: "Weather?"},
		{Role: jobs.Assistant, Text: a.Text, Calls: a.Calls, Thoughts: a.Thoughts},
		{Role: jobs.ToolRole, Reply: a.Calls[0].ID, Text: "rain"},
		{Role: jobs.Assistant, Text: "{"},
		{Role: jobs.User, Text: "Is that all?"},
	}}
}

const usage = `"usage":{"prompt_tokens":3,"completion_tokens":2,"input_tokens":3,"output_tokens":2}`

// Providers refuse a conversation with tools, or answer it worse, that lacks what
// the model thought before it called them.
func TestThoughtsWereLostBetweenCallsOfTools(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ provider, base, answer, at, want string }{
		"anthropic": {"anthropic", "", `{"content":[{"type":"thinking","thinking":"","signature":"EqQB"},{"type":"text","text":"Let me see."},` +
			`{"type":"redacted_thinking","data":"xyz"},{"type":"tool_use","id":"t1","name":"weather","input":{"city": "Oslo"}}],"stop_reason":"tool_use",` + usage + `}`,
			"messages.1.content", `[{"type":"thinking","thinking":"","signature":"EqQB"},{"type":"text","text":"Let me see."},` +
				`{"type":"redacted_thinking","data":"xyz"},{"type":"tool_use","id":"t1","name":"weather","input":{"city": "Oslo"}}]`},
		"gemini": {"gemini", "", `{"candidates":[{"content":{"parts":[{"text":"Let me see.","thoughtSignature":"czE="},` +
			`{"functionCall":{"name":"weather","args":{}},"thoughtSignature":"czI="},{"functionCall":{"name":"time","args":{}}}]},"finishReason":"STOP"}],"responseId":"r1"}`,
			"contents.1.parts", `[{"text":"Let me see.","thoughtSignature":"czE="},{"functionCall":{"name":"weather","args":{}},"thoughtSignature":"czI="},` +
				`{"functionCall":{"name":"time","args":{}}}]`},
		"responses": {"openai-responses", "", `{"status":"completed","output":[{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAA"},` +
			`{"type":"function_call","id":"fc_1","call_id":"t1","name":"weather","arguments":"{}","status":"completed"}],` + usage + `}`,
			"input.1.encrypted_content", `gAAA`},
		"deepseek": {"openai", "", `{"choices":[{"message":{"content":"","reasoning_content":"So \u2026","tool_calls":[{"id":"t1","type":"function","function":{"name":"weather","arguments":"{}"}}]}}],` + usage + `}`,
			"messages.#.reasoning_content", `["So \u2026",""]`},
		"deepseek after another model": {"openai", "https://api.deepseek.com", `{"choices":[{"message":{"content":"","tool_calls":[{"id":"t1","type":"function","function":{"name":"weather","arguments":"{}"}}]}}],` + usage + `}`,
			"messages.#.reasoning_content", `["",""]`},
		"others": {"openai", "", `{"choices":[{"message":{"content":"","reasoning":"So","tool_calls":[{"id":"t1","type":"function","function":{"name":"weather","arguments":"{}"}}]}}],` + usage + `}`,
			"messages.#.reasoning_content", `[]`},
		"openrouter": {"openai", "", `{"choices":[{"message":{"content":"","reasoning_details":[{"type":"reasoning.encrypted","data":"abc"}],` +
			`"tool_calls":[{"id":"t1","type":"function","function":{"name":"weather","arguments":"{}"}}]}}],` + usage + `}`,
			"messages.1.reasoning_details", `[{"type":"reasoning.encrypted","data":"abc"}]`},
		"gemini's compatible endpoint": {"openai", "", `{"choices":[{"message":{"tool_calls":[{"id":"t1","type":"function","function":{"name":"weather","arguments":"{}"},` +
			`"extra_content":{"google":{"thought_signature":"c2ln"}}}]}}],` + usage + `}`,
			"messages.1.tool_calls.0.extra_content", `{"google":{"thought_signature":"c2ln"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := model(row.provider)
			a, err := mustNew(t, m, says(200, nil, row.answer)).Ask(t.Context(), prompt("x"), 0)
			if err != nil || len(a.Calls) == 0 {
				t.Fatalf("%+v, %v", a, err)
			}
			if row.base != "" {
				m.BaseURL = row.base
			}
			if _, body := sent(t, m, afterCalls(a)); gjson.Get(body, row.at).String() != row.want {
				t.Errorf("%s, want %s, in %s", gjson.Get(body, row.at), row.want, body)
			}
			m.Name = "another"
			if _, body := sent(t, m, afterCalls(a)); strings.Contains(body, "ignature\":\"") || strings.Contains(body, "thinking") || strings.Contains(body, "So") || strings.Contains(body, "gAAA") {
				t.Errorf("another model is shown %s", body)
			}
		})
	}
}

// The thoughts of a long conversation are input, and were not held for.
func TestThoughtsAreCounted(t *testing.T) {
	t.Parallel()
	a := &jobs.Answer{Calls: []jobs.ToolCall{{ID: "t1", Name: "weather", Arguments: "{}"}}}
	c := mustNew(t, model("openai"), http.DefaultClient)
	before := c.Tokens(afterCalls(a))
	a.Thoughts = &jobs.Thoughts{Model: "test", Body: []byte(`{"reasoning_content":"` + strings.Repeat("well then ", 100) + `"}`)}
	if after := c.Tokens(afterCalls(a)); after < before+200 {
		t.Errorf("%d tokens with thoughts, %d without", after, before)
	}
	a.Thoughts.Model = "another"
	if after := c.Tokens(afterCalls(a)); after != before {
		t.Errorf("%d tokens with another model's thoughts, %d without", after, before)
	}
}

// Models since Gemini 3 refused a conversation that another model had begun, or a
// ready request brought along, and it was buried.
func TestGeminiTakesUpConversationsOfOthers(t *testing.T) {
	t.Parallel()
	calls := []jobs.ToolCall{{ID: "t1", Name: "weather", Arguments: "{}"}, {ID: "t2", Name: "time", Arguments: "{}"}}
	for upstream, want := range map[string]string{
		"gemini-3.8-flash": `["skip_thought_signature_validator"]`, "models/gemini-flash-latest": `["skip_thought_signature_validator"]`,
		"gemini-2.5-pro": `[]`, "gemma-4": `[]`,
	} {
		m := model("gemini")
		m.Upstream = upstream
		_, body := sent(t, m, afterCalls(&jobs.Answer{Calls: calls}))
		if got := gjson.Get(body, "contents.1.parts.#.thoughtSignature"); got.String() != want {
			t.Errorf("%s: %s in %s", upstream, got, body)
		}
	}
}

func TestReasoningIsAskedForWhereItHasToComeBack(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		upstream string
		tools    []jobs.Tool
		want     string
	}{
		{"gpt-6.1-sol", []jobs.Tool{{Name: "f"}}, `["reasoning.encrypted_content"]`}, {"gpt-6.1-sol", nil, ``},
		{"gpt-4.1", []jobs.Tool{{Name: "f"}}, ``}, {"grok-4", []jobs.Tool{{Name: "f"}}, ``},
	} {
		m, req := model("openai-responses"), prompt("x")
		m.Upstream, req.Tools = row.upstream, row.tools
		if _, body := sent(t, m, req); gjson.Get(body, "include").Raw != row.want {
			t.Errorf("%s: %s", row.upstream, body)
		}
	}
}

// A conversation that went on with Mistral, Anthropic or OpenAI was buried for the
// ids that another provider's model had given its calls.
func TestIDsOfCallsSuitWhoIsAsked(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ provider, base, id, calls, results string }{
		{"openai", "https://api.mistral.ai/v1", "toolu_01A09q90qw90lq917835lq9", "messages.1.tool_calls.0.id", "messages.2.tool_call_id"},
		{"openai", "https://api.openai.com/v1", "chatcmpl-tool-0123456789abcdef0123456789abcdef", "messages.1.tool_calls.0.id", "messages.2.tool_call_id"},
		{"anthropic", "", "functions.search:0", "messages.1.content.0.id", "messages.2.content.0.tool_use_id"},
	} {
		m, req := model(row.provider), afterCalls(&jobs.Answer{Calls: []jobs.ToolCall{{ID: row.id, Name: "f", Arguments: "{}"}, {ID: "Ab3dE6g8i", Name: "g", Arguments: "{}"}}})
		m.BaseURL = row.base
		_, body := sent(t, m, req)
		id := gjson.Get(body, row.calls).Str
		if len(id) != 9 || !mistralID(id) || gjson.Get(body, row.results).Str != id || !strings.Contains(body, "Ab3dE6g8i") {
			t.Errorf("%s: %s", row.base, body)
		}
		if req.Messages[1].Calls[0].ID != row.id || req.Messages[2].Reply != row.id {
			t.Errorf("%s: the request was changed: %+v", row.base, req)
		}
	}
	_, body := sent(t, model("openai"), afterCalls(&jobs.Answer{Calls: []jobs.ToolCall{{ID: "functions.search:0", Name: "f", Arguments: "{}"}}}))
	if !strings.Contains(body, `"functions.search:0"`) {
		t.Errorf("an id that fits was changed: %s", body)
	}
}
