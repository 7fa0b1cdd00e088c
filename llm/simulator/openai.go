package simulator

import (
	"net/http"
	"strconv"
	"time"

	"github.com/tidwall/gjson"
)

// openAI is what OpenAI's endpoints have in common.
type openAI struct{ headers }

func (openAI) key(h http.Header) string { return bearer(h) }

func (openAI) problem(b []byte, p *problem) []byte {
	status, code, message := p.status, p.code, p.message
	kind := "invalid_request_error"
	switch {
	case status == http.StatusUnauthorized:
		code = "invalid_api_key"
	case status == http.StatusTooManyRequests:
		kind = "requests"
	case status == http.StatusPaymentRequired:
		kind, code = "insufficient_quota", "insufficient_quota"
	case status >= 500:
		kind = "server_error"
	}
	b = gjson.AppendJSONString(append(b, `{"error":{"message":`...), message)
	b = append(b, `,"type":"`+kind+`","param":null,"code":`...)
	if code == "" {
		return append(b, `null}}`...)
	}
	return append(b, `"`+code+`"}}`...)
}

func (openAI) quota(h http.Header, left *quota, _ time.Time) {
	set := func(name string, g gauge) {
		if g.limit > 0 {
			h.Set("X-Ratelimit-Limit-"+name, strconv.FormatInt(g.limit, 10))
			h.Set("X-Ratelimit-Remaining-"+name, strconv.FormatInt(g.left, 10))
			h.Set("X-Ratelimit-Reset-"+name, g.reset.Round(time.Millisecond).String())
		}
	}
	set("Requests", left.requests)
	set("Tokens", left.tokens)
}

// chat is /v1/chat/completions.
type chat struct{ openAI }

func (chat) read(_ *http.Request, body gjson.Result) question {
	var q question
	body.ForEach(func(key, value gjson.Result) bool {
		switch key.Str {
		case "model":
			q.model = value.String()
		case "messages":
			value.ForEach(func(_, m gjson.Result) bool {
				q.hearChat(m)
				return true
			})
		case "tools":
			value.ForEach(func(_, t gjson.Result) bool {
				q.offer(t.Raw, t.Get("function.name").String(), t.Get("function.parameters"))
				return true
			})
		case "max_tokens", "max_completion_tokens":
			q.limit = max(q.limit, value.Int())
		case "response_format":
			q.want(value.Get("type").Str, value.Get("json_schema.schema"))
		}
		return true
	})
	if choice := body.Get("tool_choice"); choice.Str == "required" || choice.IsObject() {
		q.force(choice.Get("function.name").String())
	}
	return q
}

func (q *question) hearChat(m gjson.Result) {
	if calls := m.Get("tool_calls"); calls.Exists() {
		q.input += tokens(calls.Raw)
	}
	role := m.Get("role").String()
	if role == "tool" {
		q.input += 3
		q.learn(plain(m.Get("content")))
		return
	}
	q.hear(role, m.Get("content"))
}

// want takes in what format the answer has to have, in OpenAI's words.
func (q *question) want(format string, schema gjson.Result) {
	q.json = format == "json_object" || format == "json_schema"
	if format == "json_schema" {
		q.schema = schema
	}
}

func (chat) answer(b []byte, id string, q *question, r *reply) []byte {
	b = append(b, `{"id":"chatcmpl-`...)
	b = append(b, id...)
	b = append(b, `","object":"chat.completion","created":`...)
	b = strconv.AppendInt(b, time.Now().Unix(), 10)
	b = gjson.AppendJSONString(append(b, `,"model":`...), q.model)
	b = append(b, `,"choices":[{"index":0,"message":{"role":"assistant","content":`...)
	switch r.finish {
	case refusedIt:
		b = gjson.AppendJSONString(append(b, `null,"refusal":`...), r.text)
	case callsTool:
		b = append(b, `null,"tool_calls":[`...)
		for i, c := range r.calls {
			b = append(separate(b, i), `{"id":"call_`+numbered(id, i)+`","type":"function","function":{"name":`...)
			b = gjson.AppendJSONString(append(gjson.AppendJSONString(b, c.Name), `,"arguments":`...), c.arguments())
			b = append(b, `}}`...)
		}
		b = append(b, ']')
	default:
		b = gjson.AppendJSONString(b, r.text)
	}
	b = append(b, `},"finish_reason":"`...)
	b = append(b, [...]string{"stop", "length", "stop", "tool_calls"}[r.finish]...)
	b = append(b, `"}]`...)
	if !r.silent {
		b = r.usage(append(b, `,"usage":`...), "prompt_tokens", "completion_tokens")
	}
	return append(b, '}')
}

// usage writes what was used, under either endpoint's names.
func (r *reply) usage(b []byte, input, output string) []byte {
	b = strconv.AppendInt(append(b, `{"`+input+`":`...), r.input, 10)
	b = strconv.AppendInt(append(b, `,"`+output+`":`...), r.output, 10)
	b = strconv.AppendInt(append(b, `,"total_tokens":`...), r.input+r.output, 10)
	if r.cached > 0 {
		b = strconv.AppendInt(append(b, `,"`+input+`_details":{"cached_tokens":`...), r.cached, 10)
		b = append(b, '}')
	}
	if r.reasoning > 0 {
		b = strconv.AppendInt(append(b, `,"`+output+`_details":{"reasoning_tokens":`...), r.reasoning, 10)
		b = append(b, '}')
	}
	return append(b, '}')
}

// separate writes the comma before the i-th element of a list.
func separate(b []byte, i int) []byte {
	if i > 0 {
		b = append(b, ',')
	}
	return b
}

// numbered is the id of the i-th of several things in one answer.
func numbered(id string, i int) string {
	if i == 0 {
		return id
	}
	return id + "-" + strconv.Itoa(i+1)
}
