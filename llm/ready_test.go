package llm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"
	"pgregory.net/rapid"

	"github.com/drover-batch/drover/jobs"
)

func adapter(strict bool) *openAI {
	o := &openAI{model: &jobs.Model{Name: "m", Upstream: "up", MaxOutput: 500}, strict: new(atomic.Bool)}
	o.strict.Store(strict)
	return o
}

func TestReadyBodiesChangeInModelAndLimitOnly(t *testing.T) {
	for _, row := range []struct{ endpoint, body, want string }{
		{chatEndpoint, `{"model":"a","max_tokens":9}`, `{"model":"up","max_tokens":9}`},
		{chatEndpoint, `{"model":"a","max_tokens":900}`, `{"model":"up","max_tokens":500}`},
		{chatEndpoint, `{"max_completion_tokens": 9 ,"model":"a"}`, `{"max_completion_tokens": 9 ,"model":"up"}`},
		{chatEndpoint, `{"model":"a","max_completion_tokens":501,"max_tokens":7}`, `{"model":"up","max_completion_tokens":500,"max_tokens":7}`},
		{chatEndpoint, ` { "x" : 1.10 } `, ` {"model":"up","max_tokens":500, "x" : 1.10 } `},
		{chatEndpoint, `{}`, `{"model":"up","max_tokens":500}`},
		{chatEndpoint, "{ \n}", "{\"model\":\"up\",\"max_tokens\":500 \n}"},
		{chatEndpoint, `{"model":"a","max_tokens":-1}`, `{"model":"up","max_tokens":500}`},
		{chatEndpoint, `{"model":"a","max_tokens":null}`, `{"model":"up","max_tokens":500}`},
		{chatEndpoint, `{"model":"a","max_tokens":"9"}`, `{"model":"up","max_tokens":500}`},
		{chatEndpoint, `{"model":"a","max_tokens":9.5}`, `{"model":"up","max_tokens":500}`},
		{chatEndpoint, `{"model":"a","max_tokens":9,"stream":true,"stream_options":{"include_usage":true}}`, `{"model":"up","max_tokens":9,"stream":false,"stream_options":null}`},
		{chatEndpoint, `{"model":"a","max_tokens":300,"n":2}`, `{"model":"up","max_tokens":250,"n":2}`},
		{chatEndpoint, `{"model":"a","max_tokens":100,"n":2}`, `{"model":"up","max_tokens":100,"n":2}`},
		{responsesEndpoint, `{"model":"a","input":"x"}`, `{"max_output_tokens":500,"model":"up","input":"x"}`},
		{responsesEndpoint, `{"model":"a","max_output_tokens":5000}`, `{"model":"up","max_output_tokens":500}`},
		{embeddingsEndpoint, `{"model":"a","input":["x"]}`, `{"model":"up","input":["x"]}`},
	} {
		path, got, fail := adapter(false).encode(&jobs.Request{Endpoint: row.endpoint, Body: []byte(row.body)}, 500)
		if fail != nil || "/v1"+path != row.endpoint {
			t.Errorf("%s: %s, %v", row.body, path, fail)
		}
		if d := cmp.Diff(row.want, string(got)); d != "" {
			t.Errorf("%s: %s", row.body, d)
		}
	}
}

func TestReadyBodiesCannotGetRoundTheConfiguration(t *testing.T) {
	for _, row := range []struct{ endpoint, body string }{
		{chatEndpoint, `{"model":"a","model":"b"}`}, {chatEndpoint, `{"Model":"b"}`}, {chatEndpoint, `{"mod\u0065l":"a","model":"b"}`},
		{chatEndpoint, `{"max_tokens":1,"max_tokens":99999}`}, {chatEndpoint, `{"MAX_TOKENS":99999}`},
		{chatEndpoint, `{"models":["dear"]}`}, {chatEndpoint, `{"n":-1}`}, {chatEndpoint, `{"n":"5"}`}, {chatEndpoint, `{"n":1e12}`}, {chatEndpoint, `{"n":1.5}`},
		{responsesEndpoint, `{"previous_response_id":"resp_1"}`}, {responsesEndpoint, `{"background":true}`}, {responsesEndpoint, `{"prompt":{"id":"pmpt_1"}}`},
		{chatEndpoint, `{"service_tier":"priority"}`}, {chatEndpoint, `{"service_tier":"fast"}`}, {chatEndpoint, `{"service_tier":7}`},
		{responsesEndpoint, `{"prompt_cache_options":{"ttl":"12h"}}`}, {responsesEndpoint, `{"service_tier":"auto","service_t\u0069er":"priority"}`}, {chatEndpoint, `{"n_predict":-1}`},
		{chatEndpoint, `{"messages":[{"role":"user","content":[{"type":"file","file":{"file_id":"file-1"}}]}]}`},
		{responsesEndpoint, `{"input":[{"role":"user","content":[{"type":"input_file","file_url":"https://host/long.pdf"}]}]}`},
		{responsesEndpoint, `{"input":[{"role":"user","content":[{"type":"input_file","f\u0069le_id":"file-1"}]}]}`}, {responsesEndpoint, `{"input":[{"type":"item_reference","id":"msg_1"}]}`},
		{chatEndpoint, `[]`}, {chatEndpoint, `{"model":`}, {chatEndpoint, ``}, {chatEndpoint, `"x"`},
		{"/v1/files", `{}`}, {"/v1/../admin", `{}`}, {"", `{}`},
	} {
		_, body, fail := adapter(false).encode(&jobs.Request{Endpoint: row.endpoint, Body: []byte(row.body)}, 500)
		if fail == nil || fail.Kind != jobs.InvalidRequest {
			t.Errorf("%s %s went through as %s", row.endpoint, row.body, body)
		}
	}
}

// What a tool of the provider's own found was input, and cost more than was held
// for the call.
func TestToolsThatTheProviderRunsAreRefused(t *testing.T) {
	t.Parallel()
	for body, fine := range map[string]bool{
		`{"tools":[{"type":"function","name":"f"},{"type":"custom","name":"g"}]}`: true,
		`{"tools":[]}`: true, `{"tools":null,"web_search_options":null}`: true,
		`{"tools":[{"type":"function","name":"f"},{"type":"web_search"}]}`:                                                                                                       false,
		`{"tools":[{"type":"function","type":"mcp","server_url":"https://x"}]}`:                                                                                                  false,
		`{"messages":[{"content":[{"type":"file","file":{"file_data":"data:application/pdf;base64,JVBE"}}]}],"input":[{"content":[{"type":"input_image","file_id":"file-1"}]}]}`: true,
		`{"web_search_options":{}}`: false, `{"plugins":[{"id":"web"}]}`: false,
	} {
		for _, endpoint := range []string{chatEndpoint, responsesEndpoint} {
			_, _, fail := adapter(true).encode(&jobs.Request{Endpoint: endpoint, Body: []byte(body)}, 500)
			if (fail == nil) != fine || fail != nil && fail.Kind != jobs.InvalidRequest {
				t.Errorf("%s %s: %v", endpoint, body, fail)
			}
		}
	}
}

func TestAnswersOfAReadyBodyShareTheLimitHoweverMany(t *testing.T) {
	for n, fits := range map[int]bool{1: true, 500: true, 501: false, 10_000: false} {
		req := &jobs.Request{Endpoint: chatEndpoint, Body: fmt.Appendf(nil, `{"n":%d}`, n)}
		_, body, fail := adapter(false).encode(req, 500)
		if total := int64(n) * gjson.GetBytes(body, "max_tokens").Int(); total > 500 {
			t.Errorf("%d answers of %d tokens in all, of 500 that were reserved", n, total)
		}
		if (fail == nil) != fits || fail != nil && fail.Kind != jobs.Refused {
			t.Errorf("%d answers: %v", n, fail)
		}
	}
}

// Taking the changed values out of both bodies leaves the same bytes.
func TestEveryOtherByteOfAReadyBodySurvives(t *testing.T) {
	space := rapid.SampledFrom([]string{"", " ", "\n\t"})
	value := rapid.SampledFrom([]string{`1.0`, `"é\u00e9\ud83d\ude00"`, `{"model":"inner","max_tokens": 1e3}`, `[ ]`, `null`, `"{\"model\":\"x\"}"`, `-0.0e-7`})
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfDistinct(rapid.SampledFrom([]string{"model", "max_tokens", "a", "b\\\"c", "messages", "stream", "max_completion_tokens"}), rapid.ID).Draw(t, "names")
		var in, kept bytes.Buffer
		in.WriteString("{")
		for i, name := range names {
			if i > 0 {
				in.WriteString(",")
				kept.WriteString(",")
			}
			v := value.Draw(t, "value")
			before, after := fmt.Sprintf("%s\"%s\"%s:%s", space.Draw(t, "s"), name, space.Draw(t, "s"), space.Draw(t, "s")), space.Draw(t, "s")
			in.WriteString(before + v + after)
			if name == "model" || name == "stream" || strings.HasPrefix(name, "max_") {
				v = "*"
			}
			kept.WriteString(before + v + after)
		}
		in.WriteString("}")
		req := &jobs.Request{Endpoint: chatEndpoint, Body: bytes.Clone(in.Bytes())}
		_, out, fail := adapter(rapid.Bool().Draw(t, "strict")).encode(req, 500)
		if fail != nil {
			t.Fatal(fail)
		}
		if !bytes.Equal(req.Body, in.Bytes()) {
			t.Fatal("the request's own body was changed")
		}
		if !json.Valid(out) {
			t.Fatalf("%s became %s", in.Bytes(), out)
		}
		if got := rest(out); !strings.HasSuffix(got, kept.String()) {
			t.Fatalf("%s became %s: kept %s, want %s", in.Bytes(), out, got, kept.String())
		}
		if root := gjson.ParseBytes(out); root.Get("model").Str != "up" || limitOf(root) < 1 || limitOf(root) > 500 {
			t.Fatalf("%s became %s", in.Bytes(), out)
		}
	})
}

// rest is a body between its braces, each value of ours replaced by a star.
func rest(body []byte) string {
	root := gjson.ParseBytes(body)
	var b strings.Builder
	at := root.Index + 1
	root.ForEach(func(key, value gjson.Result) bool {
		if key.Str == "model" || key.Str == "stream" || strings.HasPrefix(key.Str, "max_") {
			b.WriteString(string(body[at:value.Index]) + "*")
			at = value.Index + len(value.Raw)
		}
		return true
	})
	return b.String() + string(body[at:len(body)-1])
}

func limitOf(root gjson.Result) int64 {
	return max(root.Get("max_tokens").Int(), root.Get("max_completion_tokens").Int())
}

func FuzzReadyBodies(f *testing.F) {
	f.Add(`{"model":"a","max_tokens":5,"messages":[{"role":"user","content":"x"}]}`)
	f.Add("\ufeff{}")
	f.Add(`{"n":3,"max_completion_tokens":1e2,"stream_options":{}}`)
	f.Fuzz(func(t *testing.T, body string) {
		for _, o := range []protocol{adapter(true), &anthropic{model: &jobs.Model{Name: "m", Upstream: "up"}}} {
			_, out, fail := o.encode(&jobs.Request{Endpoint: chatEndpoint, Body: []byte(body)}, 500)
			if fail != nil {
				continue
			}
			var sent struct {
				Model     string
				MaxTokens *float64 `json:"max_tokens"`
				Newer     *float64 `json:"max_completion_tokens"`
				N         *float64
			}
			if err := json.Unmarshal(out, &sent); err != nil {
				if !strings.Contains(err.Error(), "cannot unmarshal") { // an n that the provider will refuse
					t.Fatalf("%q became %q: %v", body, out, err)
				}
				continue
			}
			n := 1.0
			if sent.N != nil {
				n = max(1, *sent.N)
			}
			if sent.Model != "up" || sent.MaxTokens == nil && sent.Newer == nil {
				t.Errorf("%q became %q", body, out)
			}
			for _, limit := range []*float64{sent.MaxTokens, sent.Newer} {
				if limit != nil && (*limit < 1 || *limit*n > max(500, n)) {
					t.Errorf("%q became %q", body, out)
				}
			}
		}
	})
}

func TestWhatAnthropicCannotTakeGoesToTheNextModel(t *testing.T) {
	a := &anthropic{model: &jobs.Model{Name: "m", Upstream: "up", MaxOutput: 500}}
	for _, body := range []string{
		`{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"x"}}]}]}`,
		`{"messages":[],"response_format":{"type":"json_object"}}`, `{"messages":[],"n":2}`, `{"messages":[],"logit_bias":{}}`,
		`{"messages":[{"role":"function","content":"x"}]}`, `{"messages":"x"}`, `{"messages":[],"tools":[{"type":"web"}]}`,
	} {
		_, _, fail := a.encode(&jobs.Request{Endpoint: chatEndpoint, Body: []byte(body)}, 500)
		if fail == nil || fail.Kind != jobs.Refused || fail.Kind.Hopeless() || fail.Billing == jobs.Presumed {
			t.Errorf("%s: %v", body, fail)
		}
	}
	body := `{"model":"x","messages":[{"role":"developer","content":"S"},{"role":"user","content":"Q"},
		{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}}]},
		{"role":"tool","tool_call_id":"1","content":"R"},
		{"role":"assistant","content":"A","tool_calls":null}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}],
		"max_completion_tokens":20,"temperature":1.7,"top_p":0.9,"stop":["a","b"],"seed":1,"n":1,"stream":true,"user":null}`
	want := `{"model":"up","max_tokens":20,"top_p":0.9,"stop_sequences":["a","b"],"system":"S",` +
		`"tools":[{"name":"f","description":"","input_schema":{"type":"object"}}],"messages":[{"role":"user","content":[{"type":"text","text":"Q"}]},` +
		`{"role":"assistant","content":[{"type":"tool_use","id":"1","name":"f","input":{"a":1}}]},` +
		`{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":"R"}]},` +
		`{"role":"assistant","content":[{"type":"text","text":"A"}]}]}`
	_, got, fail := a.encode(&jobs.Request{Endpoint: chatEndpoint, Body: []byte(body)}, 500)
	if fail != nil {
		t.Fatal(fail)
	}
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Error(d)
	}
}

// Requests with both a temperature and a top_p, as many batch files have, were
// sent on as they are, refused by newer models, and their jobs buried.
func TestAnthropicGetsATemperatureOrATopP(t *testing.T) {
	t.Parallel()
	own := 0.3
	a := &anthropic{model: &jobs.Model{Name: "m", Upstream: "up", MaxOutput: 500, Temperature: &own}}
	for said, want := range map[string]string{
		``:                               `"temperature":0.3`,
		`"temperature":0.7,"top_p":1,`:   `"temperature":0.7`,
		`"temperature":1.0,"top_p":0.9,`: `"top_p":0.9`,
		`"top_p":0.9,`:                   `"top_p":0.9`,
		`"temperature":0.7,"top_p":0.9,`: "",
	} {
		_, got, fail := a.encode(&jobs.Request{Endpoint: chatEndpoint, Body: []byte(`{` + said + `"messages":[]}`)}, 500)
		if want == "" {
			if fail == nil || fail.Kind != jobs.Refused {
				t.Errorf("%s: %s %v", said, got, fail)
			}
			continue
		}
		if !strings.Contains(string(got), want) || strings.Contains(string(got), "temperature") && strings.Contains(string(got), "top_p") {
			t.Errorf("%s: %s %v", said, got, fail)
		}
	}
}

// A deployment of a reasoning model that is called by a name of one's own refused
// every request, and nothing could be set to help it.
func TestLimitIsCalledWhatTheProviderCallsIt(t *testing.T) {
	t.Parallel()
	var asked []string
	picky := &http.Client{Transport: round(func(r *http.Request) (*http.Response, error) {
		data, _ := io.ReadAll(r.Body)
		asked = append(asked, string(data))
		if gjson.GetBytes(data, "max_tokens").Exists() {
			return says(400, nil, `{"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.","type":"invalid_request_error","param":"max_tokens","code":"unsupported_parameter"}}`).Transport.RoundTrip(r)
		}
		return says(200, nil, `{"choices":[{"message":{"content":"Hi"}}],`+usage+`}`).Transport.RoundTrip(r)
	})}
	m := model("openai")
	m.BaseURL, m.Upstream = "https://acme.services.ai.azure.com/openai/v1", "our-model"
	c := mustNew(t, m, picky)
	for _, req := range []*jobs.Request{prompt("x"), {Endpoint: chatEndpoint, Body: []byte(`{}`)}} {
		if a, err := c.Ask(t.Context(), req, 0); err != nil || a.Text != "Hi" {
			t.Errorf("%+v, %v", a, err)
		}
	}
	_, err := c.Ask(t.Context(), &jobs.Request{Endpoint: chatEndpoint, Body: []byte(`{"max_tokens":5}`)}, 0)
	if f := failure(t, err); f.Kind != jobs.Refused { // the request's own words are not changed
		t.Errorf("got %v", f)
	}
	if len(asked) != 4 {
		t.Errorf("asked %d times: %s", len(asked), asked)
	}
}

// A job was buried for each document, though its configuration has to be corrected.
func TestTemperatureThatNoRequestMayHaveIsTheConfigurations(t *testing.T) {
	t.Parallel()
	refuses := says(400, nil, "{\"type\":\"error\",\"error\":{\"type\":\"invalid_request_error\",\"message\":\"`temperature` is deprecated for this model.\"}}")
	m, half := model("anthropic"), 0.5
	m.Temperature = &half
	_, err := mustNew(t, m, refuses).Ask(t.Context(), prompt("x"), 0)
	if f := failure(t, err); f.Kind != jobs.NoQuota || f.Billing != jobs.Free {
		t.Errorf("of its own: %v", f)
	}
	_, err = mustNew(t, m, refuses).Ask(t.Context(), &jobs.Request{Endpoint: chatEndpoint, Body: []byte(`{"messages":[],"temperature":0.5}`)}, 0)
	if f := failure(t, err); f.Kind != jobs.Refused {
		t.Errorf("of a ready request: %v", f)
	}
}
