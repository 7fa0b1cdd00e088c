package llm

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"
	"go.uber.org/goleak"

	"github.com/drover-batch/drover/jobs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const canary = "sk-canary-4f1d9e"

// round is an HTTP round trip that needs no network.
type round func(r *http.Request) (*http.Response, error)

func (f round) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// says is a provider that always gives the same response.
func says(status int, header http.Header, body string) *http.Client {
	return &http.Client{Transport: round(func(r *http.Request) (*http.Response, error) {
		if header == nil {
			header = http.Header{}
		}
		return &http.Response{
			StatusCode: status, Header: header, Request: r,
			Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
		}, nil
	})}
}

// hears is a provider that answers nothing useful and shows what it was sent.
func hears(sent *http.Request, body *string) *http.Client {
	return &http.Client{Transport: round(func(r *http.Request) (*http.Response, error) {
		data, _ := io.ReadAll(r.Body)
		*sent, *body = *r, string(data)
		return nil, errors.New("heard")
	})}
}

func model(provider string) jobs.Model {
	return jobs.Model{
		Name: "test", Provider: provider, Upstream: "gpt-4.1-mini", BaseURL: "http://provider.test/v1",
		Key: jobs.NewSecret(canary), Context: 1000, MaxOutput: 500,
	}
}

func mustNew(t testing.TB, m jobs.Model, client *http.Client) *Client {
	t.Helper()
	c, err := New(m, client)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func prompt(text string) *jobs.Request {
	return &jobs.Request{Messages: []jobs.Message{{Role: jobs.User, Text: text}}}
}

func failure(t testing.TB, err error) *jobs.Failure {
	t.Helper()
	f, ok := errors.AsType[*jobs.Failure](err)
	if !ok {
		t.Fatalf("got %v, want a failure", err)
	}
	return f
}

func TestRequestsCarryWhatTheProtocolNeeds(t *testing.T) {
	conversation := &jobs.Request{
		System: "Be brief.",
		Messages: []jobs.Message{
			{Role: jobs.User, Text: "Weather in \"Oslo\"?"},
			{Role: jobs.Assistant, Calls: []jobs.ToolCall{{ID: "1", Name: "weather", Arguments: `{"city":"Oslo"}`}, {ID: "2", Name: "weather", Arguments: `nonsense`}}},
			{Role: jobs.ToolRole, Reply: "1", Text: "rain"},
			{Role: jobs.ToolRole, Reply: "2", Text: "bad arguments"},
		},
		Tools: []jobs.Tool{{Name: "weather", Description: "tells it", Schema: []byte(`{"type":"object"}`)}, {Name: "time"}},
	}
	for _, row := range []struct {
		provider, url, header, value, body string
	}{
		{"openai", "http://provider.test/v1/chat/completions", "Authorization", "Bearer " + canary,
			`{"model":"gpt-4.1-mini","messages":[{"role":"system","content":"Be brief."},` +
				`{"role":"user","content":"Weather in \"Oslo\"?"},` +
				`{"role":"assistant","content":null,"tool_calls":[` +
				`{"id":"1","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Oslo\"}"}},` +
				`{"id":"2","type":"function","function":{"name":"weather","arguments":"nonsense"}}]},` +
				`{"role":"tool","tool_call_id":"1","content":"rain"},{"role":"tool","tool_call_id":"2","content":"bad arguments"}],` +
				`"tools":[{"type":"function","function":{"name":"weather","description":"tells it","parameters":{"type":"object"}}},` +
				`{"type":"function","function":{"name":"time","description":"","parameters":{"type":"object","properties":{}}}}],` +
				`"temperature":0.5,"max_tokens":200}`},
		{"anthropic", "http://provider.test/v1/messages", "X-Api-Key", canary,
			`{"model":"gpt-4.1-mini","max_tokens":200,"temperature":0.5,"system":"Be brief.",` +
				`"tools":[{"name":"weather","description":"tells it","input_schema":{"type":"object"}},` +
				`{"name":"time","description":"","input_schema":{"type":"object","properties":{}}}],` +
				`"messages":[{"role":"user","content":[{"type":"text","text":"Weather in \"Oslo\"?"}]},` +
				`{"role":"assistant","content":[{"type":"tool_use","id":"1","name":"weather","input":{"city":"Oslo"}},` +
				`{"type":"tool_use","id":"2","name":"weather","input":{}}]},` +
				`{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":"rain"},` +
				`{"type":"tool_result","tool_use_id":"2","content":"bad arguments"}]}]}`},
	} {
		var sent http.Request
		var body string
		m := model(row.provider)
		half := 0.5
		m.Temperature = &half
		_, err := mustNew(t, m, hears(&sent, &body)).Ask(t.Context(), conversation, 200)
		if err == nil || sent.URL.String() != row.url || sent.Header.Get(row.header) != row.value {
			t.Errorf("%s: %v %v %v", row.provider, err, sent.URL, sent.Header)
		}
		if d := cmp.Diff(row.body, body); d != "" {
			t.Errorf("%s: %s", row.provider, d)
		}
	}
}

func TestTheLowestLimitIsAlwaysSent(t *testing.T) {
	for _, row := range []struct{ request, call, want int }{{0, 0, 500}, {100, 0, 100}, {100, 50, 50}, {0, 900, 500}} {
		for provider, name := range map[string]string{
			"openai": "max_tokens", "anthropic": "max_tokens", "openai-responses": "max_output_tokens", "gemini": "generationConfig.maxOutputTokens",
		} {
			var sent http.Request
			var body string
			req := prompt("x")
			req.MaxOutput = row.request
			_, _ = mustNew(t, model(provider), hears(&sent, &body)).Ask(t.Context(), req, row.call)
			if got := gjson.Get(body, name).Int(); int(got) != row.want {
				t.Errorf("%s: request %d, call %d: sent %d, want %d", provider, row.request, row.call, got, row.want)
			}
		}
	}
}

func TestOpenAIItselfGetsTheNewerLimit(t *testing.T) {
	for _, row := range []struct {
		host, upstream string
		want           bool
	}{
		{"api.openai.com", "gpt-4o", true}, {"x.openai.azure.com", "prod", true}, {"openrouter.ai", "openai/o3-mini", true},
		{"localhost", "llama3.2", false}, {"localhost", "olmo", false},
	} {
		if got := strictOpenAI(row.host, row.upstream); got != row.want {
			t.Errorf("%s at %s: %v", row.upstream, row.host, got)
		}
	}
}

func TestAnswersAreRead(t *testing.T) {
	quote := jobs.ToolCall{ID: "c1", Name: "quote", Arguments: `{"n": 1}`}
	for name, row := range map[string]struct {
		provider, endpoint, body string
		want                     jobs.Answer
	}{
		"openai": {"openai", "", `{"id":"chatcmpl-1","model":"gpt-4.1-mini-2025-04-14","choices":[{"index":0,"message":{"role":"assistant","content":"Hi \u00e9","refusal":null},"finish_reason":"stop"}],"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,"prompt_tokens_details":{"cached_tokens":8,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":4}}}`,
			jobs.Answer{Text: "Hi é", Finish: jobs.FinishStop, Model: "gpt-4.1-mini-2025-04-14", Usage: jobs.Usage{Input: 19, CachedInput: 8, Output: 10, Reasoning: 4}}},
		"tool calls": {"openai", "", `{"choices":[{"message":{"content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"quote","arguments":"{\"n\": 1}"}}]},"finish_reason":"tool_calls"}],"usage":{"prompt_tokens":5,"completion_tokens":3}}`,
			jobs.Answer{Calls: []jobs.ToolCall{quote}, Finish: jobs.FinishTools, Usage: jobs.Usage{Input: 5, Output: 3}}},
		"no tool calls, said to be null": {"openai", "", `{"choices":[{"message":{"role":"assistant","content":"Hi","refusal":null,"tool_calls":null},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":3}}`,
			jobs.Answer{Text: "Hi", Finish: jobs.FinishStop, Usage: jobs.Usage{Input: 5, Output: 3}}},
		"limit": {"openai", "", `{"choices":[{"message":{"content":"cut"},"finish_reason":"length"}],"usage":{"prompt_tokens":5,"completion_tokens":3}}`,
			jobs.Answer{Text: "cut", Finish: jobs.FinishLength, Usage: jobs.Usage{Input: 5, Output: 3}}},
		"thinking counted apart": {"openai", "", `{"choices":[{"message":{"content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":108}}`,
			jobs.Answer{Text: "ab", Finish: jobs.FinishStop, Usage: jobs.Usage{Input: 5, Output: 103}}},
		"deepseek's cache": {"openai", "", `{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":500,"completion_tokens":3,"total_tokens":503,"prompt_cache_hit_tokens":448,"prompt_cache_miss_tokens":52}}`,
			jobs.Answer{Text: "a", Finish: jobs.FinishStop, Usage: jobs.Usage{Input: 500, CachedInput: 448, Output: 3}}},
		"moonshot's cache": {"openai", "", `{"choices":[{"message":{"content":"a"},"finish_reason":"stop"}],"usage":{"prompt_tokens":500,"completion_tokens":3,"total_tokens":503,"cached_tokens":256}}`,
			jobs.Answer{Text: "a", Finish: jobs.FinishStop, Usage: jobs.Usage{Input: 500, CachedInput: 256, Output: 3}}},
		"embeddings": {"openai", embeddingsEndpoint, `{"object":"list","data":[{"embedding":[0.1]}],"model":"text-embedding-3-small","usage":{"prompt_tokens":8,"total_tokens":8}}`,
			jobs.Answer{Finish: jobs.FinishStop, Model: "text-embedding-3-small", Usage: jobs.Usage{Input: 8}}},
		"responses": {"openai", responsesEndpoint, `{"status":"completed","model":"gpt-5","output":[{"type":"reasoning"},{"type":"message","content":[{"type":"output_text","text":"Hi"}]},{"type":"function_call","call_id":"c1","name":"quote","arguments":"{\"n\": 1}"}],"usage":{"input_tokens":7,"input_tokens_details":{"cached_tokens":2},"output_tokens":9,"output_tokens_details":{"reasoning_tokens":6},"total_tokens":16}}`,
			jobs.Answer{Text: "Hi", Calls: []jobs.ToolCall{quote}, Finish: jobs.FinishTools, Model: "gpt-5", Usage: jobs.Usage{Input: 7, CachedInput: 2, Output: 9, Reasoning: 6}}},
		"responses cut": {"openai", responsesEndpoint, `{"status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"output":[],"usage":{"input_tokens":7,"output_tokens":9}}`,
			jobs.Answer{Finish: jobs.FinishLength, Usage: jobs.Usage{Input: 7, Output: 9}}},
		"responses cut, for no reason": {"openai", responsesEndpoint, `{"status":"incomplete","incomplete_details":null,"output":[],"usage":{"input_tokens":7,"output_tokens":9}}`,
			jobs.Answer{Finish: jobs.FinishLength, Usage: jobs.Usage{Input: 7, Output: 9}}},
		"anthropic": {"anthropic", "", `{"id":"msg_1","type":"message","model":"claude-sonnet-4-5-20250929","content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"Hi"},{"type":"tool_use","id":"c1","name":"quote","input":{"n": 1}}],"stop_reason":"tool_use","usage":{"input_tokens":3,"cache_creation_input_tokens":20,"cache_read_input_tokens":100,"output_tokens":5}}`,
			jobs.Answer{Text: "Hi", Calls: []jobs.ToolCall{quote}, Finish: jobs.FinishTools, Model: "claude-sonnet-4-5-20250929", Usage: jobs.Usage{Input: 123, CachedInput: 100, CacheWrite: 20, Output: 5},
				Thoughts: &jobs.Thoughts{Model: "test", Body: []byte(`[{"type":"thinking","thinking":"hm"},{"type":"text","text":"Hi"},{"type":"tool_use","id":"c1","name":"quote","input":{"n": 1}}]`)}}},
		"anthropic limit": {"anthropic", "", `{"content":[{"type":"text","text":"cut"}],"stop_reason":"max_tokens","usage":{"input_tokens":3,"output_tokens":5}}`,
			jobs.Answer{Text: "cut", Finish: jobs.FinishLength, Usage: jobs.Usage{Input: 3, Output: 5}}},
	} {
		t.Run(name, func(t *testing.T) {
			header := http.Header{"X-Request-Id": {"req-7"}, "X-Ratelimit-Remaining-Requests": {"9"}}
			req := prompt("x")
			if row.endpoint != "" {
				req = &jobs.Request{Endpoint: row.endpoint, Body: []byte(`{"input":"x"}`)}
			}
			got, err := mustNew(t, model(row.provider), says(200, header, row.body)).Ask(t.Context(), req, 0)
			if err != nil {
				t.Fatal(err)
			}
			want := row.want
			want.Body, want.Status, want.RequestID = []byte(row.body), 200, "req-7"
			want.Quota = &jobs.Quota{RequestsLimit: -1, RequestsLeft: 9, TokensLimit: -1, TokensLeft: -1, RequestsReset: -1, TokensReset: -1}
			if d := cmp.Diff(&want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestUsageIsNeverSilentlyNothing(t *testing.T) {
	for _, usage := range []string{``, `,"usage":null`, `,"usage":{"prompt_tokens":-4,"completion_tokens":1e30}`} {
		body := `{"choices":[{"message":{"content":"Hello"},"finish_reason":"stop"}]` + usage + `}`
		a, err := mustNew(t, model("openai"), says(200, nil, body)).Ask(t.Context(), prompt("x"), 0)
		if err != nil {
			t.Fatal(err)
		}
		if !a.Estimated || a.Usage.Input < 1 || a.Usage.Output < 2 {
			t.Errorf("%s: %+v", usage, a)
		}
	}
}

// An answer whose usage told the input alone, or a uint32 of -1 for the output,
// was booked as if that half had cost nothing, or everything.
func TestHalfAUsageWasTakenForAllOfIt(t *testing.T) {
	for _, row := range []struct {
		usage         string
		input, output bool // whether they are estimated
	}{
		{`{"prompt_tokens":7,"completion_tokens":2}`, false, false},
		{`{"prompt_tokens":7}`, false, true},
		{`{"prompt_tokens":7,"completion_tokens":-1}`, false, true},
		{`{"prompt_tokens":7,"completion_tokens":4294967295}`, false, true},
		{`{"prompt_tokens":4294967295,"completion_tokens":2}`, true, false},
		{`{"completion_tokens":2}`, true, false},
	} {
		body := `{"choices":[{"message":{"content":"` + strings.Repeat("word ", 50) + `"},"finish_reason":"stop"}],"usage":` + row.usage + `}`
		c := mustNew(t, model("openai"), says(200, nil, body))
		want := jobs.Usage{Input: 7, Output: 2}
		if row.input {
			want.Input = c.Tokens(prompt("x"))
		}
		if row.output {
			want.Output = int64(len(body))
		}
		a, err := c.Ask(t.Context(), prompt("x"), 0)
		if err != nil || a.Usage != want || a.Estimated != (row.input || row.output) {
			t.Errorf("%s: %+v, %v, want %+v", row.usage, a, err, want)
		}
	}
	silent := says(200, nil, `{"choices":[{"message":{"content":""},"finish_reason":"stop"}],"usage":{"prompt_tokens":7,"completion_tokens":0}}`)
	if a, err := mustNew(t, model("openai"), silent).Ask(t.Context(), prompt("x"), 0); err != nil || a.Usage.Output != 0 || a.Estimated {
		t.Errorf("of nothing: %+v, %v", a, err)
	}
}

func TestWithheldAnswersWerePaidFor(t *testing.T) {
	for _, row := range []struct{ provider, endpoint, body string }{
		{"openai", "", `{"choices":[{"message":{"content":null,"refusal":"No."},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":3}}`},
		{"openai", "", `{"choices":[{"message":{"content":""},"finish_reason":"content_filter"}],"usage":{"prompt_tokens":5,"completion_tokens":3}}`},
		{"openai", responsesEndpoint, `{"status":"completed","output":[{"type":"message","content":[{"type":"refusal","refusal":"No."}]}],"usage":{"input_tokens":5,"output_tokens":3}}`},
		{"openai", responsesEndpoint, `{"status":"incomplete","incomplete_details":{"reason":"content_filter"},"output":[],"usage":{"input_tokens":5,"output_tokens":3}}`},
		{"anthropic", "", `{"content":[],"stop_reason":"refusal","usage":{"input_tokens":5,"output_tokens":3}}`},
	} {
		req := prompt("x")
		if row.endpoint != "" {
			req = &jobs.Request{Endpoint: row.endpoint, Body: []byte(`{"input":"x"}`)}
		}
		_, err := mustNew(t, model(row.provider), says(200, nil, row.body)).Ask(t.Context(), req, 0)
		f := failure(t, err)
		if f.Kind != jobs.Refused || f.Billing != jobs.Billed || f.Answer == nil || f.Answer.Usage.Total() != 8 || f.Answer.Finish != jobs.FinishRefused {
			t.Errorf("%s: %+v", row.body, f)
		}
	}
}

func TestBrokenAnswersArePresumedPaid(t *testing.T) {
	whole := `{"choices":[{"message":{"content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":3}}`
	for _, row := range []struct {
		body string
		kind jobs.Kind
	}{
		{"", jobs.Unreachable}, {whole[:len(whole)/2], jobs.Unreachable}, {"<html>hotel</html>", jobs.Unreachable},
		{`"text"`, jobs.Unreachable}, {`{"choices":[]}`, jobs.ServerError}, {`{}`, jobs.ServerError},
		{`{"choices":[{"message":{"content":"He"},"finish_reason":"error"}],"error":{"message":"backend died"}}`, jobs.ServerError},
		{`{"error":{"code":429,"message":"Rate limit exceeded: free-models-per-min"}}`, jobs.RateLimited},
	} {
		for _, provider := range providers {
			_, err := mustNew(t, model(provider), says(200, nil, row.body)).Ask(t.Context(), prompt("x"), 0)
			if f := failure(t, err); f.Kind != row.kind || f.Billing != jobs.Presumed {
				t.Errorf("%s: %.60q: %v, %s", provider, row.body, f, f.Billing)
			}
		}
	}
}

// A base_url that leads to a page for people, or a proxy that wants a login,
// was told as an answer that is cut off.
func TestWebPagesWereToldAsBrokenAnswers(t *testing.T) {
	for _, page := range []string{"<html><body>Log in</body></html>", "\n <!DOCTYPE html>\n<title>Chat</title>"} {
		for _, provider := range providers {
			_, err := mustNew(t, model(provider), says(200, nil, page)).Ask(t.Context(), prompt("x"), 0)
			if f := failure(t, err); !strings.Contains(f.Message, "web page") || !strings.Contains(f.Message, "base_url") {
				t.Errorf("%s: %q: %v", provider, page, f)
			}
		}
	}
}

func TestEndlessAnswersAreNotReadToTheEnd(t *testing.T) {
	endless := &http.Client{Transport: round(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: 200, Request: r, Body: http.NoBody, ContentLength: maxResponse + 1}, nil
	})}
	_, err := mustNew(t, model("openai"), endless).Ask(t.Context(), prompt("x"), 0)
	if f := failure(t, err); f.Kind != jobs.ServerError || f.Billing != jobs.Presumed || !strings.Contains(f.Message, "4 MiB") {
		t.Errorf("got %v, %s", f, f.Billing)
	}
	for length, tooLarge := range map[int]bool{9: false, 10: false, 11: true} {
		res := &http.Response{ContentLength: -1, Body: io.NopCloser(strings.NewReader(strings.Repeat("x", length)))}
		if _, err := readAll(res, 10); errors.Is(err, errTooLarge) != tooLarge {
			t.Errorf("%d bytes: %v", length, err)
		}
	}
}

// endless is a body without an end that counts what is read of it.
type endless struct{ read int64 }

func (e *endless) Read(b []byte) (int, error) {
	e.read += int64(len(b))
	return len(b), nil
}

func (e *endless) Close() error { return nil }

// 64 calls at a server that never stopped sending took a worker 8 GiB, though
// the answers that they asked for have a few KiB.
func TestEndlessAnswersTookMoreThanWasAskedFor(t *testing.T) {
	for _, row := range []struct {
		status int
		req    *jobs.Request
		most   int64
	}{
		{200, prompt("x"), 5 << 20},
		{500, prompt("x"), 2 << 20},
		{200, &jobs.Request{Endpoint: chatEndpoint, Body: []byte(`{"messages":[{"role":"user","content":"x"}],"logprobs":true}`)}, maxResponse + 1<<20},
	} {
		body := new(endless)
		client := &http.Client{Transport: round(func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: row.status, Request: r, Body: body, ContentLength: -1}, nil
		})}
		_, err := mustNew(t, model("openai"), client).Ask(t.Context(), row.req, 0)
		if f := failure(t, err); f.Kind != jobs.ServerError || f.Billing != jobs.Presumed {
			t.Errorf("%d: %v, %s", row.status, f, f.Billing)
		}
		if body.read > row.most {
			t.Errorf("%d: read %d bytes, want at most %d", row.status, body.read, row.most)
		}
	}
}

// A server may compress what nobody asked it to, and some proxies always do.
func TestCompressedAnswersWereThrownAway(t *testing.T) {
	body := `{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2}}`
	for _, header := range []http.Header{{"Content-Encoding": {"gzip"}}, nil} {
		for _, body := range []string{gzipped(body), body} { // some say so and do not
			a, err := mustNew(t, model("openai"), says(200, header, body)).Ask(t.Context(), prompt("x"), 0)
			if err != nil || a.Text != "Hi" || a.Usage.Total() != 5 {
				t.Errorf("%v: %+v, %v", header, a, err)
			}
		}
		_, err := mustNew(t, model("openai"), says(401, header, gzipped(`{"error":{"message":"no such key"}}`))).Ask(t.Context(), prompt("x"), 0)
		if f := failure(t, err); !strings.Contains(f.Message, "no such key") {
			t.Errorf("%v: %v", header, f)
		}
	}
	for _, length := range []int{2, 10, 40} {
		_, err := mustNew(t, model("openai"), says(200, nil, gzipped(body)[:length])).Ask(t.Context(), prompt("x"), 0)
		if f := failure(t, err); f.Kind != jobs.Unreachable || f.Billing != jobs.Presumed {
			t.Errorf("%d bytes: %v, %s", length, f, f.Billing)
		}
	}
	bomb := gzipped(strings.Repeat("x", 10_000))
	if _, err := readAll(&http.Response{ContentLength: -1, Body: io.NopCloser(strings.NewReader(bomb))}, 1000); !errors.Is(err, errTooLarge) {
		t.Errorf("10,000 bytes within 1,000: %v", err)
	}
}

// A worker died with all its calls of a response that is nested for ever: the
// stack was used up, and nothing recovers from that.
func TestEndlesslyNestedAnswersEndedTheWorker(t *testing.T) {
	deep := `{"error":` + strings.Repeat("[", 30<<20)
	for _, provider := range providers {
		for _, status := range []int{200, 400} {
			m := model(provider)
			m.MaxOutput = 64 << 10 // so that all of it is read
			_, err := mustNew(t, m, says(status, nil, deep)).Ask(t.Context(), prompt("x"), 0)
			if f := failure(t, err); status == 200 && (f.Kind != jobs.Unreachable || f.Billing != jobs.Presumed) {
				t.Errorf("%s: %v, %s", provider, f, f.Billing)
			}
		}
	}
	wide := `{"choices":[{"message":{"content":"Hi"}}],"usage":{"prompt_tokens":3,"completion_tokens":2},"x":[` + strings.Repeat("[],", mostLevels) + `[]]}`
	if _, err := mustNew(t, model("openai"), says(200, nil, wide)).Ask(t.Context(), prompt("x"), 0); err != nil {
		t.Error(err)
	}
}

// A response that was just not nested too deeply by itself was, in the record
// that it was kept in: nothing could read the batch's outcomes from then on.
func TestDeeplyNestedResponseMadeItsOutcomeUnreadable(t *testing.T) {
	ready := &jobs.Request{Endpoint: "/v1/chat/completions", Body: []byte(`{"messages":[{"role":"user","content":"x"}]}`)}
	for levels, kept := range map[int]bool{1000: true, 10_000: false} { // which is as far as encoding/json goes
		body := `{"choices":[{"message":{"content":"Hi"}}],"x":` + strings.Repeat("[", levels-1) + strings.Repeat("]", levels-1) + `}`
		a, err := mustNew(t, model("openai"), says(200, nil, body)).Ask(t.Context(), ready, 0)
		if (err == nil) != kept {
			t.Errorf("%d levels: %v", levels, err)
		}
		if err != nil {
			continue
		}
		record, err := json.Marshal(jobs.Outcome{Response: a.Body})
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(record, new(jobs.Outcome)); err != nil {
			t.Errorf("%d levels: %v", levels, err)
		}
	}
}

func TestAnswerBehindAByteOrderMarkIsRead(t *testing.T) {
	const mark = "\ufeff"
	a, err := mustNew(t, model("openai"), says(200, nil, mark+`{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2}}`)).Ask(t.Context(), prompt("x"), 0)
	if err != nil || a.Text != "Hi" || !gjson.ValidBytes(a.Body) {
		t.Errorf("%+v, %v", a, err)
	}
	_, err = mustNew(t, model("openai"), says(401, nil, mark+`{"error":{"message":"no such key"}}`)).Ask(t.Context(), prompt("x"), 0)
	if f := failure(t, err); !strings.Contains(f.Message, "no such key") {
		t.Error(f)
	}
}

func gzipped(text string) string {
	var b strings.Builder
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, text) // a builder takes everything
	_ = w.Close()
	return b.String()
}

func TestSuccessOfAnotherNumberIsPaidFor(t *testing.T) {
	body := `{"choices":[{"message":{"content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":2}}`
	for _, status := range []int{201, 202, 203, 206} {
		for _, body := range []string{body, body[:20], ""} {
			a, err := mustNew(t, model("openai"), says(status, nil, body)).Ask(t.Context(), prompt("x"), 0)
			if a != nil && a.Text == "Hi" && a.Status == status {
				continue
			}
			if f := failure(t, err); f.Billing != jobs.Presumed || !f.Kind.Retryable() {
				t.Errorf("%d %q: %v, %s", status, body, f, f.Billing)
			}
		}
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	reached := false
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached = true }))
	defer target.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		origin := httptest.NewServer(http.RedirectHandler(target.URL, status))
		m := model("openai")
		m.BaseURL = origin.URL
		transport := Transport(1)
		_, err := mustNew(t, m, &http.Client{Transport: transport}).Ask(t.Context(), prompt("x"), 0)
		if f := failure(t, err); reached || f.Kind != jobs.NoQuota || f.Billing != jobs.Free || !strings.Contains(f.Message, "base_url") {
			t.Errorf("%d: reached %v, %v", status, reached, f)
		}
		transport.CloseIdleConnections()
		origin.Close()
	}
}

func TestSecretsNeverReachErrors(t *testing.T) {
	m := model("openai")
	m.BaseURL = "http://127.0.0.1:1/v1?key=" + canary
	echo := fmt.Sprintf(`{"error":{"code":"%s","message":"Incorrect API key provided: %s."}}`, canary, canary)
	long := echo[:len(echo)-2] + strings.Repeat("x", 5000) + `"}}`
	transport := Transport(1)
	defer transport.CloseIdleConnections()
	for _, client := range []*http.Client{
		{Transport: transport},
		says(401, nil, echo), says(401, nil, canary), says(401, nil, long), says(200, nil, echo), says(500, nil, "<"+canary),
	} {
		_, err := mustNew(t, m, client).Ask(t.Context(), prompt("x"), 0)
		f := failure(t, err)
		if all := fmt.Sprintf("%+v %v %s %s", *f, f, f.Body, f.Code); strings.Contains(all, canary) {
			t.Errorf("the key is in %s", all)
		}
		if f.Body != nil && !gjson.ValidBytes(f.Body) {
			t.Errorf("the failure's body is no JSON: %s", f.Body)
		}
	}
	for _, base := range []string{"http://user:" + canary + "@host", "http://[" + canary, canary, "ftp://" + canary} {
		m.BaseURL = base
		if _, err := New(m, http.DefaultClient); err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", base, err)
		}
	}
}

func TestNoPartOfAKeyIsLeftWhereALongErrorIsShortened(t *testing.T) {
	for _, at := range []int{480, 490, 499, 4080, 4090} {
		text := strings.Repeat("x", at) + canary
		for name, client := range map[string]*http.Client{
			"message":   says(400, nil, `{"error":{"message":"`+text+`"}}`),
			"old shape": says(400, nil, `{"error":"`+text+`"}`),
			"body":      says(502, nil, text),
			"reported":  says(200, nil, `{"error":{"message":"`+text+`"}}`),
			"refusal":   says(200, nil, `{"choices":[{"message":{"refusal":"`+text+`"}}]}`),
		} {
			_, err := mustNew(t, model("openai"), client).Ask(t.Context(), prompt("x"), 0)
			f := failure(t, err)
			if all := f.Message + string(f.Body); strings.Contains(all, canary[:4]) {
				t.Errorf("%s, %d: a part of the key is in %s", name, at, all)
			}
			if len(f.Message) > 600 {
				t.Errorf("%s, %d: the message has %d bytes", name, at, len(f.Message))
			}
		}
	}
}

func TestNewNamesWhatToCorrect(t *testing.T) {
	for want, spoil := range map[string]func(m *jobs.Model){
		"provider": func(m *jobs.Model) { m.Provider = "telepathy" }, "base_url": func(m *jobs.Model) { m.BaseURL = "host/v1" },
		"max_output": func(m *jobs.Model) { m.MaxOutput = 0 }, "key": func(m *jobs.Model) { m.Key = jobs.NewSecret("a\nb") },
	} {
		m := model("openai")
		spoil(&m)
		if _, err := New(m, http.DefaultClient); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want something about %s, got %v", want, err)
		}
	}
}

func TestBaseURLGetsItsVersion(t *testing.T) {
	for _, row := range []struct{ provider, base, want string }{
		{"openai", "", "https://api.openai.com/v1/chat/completions"},
		{"openai", "http://localhost:11434", "http://localhost:11434/v1/chat/completions"},
		{"openai", "http://localhost/api/openai/", "http://localhost/api/openai/chat/completions"},
		{"openai", "http://localhost/v1/chat/completions", "http://localhost/v1/chat/completions"},
		{"openai", "https://azure.test/v1?api-version=1", "https://azure.test/v1/chat/completions?api-version=1"},
		{"openai", "https://acme.openai.azure.com/", "https://acme.openai.azure.com/openai/v1/chat/completions"},
		{"openai", "https://acme.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21", "https://acme.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21"},
		{"openai-responses", "https://acme.services.ai.azure.com/openai/v1/", "https://acme.services.ai.azure.com/openai/v1/responses"},
		{"anthropic", "", "https://api.anthropic.com/v1/messages"},
		{"anthropic", "https://api.deepseek.com/anthropic", "https://api.deepseek.com/anthropic/v1/messages"},
		{"anthropic", "https://acme.services.ai.azure.com/anthropic/v1/messages", "https://acme.services.ai.azure.com/anthropic/v1/messages"},
		{"gemini", "https://gateway.test/google-ai-studio", "https://gateway.test/google-ai-studio/v1beta/models/gpt-4.1-mini:generateContent"},
		{"gemini", "https://gateway.test/v1", "https://gateway.test/v1/models/gpt-4.1-mini:generateContent"},
	} {
		var sent http.Request
		var body string
		m := model(row.provider)
		m.BaseURL = row.base
		_, _ = mustNew(t, m, hears(&sent, &body)).Ask(t.Context(), prompt("x"), 0)
		if got := sent.URL.String(); got != row.want {
			t.Errorf("%s, %q: %s, want %s", row.provider, row.base, got, row.want)
		}
		azure := strings.Contains(row.want, "azure.com/openai")
		if (sent.Header.Get("Api-Key") == canary) != azure || azure && sent.Header.Get("Authorization") != "" {
			t.Errorf("%s, %q: %v", row.provider, row.base, sent.Header)
		}
	}
}

func TestOwnStopIsNotTheModelsFault(t *testing.T) {
	for _, row := range []struct {
		cancel func(context.Context) (context.Context, context.CancelFunc)
		want   jobs.Kind
	}{
		{func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, -time.Second)
		}, jobs.Timeout},
		{func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			cancel()
			return ctx, cancel
		}, jobs.Interrupted},
	} {
		ctx, cancel := row.cancel(t.Context())
		transport := Transport(1)
		_, err := mustNew(t, model("openai"), &http.Client{Transport: transport}).Ask(ctx, prompt("x"), 0)
		if f := failure(t, err); f.Kind != row.want || f.Billing != jobs.Free {
			t.Errorf("got %v, %s", f, f.Billing)
		}
		cancel()
	}
}
