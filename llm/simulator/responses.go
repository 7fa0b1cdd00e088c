package simulator

import (
	"net/http"
	"strconv"
	"time"

	"github.com/tidwall/gjson"
)

// responses is /v1/responses.
type responses struct{ openAI }

func (responses) read(_ *http.Request, body gjson.Result) question {
	q := question{model: body.Get("model").String(), limit: body.Get("max_output_tokens").Int()}
	if input := body.Get("input"); input.IsArray() {
		input.ForEach(func(_, item gjson.Result) bool {
			q.hearItem(item)
			return true
		})
	} else {
		q.speak("user", input.String())
	}
	instructions := body.Get("instructions").String()
	q.system += instructions
	q.input += tokens(instructions)
	body.Get("tools").ForEach(func(_, t gjson.Result) bool {
		q.offer(t.Raw, t.Get("name").String(), t.Get("parameters"))
		return true
	})
	if choice := body.Get("tool_choice"); choice.Str == "required" || choice.IsObject() {
		q.force(choice.Get("name").String())
	}
	q.want(body.Get("text.format.type").Str, body.Get("text.format.schema"))
	return q
}

func (q *question) hearItem(item gjson.Result) {
	switch item.Get("type").Str {
	case "function_call", "reasoning":
		q.input += tokens(item.Raw)
		if !q.speaking {
			q.turns++
		}
		q.speaking = true
	case "function_call_output":
		q.input += 3
		q.learn(plain(item.Get("output")))
	default:
		q.hear(item.Get("role").String(), item.Get("content"))
	}
}

func (responses) answer(b []byte, id string, q *question, r *reply) []byte {
	status := `"completed"`
	if r.finish == cutShort {
		status = `"incomplete","incomplete_details":{"reason":"max_output_tokens"}`
	}
	b = append(b, `{"id":"resp_`+id+`","object":"response","created_at":`...)
	b = strconv.AppendInt(b, time.Now().Unix(), 10)
	b = append(b, `,"status":`+status+`,"error":null,"model":`...)
	b = gjson.AppendJSONString(b, q.model)
	b = append(b, `,"output":[`...)
	if r.reasoning > 0 {
		b = append(b, `{"type":"reasoning","id":"rs_`+id+`","summary":[]},`...)
	}
	if r.finish == callsTool {
		b = appendItems(b, id, r.calls)
	} else {
		part := `{"type":"output_text","annotations":[],"text":`
		if r.finish == refusedIt {
			part = `{"type":"refusal","refusal":`
		}
		b = append(b, `{"type":"message","id":"msg_`+id+`","status":"completed","role":"assistant","content":[`+part...)
		b = append(gjson.AppendJSONString(b, r.text), `}]}`...)
	}
	b = append(b, ']')
	if !r.silent {
		b = r.usage(append(b, `,"usage":`...), "input_tokens", "output_tokens")
	}
	return append(b, '}')
}

func appendItems(b []byte, id string, calls []Call) []byte {
	for i, c := range calls {
		b = append(separate(b, i), `{"type":"function_call","status":"completed","id":"fc_`+numbered(id, i)+`","call_id":"call_`+numbered(id, i)+`","name":`...)
		b = gjson.AppendJSONString(append(gjson.AppendJSONString(b, c.Name), `,"arguments":`...), c.arguments())
		b = append(b, '}')
	}
	return b
}
