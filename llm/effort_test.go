package llm

import (
	"strings"
	"testing"

	"github.com/tidwall/gjson"

	"github.com/drover-batch/drover/jobs"
)

// Models that think by themselves spent their whole answer on it, and nothing could
// be said about that.
func TestEffortIsSaidInEveryProtocolsWords(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ provider, upstream, effort, at, want string }{
		{"openai", "gpt-6.1-sol", "low", "reasoning_effort", `"low"`},
		{"openai-responses", "gpt-6.1-sol", "low", "reasoning", `{"effort":"low"}`},
		{"anthropic", "claude-opus-5-5", "low", "output_config", `{"effort":"low"}`},
		{"gemini", "gemini-3.8-flash", "low", "generationConfig.thinkingConfig", `{"thinkingLevel":"LOW"}`},
		{"gemini", "gemini-2.5-flash", "low", "generationConfig.thinkingConfig", `{"thinkingBudget":1024}`},
		{"gemini", "gemini-2.5-flash", "none", "generationConfig.thinkingConfig", `{"thinkingBudget":0}`},
		{"openai", "gpt-4.1", "", "reasoning_effort", ``}, {"openai-responses", "gpt-4.1", "", "reasoning", ``},
		{"anthropic", "claude-opus-5-5", "", "output_config", ``}, {"gemini", "gemini-3.8-flash", "", "generationConfig.thinkingConfig", ``},
	} {
		m := model(row.provider)
		m.Upstream, m.Effort = row.upstream, row.effort
		if _, body := sent(t, m, prompt("x")); gjson.Get(body, row.at).Raw != row.want {
			t.Errorf("%s, %s, %q: %s", row.provider, row.upstream, row.effort, body)
		}
	}
	m, req := model("anthropic"), prompt("x")
	m.Effort, m.Structured = "low", true
	req.Schema = []byte(`{"type":"object","properties":{},"additionalProperties":false}`)
	if _, body := sent(t, m, req); gjson.Get(body, "output_config.effort").Str != "low" || !gjson.Get(body, "output_config.format.schema").IsObject() {
		t.Errorf("beside a schema: %s", body)
	}
}

// Ready requests were refused for these, though the providers know them by other
// names.
func TestEffortAndForcedToolsOfReadyRequestsAreTranslated(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ provider, ready, at, want string }{
		{"anthropic", `"reasoning_effort":"low"`, "output_config", `{"effort":"low"}`},
		{"anthropic", `"tool_choice":"required"`, "tool_choice", `{"type":"any"}`},
		{"anthropic", `"tool_choice":{"type":"function","function":{"name":"f"}}`, "tool_choice", `{"type":"tool","name":"f"}`},
		{"anthropic", `"tool_choice":"auto","parallel_tool_calls":true`, "tool_choice", ``},
		{"gemini", `"reasoning_effort":"high"`, "generationConfig.thinkingConfig", `{"thinkingLevel":"HIGH"}`},
		{"gemini", `"tool_choice":"required"`, "toolConfig", `{"functionCallingConfig":{"mode":"ANY"}}`},
		{"gemini", `"tool_choice":{"type":"function","function":{"name":"f"}}`, "toolConfig", `{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["f"]}}`},
	} {
		m := model(row.provider)
		m.Upstream = "gemini-3.8-flash"
		req := &jobs.Request{Endpoint: chatEndpoint, Body: []byte(`{"messages":[{"role":"user","content":"x"}],` + row.ready + `}`)}
		if _, body := sent(t, m, req); gjson.Get(body, row.at).Raw != row.want {
			t.Errorf("%s, %s: %s", row.provider, row.ready, body)
		}
		req.Body = []byte(`{"messages":[],"parallel_tool_calls":false}`)
		if _, err := mustNew(t, m, says(500, nil, "")).Ask(t.Context(), req, 0); failure(t, err).Kind != jobs.Refused {
			t.Errorf("%s: one call at a time: %v", row.provider, err)
		}
	}
}

func TestEffortThatNoRequestMayHaveIsTheConfigurations(t *testing.T) {
	t.Parallel()
	m, req := model("openai"), prompt("x")
	m.Effort = "minimal"
	refuses := says(400, nil, `{"error":{"message":"Unsupported value: 'reasoning_effort' does not support 'minimal' with this model.","type":"invalid_request_error","param":"reasoning_effort","code":"unsupported_value"}}`)
	if _, err := mustNew(t, m, refuses).Ask(t.Context(), req, 0); failure(t, err).Kind != jobs.NoQuota {
		t.Errorf("got %v", err)
	}
	m.Provider = "gemini"
	refuses = says(400, nil, `{"error":{"code":400,"message":"Budget 0 is invalid. This model only works in thinking mode.","status":"INVALID_ARGUMENT"}}`)
	if _, err := mustNew(t, m, refuses).Ask(t.Context(), req, 0); failure(t, err).Kind != jobs.NoQuota || !strings.Contains(err.Error(), "configuration") {
		t.Errorf("got %v", err)
	}
	m.Provider = "openai"
	refuses = says(400, nil, `{"error":{"message":"Function tools with reasoning_effort are not supported for gpt-5.6 in /v1/chat/completions. To use function tools, use /v1/responses.","type":"invalid_request_error","param":"reasoning_effort","code":null}}`)
	if _, err := mustNew(t, m, refuses).Ask(t.Context(), req, 0); failure(t, err).Kind != jobs.Refused {
		t.Errorf("beside tools: %v", err)
	}
}
