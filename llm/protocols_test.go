package llm

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"

	"github.com/drover-batch/drover/jobs"
)

var providers = []string{"openai", "openai-responses", "openai-embeddings", "anthropic", "gemini"}

// sent is what a model's client sends for a request.
func sent(t testing.TB, m jobs.Model, req *jobs.Request) (http.Request, string) {
	t.Helper()
	var r http.Request
	var body string
	_, err := mustNew(t, m, hears(&r, &body)).Ask(t.Context(), req, 200)
	if body == "" || !gjson.Valid(body) {
		t.Fatalf("sent %q: %v", body, err)
	}
	return r, body
}

var picture = jobs.Image{Type: "image/png", Data: []byte("pixels")}

// looking is a conversation with a picture, tools and a schema.
func looking() *jobs.Request {
	return &jobs.Request{
		System: "Be brief.",
		Schema: []byte(`{"type":"object","properties":{"sky":{"type":"string"}},"required":["sky"],"additionalProperties":false}`),
		Messages: []jobs.Message{
			{Role: jobs.User, Text: "Which sky?", Images: []jobs.Image{picture}},
			{Role: jobs.Assistant, Calls: []jobs.ToolCall{
				{ID: "call-r1-0", Name: "weather", Arguments: `{"city":"Oslo"}`}, {ID: "g7", Name: "time", Arguments: `nonsense`},
			}},
			{Role: jobs.ToolRole, Reply: "call-r1-0", Text: "rain"},
			{Role: jobs.ToolRole, Reply: "g7", Text: "noon"},
			{Role: jobs.Assistant, Text: "Grey."},
			{Role: jobs.User, Text: "Sure?"},
		},
		Tools: []jobs.Tool{{Name: "weather", Description: "tells it", Schema: []byte(`{"type":"object"}`)}, {Name: "time"}},
	}
}

func TestNewerProtocolsCarryWhatTheyNeed(t *testing.T) {
	t.Parallel()
	for provider, want := range map[string]struct{ url, header, value, body string }{
		"openai-responses": {"http://provider.test/v1/responses", "Authorization", "Bearer " + canary,
			`{"model":"gpt-4.1-mini","store":false,"instructions":"Be brief.","input":[` +
				`{"role":"user","content":[{"type":"input_text","text":"Which sky?"},{"type":"input_image","detail":"high","image_url":"data:image/png;base64,cGl4ZWxz"}]},` +
				`{"type":"function_call","call_id":"call-r1-0","name":"weather","arguments":"{\"city\":\"Oslo\"}"},` +
				`{"type":"function_call","call_id":"g7","name":"time","arguments":"nonsense"},` +
				`{"type":"function_call_output","call_id":"call-r1-0","output":"rain"},{"type":"function_call_output","call_id":"g7","output":"noon"},` +
				`{"role":"assistant","content":"Grey."},{"role":"user","content":"Sure?"}],` +
				`"tools":[{"type":"function","name":"weather","description":"tells it","strict":false,"parameters":{"type":"object"}},` +
				`{"type":"function","name":"time","description":"","strict":false,"parameters":{"type":"object","properties":{}}}],` +
				`"temperature":0.5,"max_output_tokens":200}`},
		"gemini": {"http://provider.test/v1/models/gpt-4.1-mini:generateContent", "X-Goog-Api-Key", canary,
			`{"systemInstruction":{"parts":[{"text":"Be brief."}]},"contents":[` +
				`{"role":"user","parts":[{"text":"Which sky?"},{"inlineData":{"mimeType":"image/png","data":"cGl4ZWxz"}}]},` +
				`{"role":"model","parts":[{"functionCall":{"name":"weather","args":{"city":"Oslo"}}},{"functionCall":{"name":"time","id":"g7","args":{}}}]},` +
				`{"role":"user","parts":[{"functionResponse":{"name":"weather","response":{"output":"rain"}}},{"functionResponse":{"name":"time","id":"g7","response":{"output":"noon"}}}]},` +
				`{"role":"model","parts":[{"text":"Grey."}]},{"role":"user","parts":[{"text":"Sure?"}]}],` +
				`"tools":[{"functionDeclarations":[{"name":"weather","description":"tells it","parametersJsonSchema":{"type":"object"}},` +
				`{"name":"time","description":"","parametersJsonSchema":{"type":"object","properties":{}}}]}],` +
				`"generationConfig":{"maxOutputTokens":200,"temperature":0.5}}`},
	} {
		m := model(provider)
		half := 0.5
		m.Vision, m.Temperature = true, &half
		req := looking()
		req.Schema = nil // which would be told in the system prompt
		r, body := sent(t, m, req)
		if r.URL.String() != want.url || r.Header.Get(want.header) != want.value || strings.Contains(r.URL.String(), canary) {
			t.Errorf("%s: %v %v", provider, r.URL, r.Header)
		}
		if d := cmp.Diff(want.body, body); d != "" {
			t.Errorf("%s: %s", provider, d)
		}
	}
}

// OpenAI refused every question beside a tool that had more to say of itself, as
// if the document were too long.
func TestToolsSayNoMoreOfThemselvesThanOpenAITakes(t *testing.T) {
	t.Parallel()
	about := strings.Repeat("é what it does ", 200)
	for base, most := range map[string]int{"https://api.openai.com/v1": 1024, "http://provider.test/v1": len(about)} {
		m, req := model("openai"), prompt("x")
		m.BaseURL = base
		req.Tools = []jobs.Tool{{Name: "law_search", Description: about}}
		_, body := sent(t, m, req)
		if got := gjson.Get(body, "tools.0.function.description").Str; len([]rune(got)) > most || len(got) < min(most, len(about))-2 {
			t.Errorf("%s: %d characters: %s", base, len([]rune(got)), got)
		}
	}
}

func TestPicturesAreSentToThoseWhoSee(t *testing.T) {
	t.Parallel()
	for provider, at := range map[string]struct{ path, want string }{
		"openai":    {"messages.1.content.1.image_url.url", "data:image/png;base64,cGl4ZWxz"},
		"anthropic": {"messages.0.content.1.source", `{"type":"base64","media_type":"image/png","data":"cGl4ZWxz"}`},
	} {
		m := model(provider)
		m.Vision = true
		if _, body := sent(t, m, looking()); gjson.Get(body, at.path).String() != at.want {
			t.Errorf("%s: %s", provider, body)
		}
	}
	for _, provider := range providers {
		_, err := mustNew(t, model(provider), http.DefaultClient).Ask(t.Context(), looking(), 0)
		if f := failure(t, err); f.Kind != jobs.Refused || f.Billing == jobs.Presumed || !strings.Contains(f.Message, "vision: true") {
			t.Errorf("%s, blind: %v", provider, f)
		}
	}
}

const loose = `{"$schema":"x","type":"object","properties":{"n":{"type":"integer","minimum":3,"description":"how many"},"list":{"type":"array","minItems":2,"items":{"type":"object","properties":{"a":{"oneOf":[{"type":"string","format":"date"},{"type":"string","format":"odd"}]}}}}}}`

func TestSchemasAreSentToThoseWhoHoldToThem(t *testing.T) {
	t.Parallel()
	for provider, at := range map[string]string{
		"openai": "response_format.json_schema", "openai-responses": "text.format",
		"anthropic": "output_config.format", "gemini": "generationConfig",
	} {
		m, req := model(provider), prompt("x")
		req.Schema = looking().Schema
		if _, body := sent(t, m, req); gjson.Get(body, at+".schema").Exists() || !strings.Contains(body, "matches this JSON Schema") {
			t.Errorf("%s, not structured: %s", provider, body)
		}
		m.Structured = true
		_, body := sent(t, m, req)
		format := gjson.Get(body, at)
		switch provider {
		case "openai", "openai-responses":
			if format.Get("schema").Raw != string(req.Schema) || !format.Get("strict").Bool() || format.Get("name").Str == "" {
				t.Errorf("%s: %s", provider, body)
			}
		case "anthropic":
			if format.Get("type").Str != "json_schema" || format.Get("schema.properties.sky.type").Str != "string" {
				t.Errorf("%s: %s", provider, body)
			}
		case "gemini":
			if format.Get("responseMimeType").Str != "application/json" || format.Get("responseJsonSchema").Raw != string(req.Schema) {
				t.Errorf("%s: %s", provider, body)
			}
		}
		req.Schema = []byte(loose)
		if _, body = sent(t, m, req); gjson.Get(body, at+".strict").Bool() {
			t.Errorf("%s: a loose schema is sent as strict: %s", provider, body)
		}
	}
}

func TestOnlyClosedSchemasAreStrict(t *testing.T) {
	t.Parallel()
	for schema, want := range map[string]bool{
		`{"type":"object","properties":{},"additionalProperties":false}`:                                                                          true,
		`{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":false}`:                                                     false,
		`{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}`:                                                                 false,
		`{"type":"array","items":{"type":"string"}}`:                                                                                              false,
		`{"type":"object","properties":{"a":{"type":"array","items":{"type":"object"}}},"required":["a"],"additionalProperties":false}`:           false,
		`{"type":"object","properties":{"a":{"$ref":"#/$defs/b"}},"required":["a"],"additionalProperties":false,"$defs":{"b":{"type":"object"}}}`: false,
		`{"type":"object","properties":{"a":{"anyOf":[{"type":"null"},{"type":"string"}]}},"required":["a"],"additionalProperties":false}`:        true,
		strings.Repeat(`{"type":"array","items":`, 99) + `{}` + strings.Repeat(`}`, 99):                                                           false,
	} {
		if got := strict(gjson.Parse(schema), 0); got != want {
			t.Errorf("%s: %v", schema, got)
		}
	}
}

// A closed schema with a keyword that OpenAI does not take in strict ones was sent
// as strict, so that every request was refused, and its job buried.
func TestSchemasThatOpenAIRefusesAreNotStrict(t *testing.T) {
	t.Parallel()
	for property, want := range map[string]bool{
		`{"type":"string","format":"date","description":"when"}`: true, `{"type":["integer","null"],"minimum":0}`: true, `{"enum":["a"],"type":"string"}`: true,
		`{"type":"string","maxLength":9}`: false, `{"type":"string","format":"uri"}`: false, `{"type":"string","default":"x"}`: false, `{"enum":["a"]}`: false, `true`: false,
		`{"oneOf":[{"type":"string"},{"type":"null"}]}`: false, `{"type":"array","items":{"type":"string"},"uniqueItems":true}`: false,
		`{"anyOf":[{"type":"string","minLength":1},{"type":"null"}]}`: false,
	} {
		schema := `{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","properties":{"a":` + property + `},"required":["a"],"additionalProperties":false}`
		if got := strict(gjson.Parse(schema), 0); got != want {
			t.Errorf("%s: %v", property, got)
		}
	}
}

func TestAnthropicGetsSchemasItKnows(t *testing.T) {
	t.Parallel()
	got := string(forAnthropic([]byte(loose)))
	want := `{"additionalProperties":false,"properties":{"list":{"description":"{\"minItems\":2}","items":{"additionalProperties":false,` +
		`"properties":{"a":{"anyOf":[{"format":"date","type":"string"},{"description":"{\"format\":\"odd\"}","type":"string"}]}},"type":"object"},"type":"array"},` +
		`"n":{"description":"how many\n\n{\"minimum\":3}","type":"integer"}},"type":"object"}`
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if got := forAnthropic([]byte(`{"$ref":"#/$defs/a","title":"x"}`)); string(got) != `{"$ref":"#/$defs/a"}` {
		t.Errorf("got %s", got)
	}
}

// Objects whose members nobody had named were closed for Anthropic, so that they
// came back empty, and passed.
func TestAnthropicIsToldOfOpenObjectsInWords(t *testing.T) {
	t.Parallel()
	m := model("anthropic")
	m.Structured = true
	for schema, held := range map[string]bool{
		loose: true,
		`{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":false}`:                                      true,
		`{"type":"object","properties":{"amounts":{"type":"object","additionalProperties":{"type":"number"}}}}`:                    false,
		`{"type":"object","properties":{"more":{"type":["object","null"]}},"additionalProperties":false}`:                          false,
		`{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":true}`:                                       false,
		`{"type":"array","items":{"$ref":"#/$defs/a"},"$defs":{"a":{"type":"object","patternProperties":{"^x":{"type":"null"}}}}}`: false,
	} {
		req := prompt("x")
		req.Schema = []byte(schema)
		_, body := sent(t, m, req)
		if got := gjson.Get(body, "output_config").Exists(); got != held || got == strings.Contains(gjson.Get(body, "system").Str, schema) {
			t.Errorf("%s: held %v: %s", schema, got, body)
		}
		ready := `{"messages":[],"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":` + schema + `}}}`
		_, _, fail := fromChat(&m, &jobs.Request{Endpoint: chatEndpoint, Body: []byte(ready)})
		if (fail == nil) != held || fail != nil && fail.Kind != jobs.Refused {
			t.Errorf("%s, ready: %v", schema, fail)
		}
	}
}

func TestNewerAnswersAreRead(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		provider, body string
		want           jobs.Answer
	}{
		"responses": {"openai-responses", `{"id":"resp_1","status":"completed","model":"gpt-5","output":[{"type":"reasoning"},{"type":"message","content":[{"type":"output_text","text":"Hi"}]}],"usage":{"input_tokens":7,"input_tokens_details":{"cached_tokens":2,"cache_write_tokens":4},"output_tokens":9,"output_tokens_details":{"reasoning_tokens":6},"total_tokens":16}}`,
			jobs.Answer{Text: "Hi", Finish: jobs.FinishStop, Model: "gpt-5", Usage: jobs.Usage{Input: 7, CachedInput: 2, CacheWrite: 4, Output: 9, Reasoning: 6}}},
		"embeddings": {"openai-embeddings", `{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.10, -2e-3]}],"model":"text-embedding-3-small","usage":{"prompt_tokens":8,"total_tokens":8}}`,
			jobs.Answer{Text: "[0.10, -2e-3]", Finish: jobs.FinishStop, Model: "text-embedding-3-small", Usage: jobs.Usage{Input: 8}}},
		"embeddings whose total alone is said": {"openai-embeddings", `{"data":[{"embedding":[0.5]}],"model":"voyage-3.5","usage":{"total_tokens":8}}`,
			jobs.Answer{Text: "[0.5]", Finish: jobs.FinishStop, Model: "voyage-3.5", Usage: jobs.Usage{Input: 8}}},
		"thinking": {"anthropic", `{"model":"claude","content":[{"type":"text","text":"Hi"}],"stop_reason":"end_turn","usage":{"input_tokens":3,"output_tokens":50,"output_tokens_details":{"thinking_tokens":40}}}`,
			jobs.Answer{Text: "Hi", Finish: jobs.FinishStop, Model: "claude", Usage: jobs.Usage{Input: 3, Output: 50, Reasoning: 40}}},
		"gemini": {"gemini", `{"candidates":[{"content":{"role":"model","parts":[{"text":"hm","thought":true},{"text":"Hi "},{"text":"there","thoughtSignature":"x"}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":10,"toolUsePromptTokenCount":2,"cachedContentTokenCount":4,"candidatesTokenCount":5,"thoughtsTokenCount":20,"totalTokenCount":37},"modelVersion":"gemini-2.5-flash","responseId":"r1"}`,
			jobs.Answer{Text: "Hi there", Finish: jobs.FinishStop, Model: "gemini-2.5-flash", RequestID: "r1", Usage: jobs.Usage{Input: 12, CachedInput: 4, Output: 25, Reasoning: 20}}},
		"gemini calls": {"gemini", `{"candidates":[{"content":{"parts":[{"functionCall":{"name":"a","args":{"n": 1}},"thoughtSignature":"c2ln"},{"functionCall":{"name":"b","id":"g7"}}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":1},"responseId":"r1"}`,
			jobs.Answer{Calls: []jobs.ToolCall{{ID: "call-r1-0", Name: "a", Arguments: `{"n": 1}`}, {ID: "g7", Name: "b", Arguments: "{}"}},
				Thoughts: &jobs.Thoughts{Model: "test", Body: []byte(`[{"functionCall":{"name":"a","args":{"n": 1}},"thoughtSignature":"c2ln"},{"functionCall":{"name":"b","id":"g7"}}]`)},
				Finish:   jobs.FinishTools, RequestID: "r1", Usage: jobs.Usage{Input: 1, Output: 1}}},
		"gemini calls elsewhere": {"gemini", `{"candidates":[{"content":{"parts":[{"functionCall":{"name":"a","id":"g1"}}]},"finishReason":"FUNCTION_CALL"}],"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":1}}`,
			jobs.Answer{Calls: []jobs.ToolCall{{ID: "g1", Name: "a", Arguments: "{}"}}, Finish: jobs.FinishTools, Usage: jobs.Usage{Input: 1, Output: 1}}},
		"gemini cut": {"gemini", `{"candidates":[{"content":{"parts":[{"text":"cut"}]},"finishReason":"MAX_TOKENS"}],"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":1}}`,
			jobs.Answer{Text: "cut", Finish: jobs.FinishLength, Usage: jobs.Usage{Input: 1, Output: 1}}},
		"gemini cut while thinking": {"gemini", `{"candidates":[{"content":{"role":"model"},"finishReason":"MAX_TOKENS"}],"usageMetadata":{"promptTokenCount":1,"thoughtsTokenCount":9}}`,
			jobs.Answer{Finish: jobs.FinishLength, Usage: jobs.Usage{Input: 1, Output: 9, Reasoning: 9}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := mustNew(t, model(row.provider), says(200, nil, row.body)).Ask(t.Context(), prompt("x"), 0)
			if err != nil {
				t.Fatal(err)
			}
			want := row.want
			want.Body, want.Status = []byte(row.body), 200
			if d := cmp.Diff(&want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestBrokenOffAnswersSayWhy(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]struct {
		provider, says string
		kind           jobs.Kind
		billing        jobs.Billing
	}{
		`{"candidates":[{"finishReason":"SAFETY"}],"usageMetadata":{"promptTokenCount":5}}`:                                       {"gemini", "SAFETY", jobs.Refused, jobs.Billed},
		`{"candidates":[{"finishReason":"RECITATION","finishMessage":"a book"}],"usageMetadata":{"promptTokenCount":5}}`:          {"gemini", "a book", jobs.Refused, jobs.Billed},
		`{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":5}}`:                          {"gemini", "PROHIBITED_CONTENT", jobs.Refused, jobs.Billed},
		`{"candidates":[{"finishReason":"MALFORMED_FUNCTION_CALL"}],"usageMetadata":{"promptTokenCount":5}}`:                      {"gemini", "tool", jobs.InvalidAnswer, jobs.Billed},
		`{"candidates":[{"finishReason":"OTHER"}],"usageMetadata":{"promptTokenCount":5}}`:                                        {"gemini", "why", jobs.ServerError, jobs.Billed},
		`{"usageMetadata":{"promptTokenCount":5}}`:                                                                                {"gemini", "candidate", jobs.ServerError, jobs.Presumed},
		`{"status":"failed","output":[],"error":{"code":"rate_limit_exceeded","message":"slow down"}}`:                            {"openai-responses", "slow down", jobs.RateLimited, jobs.Presumed},
		`{"status":"in_progress","output":[]}`:                                                                                    {"openai-responses", "without an output", jobs.ServerError, jobs.Presumed},
		`{"choices":[{"message":{"content":"He"},"finish_reason":"abort"}]}`:                                                      {"openai", "abort", jobs.ServerError, jobs.Presumed},
		`{"choices":[{"message":{"content":"He"},"error":{"code":429,"message":"slow down"},"finish_reason":"error"}]}`:           {"openai", "slow down", jobs.RateLimited, jobs.Presumed},
		`{"choices":[{"message":{"role":"assistant"},"finish_reason":"content_filter: RECITATION"}],"usage":{"prompt_tokens":5}}`: {"openai", "RECITATION", jobs.Refused, jobs.Billed},
		`{"choices":[{"message":{"content":""},"finish_reason":"sensitive"}],"usage":{"prompt_tokens":5}}`:                        {"openai", "filter", jobs.Refused, jobs.Billed},
		`{"status":"failed","output":[],"error":{"code":"server_error","message":"oh"}}`:                                          {"openai-responses", "oh", jobs.ServerError, jobs.Presumed},
		`{"status":"failed","output":[],"error":{"code":"invalid_prompt","message":"flagged"}}`:                                   {"openai-responses", "flagged", jobs.Refused, jobs.Presumed},
		`{"status":"failed","output":[],"error":{"code":"invalid_base64_image","message":"no image"}}`:                            {"openai-responses", "no image", jobs.InvalidRequest, jobs.Presumed},
		`{"content":[],"stop_reason":"refusal","stop_details":{"type":"refusal","explanation":"bio"},"usage":{"input_tokens":5}}`: {"anthropic", "bio", jobs.Refused, jobs.Billed},
		`{"data":[{"embedding":"AAAA"}],"usage":{"prompt_tokens":5}}`:                                                             {"openai-embeddings", "numbers", jobs.ServerError, jobs.Presumed},
	} {
		_, err := mustNew(t, model(want.provider), says(200, nil, body)).Ask(t.Context(), prompt("x"), 0)
		f := failure(t, err)
		if f.Kind != want.kind || f.Billing != want.billing || !strings.Contains(f.Message, want.says) {
			t.Errorf("%s: %s %s %q", body, f.Kind, f.Billing, f.Message)
		}
	}
}

func TestGeminiSaysInTheBodyHowLongToWait(t *testing.T) {
	t.Parallel()
	for delay, want := range map[string]time.Duration{"36s": 36 * time.Second, "1.5s": 1500 * time.Millisecond, "-5s": 0, "soon": 0, "9999h": longestWait} {
		body := `{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"quota","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"` + delay + `"}]}}`
		_, err := mustNew(t, model("gemini"), says(429, nil, body)).Ask(t.Context(), prompt("x"), 0)
		if f := failure(t, err); f.RetryAfter != want || f.Kind != jobs.RateLimited {
			t.Errorf("%s: %v, %v", delay, f.RetryAfter, f)
		}
	}
}

func TestGeminiNamesTheQuotaThatIsUsedUp(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]jobs.Limit{
		"GenerateRequestsPerMinutePerProjectPerModel-FreeTier": jobs.Requests, "GenerateContentInputTokensPerModelPerMinute-FreeTier": jobs.Tokens, "Other": "",
	} {
		body := `{"error":{"code":429,"status":"RESOURCE_EXHAUSTED","message":"quota","details":[{"@type":"type.googleapis.com/google.rpc.QuotaFailure","violations":[{"quotaId":"` + id + `"}]}]}}`
		_, err := mustNew(t, model("gemini"), says(429, nil, body)).Ask(t.Context(), prompt("x"), 0)
		f := failure(t, err)
		if got := f.Quota; want == "" && got != nil || want != "" && (got == nil || got.Exhausted != want) {
			t.Errorf("%s: %+v", id, got)
		}
	}
}

func TestRequestIDsInBodiesAreKept(t *testing.T) {
	t.Parallel()
	body := `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_9"}`
	_, err := mustNew(t, model("anthropic"), says(529, nil, body)).Ask(t.Context(), prompt("x"), 0)
	if f := failure(t, err); f.RequestID != "req_9" {
		t.Errorf("got %+v", f)
	}
}

func TestEmbeddingsAreOfTheDocumentAlone(t *testing.T) {
	t.Parallel()
	req := &jobs.Request{System: "Be brief.", Messages: []jobs.Message{{Role: jobs.User, Text: "one"}, {Role: jobs.Assistant, Text: "hm"}, {Role: jobs.User, Text: "two"}}}
	r, body := sent(t, model("openai-embeddings"), req)
	if want := `{"model":"gpt-4.1-mini","input":"one\n\ntwo"}`; body != want || r.URL.Path != "/v1/embeddings" {
		t.Errorf("%s to %s", body, r.URL)
	}
	_, err := mustNew(t, model("openai-embeddings"), http.DefaultClient).Ask(t.Context(), &jobs.Request{System: "x"}, 0)
	if f := failure(t, err); f.Kind != jobs.InvalidRequest {
		t.Errorf("of nothing: %v", f)
	}
}

func TestReadyRequestsGoWhereTheySay(t *testing.T) {
	t.Parallel()
	for _, provider := range []string{"openai", "openai-responses", "openai-embeddings"} {
		for _, endpoint := range []string{chatEndpoint, embeddingsEndpoint, responsesEndpoint} {
			ready := `{"custom": [1,  2], "model":"x","input" : "y","max_tokens":3,"max_output_tokens":4}`
			r, body := sent(t, model(provider), &jobs.Request{Endpoint: endpoint, Body: []byte(ready)})
			if want := strings.Replace(ready, `"x"`, `"gpt-4.1-mini"`, 1); body != want || r.URL.Path != endpoint {
				t.Errorf("%s, %s: %s to %s", provider, endpoint, body, r.URL)
			}
		}
	}
}

func TestReadyChatIsTranslatedForGemini(t *testing.T) {
	t.Parallel()
	m := model("gemini")
	m.Vision, m.Structured = true, true
	ready := `{"model":"x","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":[{"type":"text","text":"What?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,cGl4ZWxz"}}]}],` +
		`"temperature":1.7,"top_p":0.9,"stop":["END"],"max_tokens":7,"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{"type":"object"}}}}`
	_, body := sent(t, m, &jobs.Request{Endpoint: chatEndpoint, Body: []byte(ready)})
	want := `{"systemInstruction":{"parts":[{"text":"Be brief."}]},"contents":[{"role":"user","parts":[{"text":"What?"},{"inlineData":{"mimeType":"image/png","data":"cGl4ZWxz"}}]}],` +
		`"generationConfig":{"maxOutputTokens":7,"temperature":1.7,"topP":0.9,"stopSequences":["END"],"responseMimeType":"application/json","responseJsonSchema":{"type":"object"}}}`
	if d := cmp.Diff(want, body); d != "" {
		t.Error(d)
	}
	for _, part := range []string{
		`{"type":"image_url","image_url":{"url":"https://example.com/a.png"}}`, `{"type":"image_url","image_url":{"url":"data:image/png;base64,!"}}`, `{"type":"input_audio"}`,
	} {
		ready := `{"messages":[{"role":"user","content":[` + part + `]}]}`
		_, err := mustNew(t, m, http.DefaultClient).Ask(t.Context(), &jobs.Request{Endpoint: chatEndpoint, Body: []byte(ready)}, 0)
		if f := failure(t, err); f.Kind != jobs.Refused || !strings.Contains(f.Message, "gemini protocol") {
			t.Errorf("%s: %v", part, f)
		}
	}
	m.Vision = false
	_, err := mustNew(t, m, http.DefaultClient).Ask(t.Context(), &jobs.Request{Endpoint: chatEndpoint, Body: []byte(ready)}, 0)
	if f := failure(t, err); f.Kind != jobs.Refused || !strings.Contains(f.Message, "vision") {
		t.Errorf("blind: %v", f)
	}
	m.Vision = true
	answer := `{"candidates":[{"content":{"parts":[{"text":"{}"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":1,"candidatesTokenCount":1},"responseId":"r1","modelVersion":"g"}`
	a, err := mustNew(t, m, says(200, nil, answer)).Ask(t.Context(), &jobs.Request{Endpoint: chatEndpoint, Body: []byte(ready)}, 0)
	if err != nil || gjson.GetBytes(a.Body, "choices.0.message.content").Str != "{}" || gjson.GetBytes(a.Body, "id").Str != "r1" {
		t.Errorf("%v: %s", err, a.Body)
	}
}

func TestTunedModelsAreAnotherCollection(t *testing.T) {
	t.Parallel()
	m := model("gemini")
	m.Upstream, m.BaseURL = "tunedModels/mine", "http://provider.test"
	if r, _ := sent(t, m, prompt("x")); r.URL.Path != "/v1beta/tunedModels/mine:generateContent" {
		t.Errorf("sent to %s", r.URL)
	}
}

// Each turn of a conversation with tools was paid in full again.
func TestConversationsWithToolsAreCached(t *testing.T) {
	t.Parallel()
	tools := []jobs.Tool{{Name: "f"}}
	for _, row := range []struct {
		base  string
		tools []jobs.Tool
		price *jobs.Price
		want  bool
	}{
		{"", tools, nil, true}, {"", tools, &jobs.Price{Input: 3, CacheWrite: 4}, true},
		{"", tools, &jobs.Price{Input: 3}, false}, {"", nil, nil, false}, {"https://api.deepseek.com/anthropic", tools, nil, false},
	} {
		m, req := model("anthropic"), prompt("x")
		m.BaseURL, m.Price, req.Tools = row.base, row.price, row.tools
		if _, body := sent(t, m, req); gjson.Get(body, "cache_control").Exists() != row.want {
			t.Errorf("%+v: %s", row, body)
		}
		req = &jobs.Request{Endpoint: chatEndpoint, Body: []byte(`{"messages":[],"tools":[{"type":"function","function":{"name":"f"}}]}`)}
		if _, body := sent(t, m, req); gjson.Get(body, "cache_control").Exists() {
			t.Errorf("a ready request, asked once: %s", body)
		}
	}
}

// GPT-5.5 and later took pictures as they are where nothing was said, at up to
// 36,000 tokens each, where 4,800 were held for them.
func TestPicturesAreNotLookedAtMoreCloselyThanIsHeldFor(t *testing.T) {
	t.Parallel()
	for base, want := range map[string]string{"https://api.openai.com/v1": "high", "http://127.0.0.1:11434/v1": ""} {
		m := model("openai")
		m.Vision, m.BaseURL = true, base
		if _, body := sent(t, m, looking()); gjson.Get(body, "messages.1.content.1.image_url.detail").String() != want {
			t.Errorf("%s: %s", base, body)
		}
	}
}
