package llm

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/tidwall/gjson"

	"github.com/drover-batch/drover/jobs"
)

// recalled is what the model itself thought behind a message, in its provider's
// form; nil if there is nothing, or another model thought it.
func recalled(m *jobs.Message, model string) []byte {
	if m.Thoughts == nil || m.Thoughts.Model != model {
		return nil
	}
	return m.Thoughts.Body
}

// appendElements writes what is in a list, as a part of another.
func appendElements(b, list []byte) []byte {
	list = bytes.TrimSpace(list)
	return append(b, list[1:len(list)-1]...)
}

// kept is a list of what an assistant said, in its order and to the letter, if any
// of it has to come back; nil if not.
func kept(model string, list gjson.Result, thought func(gjson.Result) bool) *jobs.Thoughts {
	if !slices.ContainsFunc(list.Array(), thought) {
		return nil
	}
	return &jobs.Thoughts{Model: model, Body: json.RawMessage(list.Raw)}
}

// thinks reports whether a block of Anthropic's has to come back, and all others
// with it.
func thinks(block gjson.Result) bool {
	kind := block.Get("type").Str
	return kind == "thinking" || kind == "redacted_thinking"
}

// signed reports whether a part of Gemini's has to.
func signed(part gjson.Result) bool { return part.Get("thoughtSignature").Str != "" }

// encrypted reports whether an item of a response is reasoning that came along.
func encrypted(item gjson.Result) bool {
	return item.Get("type").Str == "reasoning" && item.Get("encrypted_content").Str != ""
}

// reasoned are the members of a chat completion's message that have to come back
// with it: DeepSeek and Moonshot want reasoning_content, OpenRouter
// reasoning_details, and Gemini's compatible endpoint what it signed of the calls.
func reasoned(model string, message gjson.Result) *jobs.Thoughts {
	body := []byte{'{'}
	keep := func(name string, v gjson.Result) {
		body = append(appendString(body, name), ':')
		body = append(append(body, v.Raw...), ',')
	}
	if v := message.Get("reasoning_content"); v.Type == gjson.String {
		keep("reasoning_content", v)
	}
	if v := message.Get("reasoning_details"); v.IsArray() {
		keep("reasoning_details", v)
	}
	if v := message.Get("tool_calls"); v.Get("#.extra_content").Get("0").Exists() {
		keep("tool_calls", v)
	}
	if len(body) == 1 {
		return nil
	}
	return &jobs.Thoughts{Model: model, Body: append(trimComma(body), '}')}
}

// reasons reports whether every message of the assistant has to say what it
// thought, be it nothing: where it was said of one that called tools, and where
// the provider always wants it.
func (o *openAI) reasons(req *jobs.Request) bool {
	return slices.ContainsFunc(req.Messages, func(m jobs.Message) bool {
		return len(m.Calls) > 0 && (o.thinking || gjson.GetBytes(recalled(&m, o.model.Name), "reasoning_content").Exists())
	})
}

// thinkingHosts refuse a conversation with tools in which an assistant's message
// lacks its reasoning_content, also one that another model wrote.
var thinkingHosts = []string{"api.deepseek.com", "api.moonshot.ai", "api.moonshot.cn"}
