package llm

import (
	"cmp"
	"net/http"
	"strconv"

	"github.com/tidwall/gjson"

	"github.com/drover-batch/drover/jobs"
)

// anthropic speaks the messages endpoint. Ready chat completions are
// translated both ways, as far as they have an equivalent.
type anthropic struct {
	model *jobs.Model
	home  bool // it is the provider's own address
}

func (a *anthropic) authorize(h http.Header) {
	h["Anthropic-Version"] = anthropicVersion
	if !a.model.Key.Empty() {
		h["X-Api-Key"] = []string{a.model.Key.Reveal()}
	}
}

var anthropicVersion = []string{"2023-06-01"}

func (a *anthropic) encode(req *jobs.Request, limit int) (string, []byte, *jobs.Failure) {
	var extra sampling
	ready := req.Body != nil
	if ready {
		translated, s, fail := fromChat(a.model, req)
		if fail != nil {
			return "", nil, fail
		}
		if s.limit > 0 {
			limit = min(limit, s.limit)
		}
		if t := s.temperature; t != nil {
			*t = min(*t, 1) // the highest there is
		}
		if !s.single() {
			return "", nil, untranslatable(a.model, `"temperature" beside "top_p"`)
		}
		req, extra = translated, s
	}
	if extra.temperature == nil && extra.topP == nil {
		extra.temperature = a.model.Temperature
	}
	b := make([]byte, 0, 256+size(req))
	b = appendString(append(b, `{"model":`...), a.model.Upstream)
	b = strconv.AppendInt(append(b, `,"max_tokens":`...), int64(limit), 10)
	b = extra.append(b, "top_p", "stop_sequences")
	if !ready && a.caches(req) {
		b = append(b, `,"cache_control":{"type":"ephemeral"}`...)
	}
	if req.System != "" {
		b = appendString(append(b, `,"system":`...), req.System)
	}
	b = a.appendOutput(b, req, cmp.Or(extra.effort, a.model.Effort))
	if len(req.Tools) > 0 {
		b = appendTools(append(b, `,"tools":[`...), req.Tools)
	}
	switch name := extra.mustCall; name {
	case "":
	case anyTool:
		b = append(b, `,"tool_choice":{"type":"any"}`...)
	default:
		b = append(appendString(append(b, `,"tool_choice":{"type":"tool","name":`...), name), '}')
	}
	b = a.appendTurns(append(b, `,"messages":[`...), suited(req.Messages, plainID))
	return "/messages", append(b, '}'), nil
}

// caches reports whether the provider is to cache what it is sent: in conversations
// with tools, where all of it is sent again turn by turn. To write it costs more
// than to send it, so a price has to say how much.
func (a *anthropic) caches(req *jobs.Request) bool {
	return a.home && len(req.Tools) > 0 && (a.model.Price == nil || a.model.Price.CacheWrite > 0)
}

// appendOutput writes what is wanted of the answer's form, and of the thinking.
func (a *anthropic) appendOutput(b []byte, req *jobs.Request, effort string) []byte {
	held := a.model.Structured && len(req.Schema) > 0
	if !held && effort == "" {
		return b
	}
	b = append(b, `,"output_config":{`...)
	if effort != "" {
		b = append(appendString(append(b, `"effort":`...), effort), ',')
	}
	if held {
		b = append(append(b, `"format":{"type":"json_schema","schema":`...), forAnthropic(req.Schema)...)
		b = append(b, '}')
	}
	return append(trimComma(b), '}')
}

// sampling is what a ready request may say beyond its messages.
type sampling struct {
	limit             int
	temperature, topP *float64
	stop              []string
	effort            string // how hard to think
	mustCall          string // the tool that is to be called, anyTool, or "" for none
}

// anyTool is no name that a tool can have.
const anyTool = "*"

// single leaves out whichever of temperature and top_p changes nothing, and
// reports whether no more than one is left: models since Claude Opus 4.1 refuse
// both.
func (s *sampling) single() bool {
	if s.topP != nil && *s.topP >= 1 {
		s.topP = nil
	}
	if s.topP != nil && s.temperature != nil && *s.temperature == 1 {
		s.temperature = nil
	}
	return s.topP == nil || s.temperature == nil
}

// append adds what is said, under the names that a protocol has for two of them.
func (s *sampling) append(b []byte, topP, stop string) []byte {
	if s.temperature != nil {
		b = strconv.AppendFloat(append(b, `,"temperature":`...), *s.temperature, 'g', -1, 64)
	}
	if s.topP != nil {
		b = strconv.AppendFloat(append(append(append(b, `,"`...), topP...), `":`...), *s.topP, 'g', -1, 64)
	}
	if len(s.stop) > 0 {
		b = append(append(append(b, `,"`...), stop...), `":[`...)
		for _, text := range s.stop {
			b = append(appendString(b, text), ',')
		}
		b = append(trimComma(b), ']')
	}
	return b
}

func appendTools(b []byte, tools []jobs.Tool) []byte {
	for _, tool := range tools {
		b = appendString(append(b, `{"name":`...), tool.Name)
		b = appendString(append(b, `,"description":`...), tool.Description)
		b = append(append(b, `,"input_schema":`...), schema(tool)...)
		b = append(b, `},`...)
	}
	return append(trimComma(b), ']')
}

// appendTurns joins neighbours of one role into one turn: all results of an
// assistant's tool calls have to come in the very next turn.
func (a *anthropic) appendTurns(b []byte, messages []jobs.Message) []byte {
	last := ""
	for i := range messages {
		m := &messages[i]
		role := m.Role
		if role == jobs.ToolRole {
			role = jobs.User
		}
		if role != last {
			if last != "" {
				b = append(trimComma(b), `]},`...)
			}
			b = appendString(append(b, `{"role":`...), role)
			b = append(b, `,"content":[`...)
			last = role
		}
		if own := recalled(m, a.model.Name); own != nil {
			b = append(appendElements(b, own), ',')
		} else {
			b = appendBlocks(b, m)
		}
	}
	if last != "" {
		b = append(trimComma(b), `]}`...)
	}
	return append(b, ']')
}

// appendBlocks leaves out empty texts, which are refused.
func appendBlocks(b []byte, m *jobs.Message) []byte {
	if m.Role == jobs.ToolRole {
		b = appendString(append(b, `{"type":"tool_result","tool_use_id":`...), m.Reply)
		b = appendString(append(b, `,"content":`...), m.Text)
		return append(b, `},`...)
	}
	if m.Text != "" {
		b = appendString(append(b, `{"type":"text","text":`...), m.Text)
		b = append(b, `},`...)
	}
	for i := range m.Images {
		b = appendString(append(b, `{"type":"image","source":{"type":"base64","media_type":`...), m.Images[i].Type)
		b = append(appendBase64(append(b, `,"data":"`...), m.Images[i].Data), `"}},`...)
	}
	for _, call := range m.Calls {
		b = appendString(append(b, `{"type":"tool_use","id":`...), call.ID)
		b = appendString(append(b, `,"name":`...), call.Name)
		b = append(append(b, `,"input":`...), arguments(call)...)
		b = append(b, `},`...)
	}
	return b
}

// arguments must be an object here; a model that wrote something else gets to
// see an empty one beside the error its call was answered with.
func arguments(call jobs.ToolCall) string {
	if valid([]byte(call.Arguments)) && gjson.Parse(call.Arguments).IsObject() {
		return call.Arguments
	}
	return "{}"
}

func (a *anthropic) decode(req *jobs.Request, body []byte) (*jobs.Answer, *jobs.Failure) {
	root, fail := object(a.model.Name, body)
	if fail != nil {
		return nil, fail
	}
	content := root.Get("content")
	if !content.IsArray() {
		return nil, reported(a.model.Name, root, "answered without content")
	}
	answer := &jobs.Answer{
		Finish: jobs.FinishStop,
		Model:  root.Get("model").String(),
		Usage:  messageUsage(root.Get("usage")),
	}
	content.ForEach(func(_, block gjson.Result) bool {
		switch block.Get("type").Str {
		case "text":
			answer.Text += block.Get("text").String()
		case "tool_use":
			answer.Calls = append(answer.Calls, jobs.ToolCall{
				ID: block.Get("id").String(), Name: block.Get("name").String(), Arguments: block.Get("input").Raw,
			})
		}
		return true
	})
	switch root.Get("stop_reason").Str {
	case "max_tokens", "model_context_window_exceeded":
		answer.Finish = jobs.FinishLength
	case "tool_use":
		answer.Finish = jobs.FinishTools
	case "refusal":
		why := "the model refused to answer"
		if said := root.Get("stop_details.explanation").String(); said != "" {
			why += ": " + said
		}
		return nil, refused(answer, a.model.Name, why)
	}
	if len(answer.Calls) > 0 {
		answer.Thoughts = kept(a.model.Name, content, thinks)
	}
	if req.Body != nil {
		answer.Body = toChat(root.Get("id").String(), answer)
	}
	return answer, nil
}

// messageUsage sums what is counted apart here: input that was read from the
// cache, written to it, or neither.
func messageUsage(u gjson.Result) jobs.Usage {
	cached, written := count(u.Get("cache_read_input_tokens")), count(u.Get("cache_creation_input_tokens"))
	output := count(u.Get("output_tokens"))
	return jobs.Usage{
		Input:       count(u.Get("input_tokens")) + written + cached,
		CachedInput: cached,
		CacheWrite:  written,
		Output:      output,
		Reasoning:   min(count(u.Get("output_tokens_details.thinking_tokens")), output),
	}
}
