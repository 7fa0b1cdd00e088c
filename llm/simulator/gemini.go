package simulator

import (
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"
)

// gemini is generateContent, below /v1beta/models and /v1/models.
type gemini struct{}

func (gemini) key(h http.Header) string { return h.Get("X-Goog-Api-Key") }

func (gemini) read(r *http.Request, body gjson.Result) question {
	var q question
	if name, method, _ := strings.Cut(r.PathValue("call"), ":"); method == "generateContent" {
		q.model = name
	}
	q.hearParts("system", body.Get("systemInstruction.parts"))
	body.Get("contents").ForEach(func(_, c gjson.Result) bool {
		role := c.Get("role").String()
		if role == "" {
			role = "user"
		}
		q.hearParts(role, c.Get("parts"))
		if strings.HasPrefix(q.model, "gemini-3") && unsigned(c.Get("parts")) {
			q.wrong = "Function call is missing a thought_signature in functionCall parts."
		}
		return true
	})
	body.Get("tools").ForEach(func(_, t gjson.Result) bool {
		t.Get("functionDeclarations").ForEach(func(_, f gjson.Result) bool {
			schema := f.Get("parametersJsonSchema")
			if !schema.Exists() {
				schema = f.Get("parameters")
			}
			q.offer(f.Raw, f.Get("name").String(), schema)
			return true
		})
		return true
	})
	if choice := body.Get("toolConfig.functionCallingConfig"); choice.Get("mode").Str == "ANY" {
		q.force(choice.Get("allowedFunctionNames.0").String())
	}
	config := body.Get("generationConfig")
	q.limit = config.Get("maxOutputTokens").Int()
	q.json = config.Get("responseMimeType").Str == "application/json"
	q.schema = config.Get("responseJsonSchema")
	if !q.schema.Exists() {
		q.schema = config.Get("responseSchema")
	}
	return q
}

// unsigned reports whether the first call of a turn lacks its signature, which
// models since Gemini 3 refuse.
func unsigned(parts gjson.Result) bool {
	first := parts.Get("#(functionCall)")
	return first.Exists() && first.Get("thoughtSignature").Str == ""
}

func (q *question) hearParts(role string, parts gjson.Result) {
	if !parts.Exists() {
		return
	}
	var said strings.Builder
	learnt := false
	parts.ForEach(func(_, part gjson.Result) bool {
		switch result := part.Get("functionResponse"); {
		case result.Exists():
			q.learn(result.Get("response").Raw)
			learnt = true
		case part.Get("functionCall").Exists():
			q.input += tokens(part.Raw)
		case part.Get("inlineData").Exists() || part.Get("fileData").Exists():
			q.see()
		default:
			said.WriteString(part.Get("text").String())
		}
		return true
	})
	if said.Len() > 0 || !learnt {
		q.speak(role, said.String())
	}
}

var geminiStatus = map[int]string{
	http.StatusBadRequest: "INVALID_ARGUMENT", http.StatusUnauthorized: "UNAUTHENTICATED",
	http.StatusForbidden: "PERMISSION_DENIED", http.StatusNotFound: "NOT_FOUND",
	http.StatusTooManyRequests: "RESOURCE_EXHAUSTED", http.StatusInternalServerError: "INTERNAL",
	http.StatusServiceUnavailable: "UNAVAILABLE", http.StatusGatewayTimeout: "DEADLINE_EXCEEDED",
}

func (gemini) problem(b []byte, p *problem) []byte {
	message := p.message
	if p.status == http.StatusUnauthorized {
		message = "API key not valid. Please pass a valid API key."
	}
	if p.code == "context_length_exceeded" {
		message = "The input token count exceeds the maximum number of tokens allowed. " + message
	}
	b = strconv.AppendInt(append(b, `{"error":{"code":`...), int64(p.status), 10)
	b = gjson.AppendJSONString(append(b, `,"message":`...), message)
	b = append(b, `,"status":"`+geminiStatus[p.status]+`"`...)
	if p.wait > 0 {
		b = append(b, `,"details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"`...)
		b = strconv.AppendFloat(b, p.wait.Seconds(), 'f', 3, 64)
		b = append(b, `s"}]`...)
	}
	return append(b, `}}`...)
}

// quota is nothing: Gemini does not say what is left.
func (gemini) quota(http.Header, *quota, time.Time) {}

// later says nothing either: when to come back is in the body.
func (gemini) later(http.Header, time.Duration) {}

func (gemini) answer(b []byte, id string, q *question, r *reply) []byte {
	b = append(b, `{"candidates":[{`...)
	if r.finish != refusedIt {
		b = append(b, `"content":{"parts":[`...)
		for i, c := range r.calls {
			b = gjson.AppendJSONString(append(separate(b, i), `{"functionCall":{"name":`...), c.Name)
			b = append(append(append(b, `,"args":`...), c.object()...), '}')
			if i == 0 {
				b = append(b, `,"thoughtSignature":"`+base64.StdEncoding.EncodeToString([]byte(id))+`"`...)
			}
			b = append(b, '}')
		}
		if len(r.calls) == 0 {
			b = append(gjson.AppendJSONString(append(b, `{"text":`...), r.text), '}')
		}
		b = append(b, `],"role":"model"},`...)
	}
	b = append(b, `"finishReason":"`...)
	b = append(b, [...]string{"STOP", "MAX_TOKENS", "SAFETY", "STOP"}[r.finish]...)
	b = append(b, `","index":0}],"modelVersion":`...)
	b = gjson.AppendJSONString(b, q.model)
	b = append(b, `,"responseId":"`+id+`"`...)
	if !r.silent {
		b = strconv.AppendInt(append(b, `,"usageMetadata":{"promptTokenCount":`...), r.input, 10)
		b = strconv.AppendInt(append(b, `,"candidatesTokenCount":`...), r.output-r.reasoning, 10)
		b = strconv.AppendInt(append(b, `,"thoughtsTokenCount":`...), r.reasoning, 10)
		b = strconv.AppendInt(append(b, `,"cachedContentTokenCount":`...), r.cached, 10)
		b = strconv.AppendInt(append(b, `,"totalTokenCount":`...), r.input+r.output, 10)
		b = append(b, '}')
	}
	return append(b, '}')
}
