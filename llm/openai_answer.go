package llm

import (
	"strings"

	"github.com/tidwall/gjson"

	"github.com/drover-batch/drover/jobs"
)

func (o *openAI) decode(req *jobs.Request, body []byte) (*jobs.Answer, *jobs.Failure) {
	root, fail := object(o.model.Name, body)
	if fail != nil {
		return nil, fail
	}
	switch req.Endpoint {
	case embeddingsEndpoint:
		return decodeEmbeddings(o.model.Name, root)
	case responsesEndpoint:
		return decodeResponse(o.model.Name, root)
	}
	return decodeChat(o.model.Name, root)
}

// decodeChat reads the first choice; a body keeps them all.
func decodeChat(model string, root gjson.Result) (*jobs.Answer, *jobs.Failure) {
	a := &jobs.Answer{Finish: jobs.FinishStop}
	var message gjson.Result
	var finish string
	root.ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "choices":
			message, finish = firstChoice(value)
		case "usage":
			a.Usage = chatUsage(value)
		case "model":
			a.Model = value.String()
		}
		return true
	})
	if !message.IsObject() {
		return nil, reported(model, root, "answered without a choice")
	}
	var refusal string
	message.ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "content":
			a.Text = text(value)
		case "refusal":
			refusal = value.String()
		case "tool_calls":
			a.Calls = chatCalls(value)
		}
		return true
	})
	switch finish {
	case "length", "model_length", "max_tokens", "model_context_window_exceeded":
		a.Finish = jobs.FinishLength
	case "tool_calls", "function_call":
		a.Finish = jobs.FinishTools
	case "content_filter", "sensitive": // the latter Zhipu's
		return nil, refused(a, model, "its content filter stopped the answer")
	case "error", "insufficient_system_resource", "abort", "network_error":
		if said := root.Get("choices.0"); said.Get("error").IsObject() { // OpenRouter's
			root = said
		}
		return nil, reported(model, root, "broke off its answer: "+finish)
	}
	if why, ok := strings.CutPrefix(finish, "content_filter: "); ok { // Gemini's compatible endpoint
		return nil, refused(a, model, "its content filter stopped the answer: "+why)
	}
	if refusal != "" {
		return nil, refused(a, model, refusal)
	}
	if len(a.Calls) > 0 {
		a.Thoughts = reasoned(model, message)
		if a.Finish == jobs.FinishStop {
			a.Finish = jobs.FinishTools // as some servers say for forced tools
		}
	}
	return a, nil
}

// firstChoice reads the message of the first choice, and why it ended.
func firstChoice(choices gjson.Result) (message gjson.Result, finish string) {
	if !choices.IsArray() {
		return message, finish
	}
	choices.ForEach(func(_, choice gjson.Result) bool {
		choice.ForEach(func(key, value gjson.Result) bool {
			switch key.Str {
			case "message":
				message = value
			case "finish_reason":
				finish = value.String()
			}
			return true
		})
		return false
	})
	return message, finish
}

// text is the content of a message, be it a string or a list of parts.
func text(content gjson.Result) string {
	if !content.IsArray() {
		return content.String()
	}
	var b strings.Builder
	content.ForEach(func(_, part gjson.Result) bool {
		b.WriteString(part.Get("text").String())
		return true
	})
	return b.String()
}

// chatCalls reads a list of calls. Some servers say null where there are none.
func chatCalls(list gjson.Result) []jobs.ToolCall {
	if !list.IsArray() {
		return nil
	}
	var calls []jobs.ToolCall
	list.ForEach(func(_, call gjson.Result) bool {
		calls = append(calls, jobs.ToolCall{
			ID:        call.Get("id").String(),
			Name:      call.Get("function.name").String(),
			Arguments: call.Get("function.arguments").String(),
		})
		return true
	})
	return calls
}

// chatUsage reads the usage of all three endpoints, which name things either
// way. Where the total exceeds the sum, the rest is reasoning that the
// provider counts apart but bills as output: xAI and Gemini do.
func chatUsage(u gjson.Result) jobs.Usage {
	var usage jobs.Usage
	var total int64
	u.ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "prompt_tokens", "input_tokens":
			usage.Input = count(value)
		case "completion_tokens", "output_tokens":
			usage.Output = count(value)
		case "total_tokens":
			total = count(value)
		case "prompt_cache_hit_tokens", "cached_tokens": // DeepSeek, Moonshot
			usage.CachedInput = max(usage.CachedInput, count(value))
		case "prompt_tokens_details", "input_tokens_details":
			usage.CachedInput = max(usage.CachedInput, count(value.Get("cached_tokens")))
			usage.CacheWrite = count(value.Get("cache_write_tokens"))
		case "completion_tokens_details", "output_tokens_details":
			usage.Reasoning = count(value.Get("reasoning_tokens"))
		}
		return true
	})
	usage.Output = max(usage.Output, total-usage.Input)
	usage.CachedInput = min(usage.CachedInput, usage.Input)
	usage.CacheWrite = min(usage.CacheWrite, usage.Input-usage.CachedInput)
	usage.Reasoning = min(usage.Reasoning, usage.Output)
	return usage
}

// mostTokens is ten times what the largest models take, and far less than the -1
// of a server that has no sign for it.
const mostTokens = 100_000_000

// count reads a number of tokens. One that no model could have used reads as
// absent: it would use up every budget and hold up the quota for days.
func count(v gjson.Result) int64 {
	if n := v.Int(); n > 0 && n <= mostTokens {
		return n
	}
	return 0
}
