package simulator

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tidwall/gjson"
)

const (
	lease     = "# Lease\n\nThe tenant pays 900 euros a month from May on. Heating is extra."
	firstFact = "The tenant pays 900 euros a month from May on."
	schema    = `{"type":"object","properties":{"rent":{"type":"integer","minimum":1},"summary":{"type":"string"},
		"party":{"$ref":"#/$defs/party"},"quotes":{"type":"array","items":{"type":"string"}}},
		"required":["rent","summary","party","quotes"],"additionalProperties":false,
		"$defs":{"party":{"type":["string","null"],"enum":["tenant","landlord"]}}}`
)

// protocol is how one of them asks for JSON and where it puts what matters.
type protocol struct {
	path, body           string // with places for the text and the schema
	text, finish         string
	calls, name, args    string
	cut, refused, called string
	refusal              string // where it is, if not in the finish reason
	input, output        string // tokens
	cached, reasoning    string
}

var protocols = map[string]protocol{
	"chat": {
		path: "/v1/chat/completions",
		body: `{"model":"m","messages":[{"role":"user","content":%s}],"tools":[{"type":"function","function":{"name":"search","parameters":{"properties":{"query":{"type":"string"}}}}}],
			"response_format":{"type":"json_schema","json_schema":{"name":"answer","strict":true,"schema":%s}}}`,
		text: "choices.0.message.content", finish: "choices.0.finish_reason", cut: "length", refused: "stop", called: "tool_calls", refusal: "choices.0.message.refusal",
		calls: "choices.0.message.tool_calls", name: "function.name", args: "function.arguments",
		input: "usage.prompt_tokens", output: "usage.completion_tokens", cached: "usage.prompt_tokens_details.cached_tokens", reasoning: "usage.completion_tokens_details.reasoning_tokens",
	},
	"responses": {
		path: "/v1/responses",
		body: `{"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":%s}]}],"tools":[{"type":"function","name":"search","parameters":{"properties":{"query":{"type":"string"}}}}],
			"text":{"format":{"type":"json_schema","name":"answer","strict":true,"schema":%s}}}`,
		text: `output.#(type=="message").content.0.text`, finish: "incomplete_details.reason", cut: "max_output_tokens", refusal: `output.#(type=="message").content.0.refusal`,
		calls: `output.#(type=="function_call")#`, name: "name", args: "arguments",
		input: "usage.input_tokens", output: "usage.output_tokens", cached: "usage.input_tokens_details.cached_tokens", reasoning: "usage.output_tokens_details.reasoning_tokens",
	},
	"messages": {
		path: "/v1/messages",
		body: `{"model":"m","max_tokens":900,"messages":[{"role":"user","content":%s}],"tools":[{"name":"search","input_schema":{"properties":{"query":{"type":"string"}}}}],
			"output_config":{"format":{"type":"json_schema","schema":%s}}}`,
		text: "content.0.text", finish: "stop_reason", cut: "max_tokens", refused: "refusal", called: "tool_use",
		calls: `content.#(type=="tool_use")#`, name: "name", args: "input",
		input: "usage.input_tokens", output: "usage.output_tokens", cached: "usage.cache_read_input_tokens", reasoning: "usage.output_tokens_details.thinking_tokens",
	},
	"gemini": {
		path: "/v1beta/models/m:generateContent",
		body: `{"contents":[{"parts":[{"text":%s}]}],"tools":[{"functionDeclarations":[{"name":"search","parametersJsonSchema":{"properties":{"query":{"type":"string"}}}}]}],
			"generationConfig":{"responseMimeType":"application/json","responseJsonSchema":%s}}`,
		text: "candidates.0.content.parts.0.text", finish: "candidates.0.finishReason", cut: "MAX_TOKENS", refused: "SAFETY", called: "STOP",
		calls: "candidates.0.content.parts.#.functionCall", name: "name", args: "args",
		input: "usageMetadata.promptTokenCount", output: "usageMetadata.candidatesTokenCount", cached: "usageMetadata.cachedContentTokenCount", reasoning: "usageMetadata.thoughtsTokenCount",
	},
}

func inEvery(t *testing.T, cfg Config, run func(t *testing.T, w *world, p protocol)) {
	t.Helper()
	for name, p := range protocols {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inWorld(t, cfg, func(t *testing.T, w *world) { run(t, w, p) })
		})
	}
}

func (w *world) ask(p protocol, text string) result {
	w.t.Helper()
	quoted, _ := json.Marshal(text)
	return w.post(w.t.Context(), p.path, fmt.Sprintf(p.body, quoted, schema))
}

// matches checks an answer against the schema by hand.
func matches(text string) bool {
	a := gjson.Parse(text)
	return gjson.Valid(text) && a.Get("rent").Int() == 1 && a.Get("summary").Str != "" && a.Get("party").Str == "tenant" &&
		a.Get("quotes.0").Type == gjson.String
}

func TestAnswersMatchTheSchemaInEveryProtocol(t *testing.T) {
	t.Parallel()
	inEvery(t, Config{}, func(t *testing.T, w *world, p protocol) {
		r := w.ask(p, lease)
		text := r.body.Get(p.text).String()
		if !matches(text) || gjson.Get(text, "quotes.0").Str != firstFact {
			t.Errorf("got %s", r.raw)
		}
		if e := w.Ledger(0)[0]; e.Path != p.path || e.Model != "m" || !e.Billed {
			t.Errorf("ledger says %+v", e)
		}
	})
}

func TestFaultsInWhatIsSaid(t *testing.T) {
	t.Parallel()
	for fault, fine := range map[Fault]func(text string) bool{
		Fenced: func(text string) bool {
			_, rest, _ := strings.Cut(text, "```json\n")
			inside, after, _ := strings.Cut(rest, "\n```")
			return !gjson.Valid(text) && matches(inside) && after != ""
		},
		Prose:   func(text string) bool { return !gjson.Valid(text) && strings.HasPrefix(text, "Lease: ") },
		Invalid: func(text string) bool { return gjson.Valid(text) && text == `{"rent":["unknown"]}` },
		Broken: func(text string) bool {
			return !gjson.Valid(text) && !matches(text) && matches(text+`"]}`)
		},
		Misquote: func(text string) bool {
			return matches(text) && !strings.Contains(lease, gjson.Get(text, "quotes.0").Str)
		},
		Length: func(text string) bool { return len(text) > 0 && len(text) <= 16 },
	} {
		inEvery(t, Config{Odds: Odds{fault: 1}}, func(t *testing.T, w *world, p protocol) {
			r := w.ask(p, lease)
			if text := r.body.Get(p.text).String(); !fine(text) {
				t.Errorf("%s: %q", fault, text)
			}
			if got := r.body.Get(p.finish).String(); (got == p.cut) != (fault == Length) {
				t.Errorf("%s: finish reason %q", fault, got)
			}
			if e := w.Ledger(0)[0]; !e.Billed || e.Fault != fault {
				t.Errorf("%s: ledger says %+v", fault, e)
			}
		})
	}
}

func TestRefusalsAreTheProtocolsOwn(t *testing.T) {
	t.Parallel()
	inEvery(t, Config{}, func(t *testing.T, w *world, p protocol) {
		r := w.ask(p, lease+"[[simulate:refuse]]")
		if got := r.body.Get(p.finish).String(); got != p.refused || p.refusal != "" && r.body.Get(p.refusal).String() == "" {
			t.Errorf("finish reason %q in %s", got, r.raw)
		}
	})
}

func TestFigureThatMayBeMissingIsNotMadeUp(t *testing.T) {
	t.Parallel()
	w := writer{quote: firstFact}
	got := w.fill(nil, gjson.Parse(`{"properties":{"days":{"type":["integer","null"]},"quote":{"type":["string","null"]}}}`), "", 0)
	if want := `{"days":null,"quote":"` + firstFact + `"}`; string(got) != want {
		t.Errorf("the answer is %s, want %s", got, want)
	}
}

func TestASchemaSpelledOutIsMatchedToo(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{}, func(t *testing.T, w *world) {
		system, _ := json.Marshal("Answer in JSON {like this} that matches\n" + schema + "\nand nothing else.")
		body := fmt.Sprintf(`{"model":"m","messages":[{"role":"system","content":%s},{"role":"user","content":"# Lease\n\nThe tenant pays a lot of rent."}]}`, system)
		r := w.post(t.Context(), "/v1/chat/completions", body)
		if !matches(r.body.Get("choices.0.message.content").Str) {
			t.Errorf("got %s", r.raw)
		}
	})
}

func TestARepairTurnCountsAsAskedAgain(t *testing.T) {
	t.Parallel()
	document, _ := json.Marshal(lease + " [[simulate:invalid*1]]")
	turn := `{"role":"user","content":` + string(document) + `}`
	inWorld(t, Config{}, func(t *testing.T, w *world) {
		ask := func(messages string) string {
			body := `{"model":"m","messages":[` + messages + `],"response_format":{"type":"json_schema","json_schema":{"schema":` + schema + `}}}`
			return w.post(t.Context(), "/v1/chat/completions", body).body.Get("choices.0.message.content").Str
		}
		if got := ask(turn); matches(got) {
			t.Errorf("first: %s", got)
		}
		got := ask(turn + `,{"role":"assistant","content":"[]"},{"role":"user","content":"That is no object."}`)
		if !matches(got) || gjson.Get(got, "quotes.0").Str != firstFact {
			t.Errorf("repaired: %s", got)
		}
		if got := ask(turn); !matches(got) {
			t.Errorf("asked again: %s", got)
		}
	})
}

func TestAMarkerMayBeOneModelsOnly(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{}, func(t *testing.T, w *world) {
		for marker, want := range map[string]int{"503@m": 503, "503*1@m": 503, "503@other": 200, "nonsense]] [[simulate:502": 502} {
			if r := w.chat(marker + "[[simulate:" + marker + "]]"); r.status != want {
				t.Errorf("%s: %d", marker, r.status)
			}
		}
	})
}

func TestDocumentsScriptCallsOfTools(t *testing.T) {
	t.Parallel()
	inEvery(t, Config{}, func(t *testing.T, w *world, p protocol) {
		r := w.ask(p, lease+` [[simulate:call search {"query":"[[rent]]"}; outline]] [[simulate:call search {"query":"again"}]]`)
		calls := r.body.Get(p.calls).Array()
		if len(calls) != 2 || calls[0].Get(p.name).Str != "search" || calls[1].Get(p.name).Str != "outline" {
			t.Fatalf("got %s", r.raw)
		}
		if args := gjson.Parse(calls[0].Get(p.args).String()); args.Get("query").Str != "[[rent]]" {
			t.Errorf("arguments %s", args.Raw)
		}
		if args := calls[1].Get(p.args).String(); args != "{}" {
			t.Errorf("no arguments are %q", args)
		}
		if got := r.body.Get(p.finish).String(); got != p.called {
			t.Errorf("finish reason %q", got)
		}
	})
}

// turns are a conversation after its first turn, in each protocol.
var turns = map[string]string{
	"chat": `{"role":"assistant","content":null,"tool_calls":[{"id":"1","type":"function","function":{"name":"search","arguments":"{}"}},{"id":"2","type":"function","function":{"name":"outline","arguments":"{}"}}]},
		{"role":"tool","tool_call_id":"1","content":"found"},{"role":"tool","tool_call_id":"2","content":"found"}`,
	"responses": `{"type":"reasoning","summary":[]},{"type":"function_call","call_id":"1","name":"search","arguments":"{}"},{"type":"function_call","call_id":"2","name":"outline","arguments":"{}"},
		{"type":"function_call_output","call_id":"1","output":"found"},{"type":"function_call_output","call_id":"2","output":"found"}`,
	"messages": `{"role":"assistant","content":[{"type":"tool_use","id":"1","name":"search","input":{}},{"type":"tool_use","id":"2","name":"outline","input":{}}]},
		{"role":"user","content":[{"type":"tool_result","tool_use_id":"1","content":"found"},{"type":"tool_result","tool_use_id":"2","content":[{"type":"text","text":"found"}]}]}`,
	"gemini": `{"role":"model","parts":[{"functionCall":{"name":"search","args":{}}},{"functionCall":{"name":"outline","args":{}}}]},
		{"role":"user","parts":[{"functionResponse":{"name":"search","response":{"output":"found"}}},{"functionResponse":{"name":"outline","response":{"output":"found"}}}]}`,
}

func TestTurnsAreCountedInEveryProtocol(t *testing.T) {
	t.Parallel()
	for name, p := range protocols {
		inWorld(t, Config{}, func(t *testing.T, w *world) {
			quoted, _ := json.Marshal(lease + ` [[simulate:call search]][[simulate:call second {"n":1}]]`)
			body := fmt.Sprintf(p.body, quoted, schema)
			end := strings.Index(body, `],"tools"`)
			once := body[:end] + "," + turns[name] + body[end:]
			twice := body[:end] + "," + turns[name] + "," + turns[name] + body[end:]
			if r := w.post(t.Context(), p.path, once); r.body.Get(p.calls).Array()[0].Get(p.name).Str != "second" {
				t.Errorf("%s, second turn: %s", name, r.raw)
			}
			if r := w.post(t.Context(), p.path, twice); !matches(r.body.Get(p.text).String()) {
				t.Errorf("%s, third turn: %s", name, r.raw)
			}
		})
	}
}

func TestToolsAreCalledOnceOrForEver(t *testing.T) {
	t.Parallel()
	for fault, again := range map[string]string{"tool": "", "loop": "search"} {
		for name, p := range protocols {
			inWorld(t, Config{}, func(t *testing.T, w *world) {
				quoted, _ := json.Marshal(lease + `[[simulate:` + fault + `]]`)
				body := fmt.Sprintf(p.body, quoted, schema)
				end := strings.Index(body, `],"tools"`)
				first := w.post(t.Context(), p.path, body)
				if call := first.body.Get(p.calls + "|0"); call.Get(p.name).Str != "search" || !strings.Contains(call.Get(p.args).String(), "query") {
					t.Errorf("%s, %s, first: %s", fault, name, first.raw)
				}
				r := w.post(t.Context(), p.path, body[:end]+","+turns[name]+body[end:])
				if got := r.body.Get(p.calls + "|0." + p.name).Str; got != again {
					t.Errorf("%s, %s, then: %q in %s", fault, name, got, r.raw)
				}
			})
		}
	}
}

func TestAForcedToolIsCalled(t *testing.T) {
	t.Parallel()
	for name, choice := range map[string]string{
		"chat":      `"tool_choice":{"type":"function","function":{"name":"search"}}`,
		"responses": `"tool_choice":"required"`,
		"messages":  `"tool_choice":{"type":"tool","name":"search"}`,
		"gemini":    `"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":["search"]}}`,
	} {
		inWorld(t, Config{}, func(t *testing.T, w *world) {
			p := protocols[name]
			body := fmt.Sprintf(p.body, `"`+"x"+`"`, schema)
			if r := w.post(t.Context(), p.path, strings.TrimSuffix(body, "}")+","+choice+"}"); r.body.Get(p.calls+"|0."+p.name).Str != "search" {
				t.Errorf("%s: %s", name, r.raw)
			}
		})
	}
}

func TestRepliesAreScriptedInGo(t *testing.T) {
	t.Parallel()
	var asked []Asked
	cfg := Config{Reply: func(a Asked) *Reply {
		asked = append(asked, a)
		if a.Turn == 0 {
			return &Reply{Calls: []Call{{Name: "search", Arguments: `{"query":"rent"}`}}}
		}
		return nil
	}}
	inWorld(t, cfg, func(t *testing.T, w *world) {
		p := protocols["chat"]
		r := w.ask(p, lease)
		if got := r.body.Get(p.calls + "|0." + p.args).Str; got != `{"query":"rent"}` {
			t.Errorf("got %s", r.raw)
		}
		want := Asked{Model: "m", Document: lease, Tools: []string{"search"}, Schema: json.RawMessage(schema)}
		if d := cmp.Diff([]Asked{want}, asked); d != "" {
			t.Error(d)
		}
		body := `{"model":"m","messages":[{"role":"user","content":"Hello."},` + turns["chat"] + `]}`
		if r := w.post(t.Context(), p.path, body); r.body.Get(p.text).Str == "" || asked[1].Turn != 1 || len(asked[1].Results) != 2 {
			t.Errorf("got %s, asked %+v", r.raw, asked[1])
		}
	})
}

func TestCachedAndReasoningTokensAreReported(t *testing.T) {
	t.Parallel()
	inEvery(t, Config{Cached: 0.5, Reasoning: 7}, func(t *testing.T, w *world, p protocol) {
		r, e := w.ask(p, lease), w.Ledger(0)
		input, output := r.body.Get(p.input).Int(), r.body.Get(p.output).Int()
		cached, reasoning := r.body.Get(p.cached).Int(), r.body.Get(p.reasoning).Int()
		if p.path == "/v1/messages" { // counted apart
			input += cached
		}
		if strings.HasPrefix(p.path, "/v1beta") { // counted apart
			output += reasoning
		}
		if cached != input/2 || reasoning != 7 || input != e[0].Input || output != e[0].Output {
			t.Errorf("ledger says %+v of %s", e[0], r.raw)
		}
	})
}

func TestPicturesAreSeen(t *testing.T) {
	t.Parallel()
	for path, part := range map[string]string{
		"/v1/chat/completions":             `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"What is it?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}]}`,
		"/v1/responses":                    `{"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":"What is it?"},{"type":"input_image","image_url":"data:image/png;base64,AAAA"}]}]}`,
		"/v1/messages":                     `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"What is it?"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}}]}]}`,
		"/v1beta/models/m:generateContent": `{"contents":[{"parts":[{"text":"What is it?"},{"inlineData":{"mimeType":"image/png","data":"AAAA"}}]}]}`,
	} {
		inWorld(t, Config{}, func(t *testing.T, w *world) {
			r := w.post(t.Context(), path, part)
			if e := w.Ledger(0)[0]; r.status != 200 || e.Input != 3+3+imageTokens {
				t.Errorf("%s: %d, %+v", path, r.status, e)
			}
		})
	}
}

func TestVectorsComeAsAskedFor(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{}, func(t *testing.T, w *world) {
		r := w.post(t.Context(), "/v1/embeddings", `{"model":"m","input":"abc","dimensions":5}`)
		if n := len(r.body.Get("data.0.embedding").Array()); n != 5 {
			t.Errorf("%d numbers", n)
		}
		r = w.post(t.Context(), "/v1/embeddings", `{"model":"m","input":"a","dimensions":2,"encoding_format":"base64"}`)
		if got := r.body.Get("data.0.embedding").Str; got != "AAAAAAAAgD8=" { // 0 and 1
			t.Errorf("got %q", got)
		}
	})
}

func TestGeminiSpeaksItsOwnErrors(t *testing.T) {
	t.Parallel()
	const path, hello = "/v1beta/models/m:generateContent", `{"contents":[{"parts":[{"text":"Hello"}]}]}`
	inWorld(t, Config{Limits: map[string]Limit{"m": {RequestsPerMinute: 1}}, Context: 100}, func(t *testing.T, w *world) {
		w.post(t.Context(), path, hello)
		r := w.post(t.Context(), path, hello)
		if r.status != 429 || r.body.Get("error.status").Str != "RESOURCE_EXHAUSTED" || r.body.Get("error.details.0.retryDelay").Str != "60.000s" || r.header.Get("Retry-After") != "" {
			t.Errorf("got %d %s %v", r.status, r.raw, r.header)
		}
		r = w.post(t.Context(), path, `{"contents":[{"parts":[{"text":"`+strings.Repeat("long ", 200)+`"}]}]}`)
		if r.status != 400 || !strings.Contains(r.body.Get("error.message").Str, "input token count") {
			t.Errorf("got %d %s", r.status, r.raw)
		}
		if r := w.post(t.Context(), "/v1beta/models/m:countTokens", hello); r.status != 400 {
			t.Errorf("another method: %d", r.status)
		}
	})
	inWorld(t, Config{Key: "secret"}, func(t *testing.T, w *world) {
		if r := w.post(t.Context(), path, hello); r.status != 401 || r.body.Get("error.status").Str != "UNAUTHENTICATED" {
			t.Errorf("got %d %s", r.status, r.raw)
		}
	})
}
