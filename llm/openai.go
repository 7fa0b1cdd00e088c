package llm

import (
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/tidwall/gjson"

	"github.com/drover-batch/drover/jobs"
)

// openAI speaks chat completions, which Ollama, vLLM, llama.cpp, OpenRouter,
// Groq and Gemini's compatible endpoint speak too. Ready requests may also go
// to embeddings and responses.
type openAI struct {
	model  *jobs.Model
	strict *atomic.Bool // knows the token limit as max_completion_tokens

	thinking bool // wants what an assistant thought back
	azure    bool // has a header of its own for the key
	mistral  bool // has a length of its own for the ids of calls
}

// The endpoints a ready request may name, as OpenAI's batch files do.
const (
	chatEndpoint       = "/v1/chat/completions"
	embeddingsEndpoint = "/v1/embeddings"
	responsesEndpoint  = "/v1/responses"
)

// strictOpenAI reports whether to send max_completion_tokens. OpenAI's
// reasoning models refuse the older max_tokens; Ollama silently ignores the
// newer one and Mistral refuses it, so everybody else gets the older, until it
// is refused: a deployment or a gateway may call such a model anything.
func strictOpenAI(host, upstream string) bool {
	return host == "api.openai.com" || strings.HasSuffix(host, azureOpenAI) || reasoner.MatchString(bare(upstream))
}

// The hosts of Azure's: of OpenAI's models alone, and of any.
const (
	azureOpenAI = ".openai.azure.com"
	azureAny    = ".azure.com"
)

// reasoner finds the names of OpenAI's reasoning models, those to come included.
var reasoner = regexp.MustCompile(`^(gpt-([5-9]|[1-9][0-9])|o[1-9])`)

// renames reports whether the provider has just said that it knows the limit that
// we added by its newer name only. It is called so from then on.
func (o *openAI) renames(req *jobs.Request, resp *response) bool {
	if o.strict.Load() || resp.status != http.StatusBadRequest || gjson.GetBytes(req.Body, "max_tokens").Exists() {
		return false
	}
	said := complaintOf(resp.body)
	if !said.is("unsupported_parameter") || !said.says("use 'max_completion_tokens' instead") {
		return false
	}
	o.strict.Store(true)
	return true
}

func (o *openAI) authorize(h http.Header) {
	switch {
	case o.model.Key.Empty():
	case o.azure:
		h["Api-Key"] = []string{o.model.Key.Reveal()}
	default:
		h["Authorization"] = []string{"Bearer " + o.model.Key.Reveal()}
	}
}

func (o *openAI) encode(req *jobs.Request, limit int) (string, []byte, *jobs.Failure) {
	if req.Body != nil {
		body, fail := o.ready(req, limit)
		return strings.TrimPrefix(req.Endpoint, "/v1"), body, fail
	}
	b := make([]byte, 0, 256+size(req))
	b = append(b, `{"model":`...)
	b = appendString(b, o.model.Upstream)
	b = append(b, `,"messages":[`...)
	if req.System != "" {
		b = append(b, `{"role":"system","content":`...)
		b = appendString(b, req.System)
		b = append(b, `},`...)
	}
	reasons := o.reasons(req)
	messages := suited(req.Messages, o.takes)
	for i := range messages {
		m := &messages[i]
		b = append(appendChatMessage(b, m, form{recalled(m, o.model.Name), reasons, o.strict.Load()}), ',')
	}
	b = append(trimComma(b), ']')
	if len(req.Tools) > 0 {
		b = o.appendTools(append(b, `,"tools":`...), req.Tools)
	}
	if o.model.Structured && len(req.Schema) > 0 {
		b = appendFormat(append(b, `,"response_format":{"type":"json_schema","json_schema":{`...), req.Schema)
		b = append(b, `}}`...)
	}
	if t := o.model.Temperature; t != nil {
		b = strconv.AppendFloat(append(b, `,"temperature":`...), *t, 'g', -1, 64)
	}
	if e := o.model.Effort; e != "" {
		b = appendString(append(b, `,"reasoning_effort":`...), e)
	}
	b = append(b, `,"`+o.limitName()+`":`...)
	b = strconv.AppendInt(b, int64(limit), 10)
	return "/chat/completions", append(b, '}'), nil
}

// takes reports whether the provider takes an id for a call.
func (o *openAI) takes(id string) bool {
	if o.mistral {
		return mistralID(id)
	}
	return shortID(id)
}

func (o *openAI) limitName() string {
	if o.strict.Load() {
		return "max_completion_tokens"
	}
	return "max_tokens"
}

// form is how a provider wants a message.
type form struct {
	own     []byte // what its own model thought behind it
	reasons bool   // of every assistant's message
	detail  bool   // a word about how closely pictures are to be looked at
}

func appendChatMessage(b []byte, m *jobs.Message, f form) []byte {
	b = appendString(append(b, `{"role":`...), m.Role)
	if m.Role == jobs.ToolRole {
		b = appendString(append(b, `,"tool_call_id":`...), m.Reply)
	}
	b = append(b, `,"content":`...)
	switch {
	case m.Text == "" && len(m.Calls) > 0:
		b = append(b, `null`...)
	case len(m.Images) > 0:
		b = appendString(append(b, `[{"type":"text","text":`...), m.Text)
		for i := range m.Images {
			b = appendDataURL(append(b, `},{"type":"image_url","image_url":{"url":`...), &m.Images[i])
			if f.detail {
				b = append(b, `,"detail":"high"`...) // or some models take all there is, without a limit
			}
			b = append(b, '}')
		}
		b = append(b, `}]`...)
	default:
		b = appendString(b, m.Text)
	}
	thoughts := gjson.ParseBytes(f.own)
	if v := thoughts.Get("reasoning_content"); v.Exists() {
		b = append(append(b, `,"reasoning_content":`...), v.Raw...)
	} else if f.reasons && m.Role == jobs.Assistant {
		b = append(b, `,"reasoning_content":""`...)
	}
	if v := thoughts.Get("reasoning_details"); v.Exists() {
		b = append(append(b, `,"reasoning_details":`...), v.Raw...)
	}
	if v := thoughts.Get("tool_calls"); v.Exists() {
		b = append(append(b, `,"tool_calls":`...), v.Raw...)
	} else if len(m.Calls) > 0 {
		b = appendChatCalls(append(b, `,"tool_calls":`...), m.Calls)
	}
	return append(b, '}')
}

func appendChatCalls(b []byte, calls []jobs.ToolCall) []byte {
	b = append(b, '[')
	for _, call := range calls {
		b = appendString(append(b, `{"id":`...), call.ID)
		b = appendString(append(b, `,"type":"function","function":{"name":`...), call.Name)
		b = appendString(append(b, `,"arguments":`...), call.Arguments)
		b = append(b, `}},`...)
	}
	return append(trimComma(b), ']')
}

// mostAbout is how long OpenAI lets a tool's description be, less than which tool
// servers often have.
const mostAbout = 1024

func (o *openAI) appendTools(b []byte, tools []jobs.Tool) []byte {
	b = append(b, '[')
	for _, tool := range tools {
		about := tool.Description
		if o.strict.Load() {
			about = shorten(about, mostAbout-1)
		}
		b = appendString(append(b, `{"type":"function","function":{"name":`...), tool.Name)
		b = appendString(append(b, `,"description":`...), about)
		b = append(append(b, `,"parameters":`...), schema(tool)...)
		b = append(b, `}},`...)
	}
	return append(trimComma(b), ']')
}

// schema is the JSON Schema of a tool's arguments; a tool without one takes
// none.
func schema(t jobs.Tool) []byte {
	if len(t.Schema) == 0 {
		return []byte(`{"type":"object","properties":{}}`)
	}
	return t.Schema
}

func trimComma(b []byte) []byte {
	if b[len(b)-1] == ',' {
		return b[:len(b)-1]
	}
	return b
}

// size is roughly how many bytes a request takes on the wire.
func size(req *jobs.Request) int {
	n := len(req.System)
	for i := range req.Messages {
		n += len(req.Messages[i].Text) + 64
		for _, image := range req.Messages[i].Images {
			n += len(image.Data)*4/3 + 64
		}
	}
	for i := range req.Tools {
		n += len(req.Tools[i].Schema) + len(req.Tools[i].Description) + 64
	}
	return n + len(req.Schema) + n/16
}
