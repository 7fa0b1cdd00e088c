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

// blocks are all that an assistant of Anthropic's said, if it thought: the blocks
// have to come back in their order, and no letter changed.
func blocks(model string, content gjson.Result) *jobs.Thoughts {
	for _, block := range content.Array() {
		if kind := block.Get("type").Str; kind == "thinking" || kind == "redacted_thinking" {
			return &jobs.Thoughts{Model: model, Body: json.RawMessage(content.Raw)}
		}
	}
	return nil
}

// signed are all parts of what Gemini said, if any is signed.
func signed(model string, parts gjson.Result) *jobs.Thoughts {
	for _, part := range parts.Array() {
		if part.Get("thoughtSignature").Str != "" {
			return &jobs.Thoughts{Model: model, Body: json.RawMessage(parts.Raw)}
		}
	}
	return nil
}

// encrypted are all items of a response, if its reasoning came along.
func encrypted(model string, output gjson.Result) *jobs.Thoughts {
	for _, item := range output.Array() {
		if item.Get("type").Str == "reasoning" && item.Get("encrypted_content").Str != "" {
			return &jobs.Thoughts{Model: model, Body: json.RawMessage(output.Raw)}
		}
	}
	return nil
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
