package simulator

import (
	"net/http"
	"strconv"
	"time"

	"github.com/tidwall/gjson"
)

// messages is Anthropic's /v1/messages.
type messages struct{ headers }

func (messages) key(h http.Header) string { return h.Get("X-Api-Key") }

func (messages) read(_ *http.Request, body gjson.Result) question {
	q := question{model: body.Get("model").String(), limit: body.Get("max_tokens").Int()}
	q.system = plain(body.Get("system"))
	q.input = tokens(q.system)
	body.Get("messages").ForEach(func(_, m gjson.Result) bool {
		q.hear(m.Get("role").String(), m.Get("content"))
		return true
	})
	body.Get("tools").ForEach(func(_, t gjson.Result) bool {
		q.offer(t.Raw, t.Get("name").String(), t.Get("input_schema"))
		return true
	})
	switch choice := body.Get("tool_choice"); choice.Get("type").Str {
	case "any", "tool":
		q.force(choice.Get("name").String())
	}
	for _, at := range []string{"output_config.format", "output_format"} {
		if format := body.Get(at); format.Exists() {
			q.want(format.Get("type").Str, format.Get("schema"))
		}
	}
	return q
}

func (messages) problem(b []byte, p *problem) []byte {
	status, message := p.status, p.message
	kind := "invalid_request_error"
	switch {
	case status == http.StatusUnauthorized:
		kind, message = "authentication_error", "invalid x-api-key"
	case status == http.StatusPaymentRequired:
		kind = "billing_error"
	case status == http.StatusForbidden:
		kind = "permission_error"
	case status == http.StatusNotFound:
		kind = "not_found_error"
	case status == http.StatusTooManyRequests:
		kind = "rate_limit_error"
	case status == http.StatusServiceUnavailable, status == 529:
		kind = "overloaded_error"
	case status >= 500:
		kind = "api_error"
	}
	b = append(b, `{"type":"error","error":{"type":"`+kind+`","message":`...)
	b = gjson.AppendJSONString(b, message)
	return append(b, `}}`...)
}

func (messages) quota(h http.Header, left *quota, now time.Time) {
	set := func(name string, g gauge) {
		if g.limit > 0 {
			h.Set("Anthropic-Ratelimit-"+name+"-Limit", strconv.FormatInt(g.limit, 10))
			h.Set("Anthropic-Ratelimit-"+name+"-Remaining", strconv.FormatInt(g.left, 10))
			h.Set("Anthropic-Ratelimit-"+name+"-Reset", now.Add(g.reset).UTC().Format(time.RFC3339))
		}
	}
	set("Requests", left.requests)
	set("Tokens", left.tokens)
}

func (messages) answer(b []byte, id string, q *question, r *reply) []byte {
	b = append(b, `{"id":"msg_`+id+`","type":"message","role":"assistant","model":`...)
	b = gjson.AppendJSONString(b, q.model)
	b = append(b, `,"content":[`...)
	if r.reasoning > 0 {
		b = append(b, `{"type":"thinking","thinking":"","signature":"`+id+`"},`...)
	}
	if r.finish == callsTool {
		for i, c := range r.calls {
			b = append(separate(b, i), `{"type":"tool_use","id":"toolu_`+numbered(id, i)+`","name":`...)
			b = append(append(gjson.AppendJSONString(b, c.Name), `,"input":`...), c.object()...)
			b = append(b, '}')
		}
	} else {
		b = gjson.AppendJSONString(append(b, `{"type":"text","text":`...), r.text)
		b = append(b, '}')
	}
	b = append(b, `],"stop_reason":"`...)
	b = append(b, [...]string{"end_turn", "max_tokens", "refusal", "tool_use"}[r.finish]...)
	b = append(b, `","stop_sequence":null`...)
	if !r.silent {
		b = strconv.AppendInt(append(b, `,"usage":{"input_tokens":`...), r.input-r.cached, 10)
		b = strconv.AppendInt(append(b, `,"cache_creation_input_tokens":0,"cache_read_input_tokens":`...), r.cached, 10)
		b = strconv.AppendInt(append(b, `,"output_tokens":`...), r.output, 10)
		b = strconv.AppendInt(append(b, `,"output_tokens_details":{"thinking_tokens":`...), r.reasoning, 10)
		b = append(b, `}}`...)
	}
	return append(b, '}')
}
