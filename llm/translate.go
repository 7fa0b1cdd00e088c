package llm

import (
	"encoding/base64"
	"slices"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/drover-batch/drover/jobs"
)

// harmless are members of a chat completion that change nothing another
// protocol could be asked for.
var harmless = []string{
	"model", "stream", "stream_options", "user", "metadata", "store", "seed", "service_tier",
	"prompt_cache_key", "safety_identifier",
}

// fromChat translates a ready chat completion into a request of messages. What
// has no equivalent is refused rather than dropped, and as Refused, so that
// the chain goes on to a model that can take it.
func fromChat(model *jobs.Model, req *jobs.Request) (*jobs.Request, sampling, *jobs.Failure) {
	var s sampling
	if req.Endpoint != chatEndpoint {
		return nil, s, untranslatable(model, req.Endpoint)
	}
	m, fail := members(req.Body)
	if fail == nil {
		fail = m.foreign()
	}
	if fail != nil {
		return nil, s, fail
	}
	out := &jobs.Request{}
	gjson.ParseBytes(req.Body).ForEach(func(key, value gjson.Result) bool {
		if value.Type == gjson.Null || slices.Contains(harmless, key.Str) {
			return true
		}
		if schema := value.Get("json_schema.schema"); key.Str == "response_format" && model.Structured &&
			value.Get("type").Str == "json_schema" && !(model.Provider == "anthropic" && open(schema, 0)) {
			out.Schema = []byte(schema.Raw)
			return true
		}
		if !translate(out, &s, key.Str, value) {
			fail = untranslatable(model, strconv.Quote(key.Str))
		}
		return fail == nil
	})
	if fail == nil && !model.Vision && hasImages(out) {
		fail = blind(model)
	}
	return out, s, fail
}

func untranslatable(model *jobs.Model, what string) *jobs.Failure {
	return jobs.Failf(jobs.Refused, "%s speaks the %s protocol, which has no equivalent of the request's %s", model.Name, model.Provider, what)
}

// translate takes one member over and reports whether it could.
func translate(out *jobs.Request, s *sampling, name string, v gjson.Result) bool {
	switch name {
	case "messages":
		return translateMessages(out, v)
	case "tools":
		return translateTools(out, v)
	case "max_tokens", "max_completion_tokens":
		s.limit = int(count(v))
	case "temperature":
		t := v.Float()
		s.temperature = &t
	case "top_p":
		p := v.Float()
		s.topP = &p
	case "stop":
		for _, text := range v.Array() { // a single string reads as a list of one
			s.stop = append(s.stop, text.String())
		}
	case "n":
		return v.Int() == 1
	case "frequency_penalty", "presence_penalty":
		return v.Float() == 0
	case "logprobs":
		return !v.Bool()
	case "response_format":
		return v.Get("type").Str == "text"
	case "tool_choice":
		return s.choose(v)
	case "reasoning_effort":
		s.effort = v.String()
	case "parallel_tool_calls":
		return v.Bool() // which is what everybody does
	default:
		return false
	}
	return true
}

// choose takes over which tool has to be called.
func (s *sampling) choose(v gjson.Result) bool {
	switch v.Str {
	case "auto":
	case "required":
		s.mustCall = anyTool
	default:
		s.mustCall = v.Get("function.name").String()
		return s.mustCall != ""
	}
	return true
}

func translateMessages(out *jobs.Request, list gjson.Result) bool {
	ok := list.IsArray()
	list.ForEach(func(_, m gjson.Result) bool {
		content := m.Get("content")
		images, fine := pictures(content)
		ok = ok && fine
		switch role := m.Get("role").Str; role {
		case "system", "developer":
			if out.System != "" {
				out.System += "\n\n"
			}
			out.System += text(content)
		case jobs.User, jobs.Assistant, jobs.ToolRole:
			out.Messages = append(out.Messages, jobs.Message{
				Role: role, Text: text(content),
				Calls: chatCalls(m.Get("tool_calls")), Reply: m.Get("tool_call_id").String(), Images: images,
			})
		default:
			ok = false
		}
		return ok
	})
	return ok
}

// pictures are the images of a message that carries them in itself; not fine
// are addresses, which somebody would have to fetch, and other kinds of parts.
func pictures(content gjson.Result) (images []jobs.Image, fine bool) {
	if !content.IsArray() {
		return nil, true
	}
	fine = true
	content.ForEach(func(_, part gjson.Result) bool {
		switch part.Get("type").Str {
		case "text":
		case "image_url":
			head, data, found := strings.Cut(part.Get("image_url.url").String(), ";base64,")
			kind, isData := strings.CutPrefix(head, "data:")
			raw, err := base64.StdEncoding.DecodeString(data)
			fine = found && isData && err == nil
			images = append(images, jobs.Image{Type: kind, Data: raw})
		default:
			fine = false
		}
		return fine
	})
	return images, fine
}

func translateTools(out *jobs.Request, list gjson.Result) bool {
	ok := list.IsArray()
	list.ForEach(func(_, t gjson.Result) bool {
		ok = t.Get("type").Str == "function"
		out.Tools = append(out.Tools, jobs.Tool{
			Name:        t.Get("function.name").String(),
			Description: t.Get("function.description").String(),
			Schema:      []byte(t.Get("function.parameters").Raw),
		})
		return ok
	})
	return ok
}

// toChat writes the answer as the chat completion that was asked for.
func toChat(id string, a *jobs.Answer) []byte {
	b := make([]byte, 0, 512+len(a.Text))
	b = appendString(append(b, `{"id":`...), id)
	b = appendString(append(b, `,"object":"chat.completion","model":`...), a.Model)
	b = append(b, `,"choices":[{"index":0,"message":`...)
	b = appendChatMessage(b, &jobs.Message{Role: jobs.Assistant, Text: a.Text, Calls: a.Calls}, form{})
	b = appendString(append(b, `,"finish_reason":`...), a.Finish)
	b = strconv.AppendInt(append(b, `}],"usage":{"prompt_tokens":`...), a.Usage.Input, 10)
	b = strconv.AppendInt(append(b, `,"completion_tokens":`...), a.Usage.Output, 10)
	b = strconv.AppendInt(append(b, `,"total_tokens":`...), a.Usage.Total(), 10)
	b = strconv.AppendInt(append(b, `,"prompt_tokens_details":{"cached_tokens":`...), a.Usage.CachedInput, 10)
	return append(b, `}}}`...)
}
