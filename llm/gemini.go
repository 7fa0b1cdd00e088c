package llm

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"

	"github.com/drover-batch/drover/jobs"
)

// gemini speaks generateContent of the Gemini API. Ready chat completions are
// translated both ways, as far as they have an equivalent.
type gemini struct {
	model *jobs.Model
}

func (g *gemini) authorize(h http.Header) {
	if !g.model.Key.Empty() {
		h["X-Goog-Api-Key"] = []string{g.model.Key.Reveal()}
	}
}

func (g *gemini) encode(req *jobs.Request, limit int) (string, []byte, *jobs.Failure) {
	var extra sampling
	if req.Body != nil {
		translated, s, fail := fromChat(g.model, req)
		if fail != nil {
			return "", nil, fail
		}
		if s.limit > 0 {
			limit = min(limit, s.limit)
		}
		req, extra = translated, s
	}
	if extra.temperature == nil {
		extra.temperature = g.model.Temperature
	}
	b := make([]byte, 0, 256+size(req))
	b = append(b, '{')
	if req.System != "" {
		b = appendString(append(b, `"systemInstruction":{"parts":[{"text":`...), req.System)
		b = append(b, `}]},`...)
	}
	b = append(g.appendContents(append(b, `"contents":[`...), req.Messages), ',')
	if len(req.Tools) > 0 {
		b = append(appendDeclarations(b, req.Tools), ',')
	}
	b = strconv.AppendInt(append(b, `"generationConfig":{"maxOutputTokens":`...), int64(limit), 10)
	b = extra.append(b, "topP", "stopSequences")
	// A conversation with tools cannot have a schema here.
	if g.model.Structured && len(req.Schema) > 0 && len(req.Tools) == 0 {
		b = append(append(b, `,"responseMimeType":"application/json","responseJsonSchema":`...), req.Schema...)
	}
	b = g.appendThinking(b, cmp.Or(extra.effort, g.model.Effort))
	b = append(b, '}')
	switch name := extra.mustCall; name {
	case "":
	case anyTool:
		b = append(b, `,"toolConfig":{"functionCallingConfig":{"mode":"ANY"}}`...)
	default:
		b = append(appendString(append(b, `,"toolConfig":{"functionCallingConfig":{"mode":"ANY","allowedFunctionNames":[`...), name), `]}}`...)
	}
	name := g.model.Upstream
	if !strings.Contains(name, "/") { // tunedModels/… is another collection
		name = "models/" + name
	}
	return "/" + name + ":generateContent", append(b, '}'), nil
}

// budgets are what Google takes the words for effort for, in tokens, where a model
// knows budgets only.
var budgets = map[string]int64{"none": 0, "minimal": 1024, "low": 1024, "medium": 8192, "high": 24576}

// appendThinking says how hard to think: in words since Gemini 3, in tokens before.
func (g *gemini) appendThinking(b []byte, effort string) []byte {
	if effort == "" {
		return b
	}
	if budget, ok := budgets[effort]; ok && !g.signs() {
		return append(strconv.AppendInt(append(b, `,"thinkingConfig":{"thinkingBudget":`...), budget, 10), '}')
	}
	return append(appendString(append(b, `,"thinkingConfig":{"thinkingLevel":`...), strings.ToUpper(effort)), '}')
}

func appendDeclarations(b []byte, tools []jobs.Tool) []byte {
	b = append(b, `"tools":[{"functionDeclarations":[`...)
	for _, tool := range tools {
		b = appendString(append(b, `{"name":`...), tool.Name)
		b = appendString(append(b, `,"description":`...), tool.Description)
		b = append(append(b, `,"parametersJsonSchema":`...), schema(tool)...)
		b = append(b, `},`...)
	}
	return append(trimComma(b), `]}]`...)
}

// appendContents joins neighbours of one role, as the results of all calls of
// a turn have to come together.
func (g *gemini) appendContents(b []byte, messages []jobs.Message) []byte {
	last := ""
	names := map[string]string{} // of tools, by the id of their call
	for i := range messages {
		m := &messages[i]
		role := "user"
		if m.Role == jobs.Assistant {
			role = "model"
		}
		if role != last {
			if last != "" {
				b = append(trimComma(b), `]},`...)
			}
			b = append(b, `{"role":"`+role+`","parts":[`...)
			last = role
		}
		for _, call := range m.Calls {
			names[call.ID] = call.Name
		}
		if own := recalled(m, g.model.Name); own != nil {
			b = append(appendElements(b, own), ',')
		} else {
			b = g.appendParts(b, m, names[m.Reply])
		}
	}
	if last != "" {
		b = append(trimComma(b), `]}`...)
	}
	return append(b, ']')
}

// unsigned stands for the signature of a call that another model made, or that a
// ready request brings along. Models since Gemini 3 refuse a conversation in which
// the first call of a turn has none; those before know nothing of it.
const unsigned = "skip_thought_signature_validator"

// signs reports whether the model is of Gemini 3 or later.
func (g *gemini) signs() bool {
	name := bare(g.model.Upstream)
	return strings.HasPrefix(name, "gemini-") && !strings.HasPrefix(name, "gemini-1") && !strings.HasPrefix(name, "gemini-2")
}

func (g *gemini) appendParts(b []byte, m *jobs.Message, tool string) []byte {
	if m.Role == jobs.ToolRole {
		b = appendString(append(b, `{"functionResponse":{"name":`...), tool)
		b = appendCallID(b, m.Reply)
		b = appendString(append(b, `,"response":{"output":`...), m.Text)
		return append(b, `}}},`...)
	}
	if m.Text != "" || len(m.Images)+len(m.Calls) == 0 {
		b = append(appendString(append(b, `{"text":`...), m.Text), `},`...)
	}
	for i := range m.Images {
		b = appendString(append(b, `{"inlineData":{"mimeType":`...), m.Images[i].Type)
		b = append(appendBase64(append(b, `,"data":"`...), m.Images[i].Data), `"}},`...)
	}
	for i, call := range m.Calls {
		b = appendString(append(b, `{"functionCall":{"name":`...), call.Name)
		b = appendCallID(b, call.ID)
		b = append(append(append(b, `,"args":`...), arguments(call)...), '}')
		if i == 0 && g.signs() {
			b = append(b, `,"thoughtSignature":"`+unsigned+`"`...)
		}
		b = append(b, `},`...)
	}
	return b
}

// ownID begins the ids that we give to calls which come without one. They are
// not sent.
const ownID = "call-"

func appendCallID(b []byte, id string) []byte {
	if strings.HasPrefix(id, ownID) {
		return b
	}
	return appendString(append(b, `,"id":`...), id)
}

func (g *gemini) decode(req *jobs.Request, body []byte) (*jobs.Answer, *jobs.Failure) {
	root, fail := object(g.model.Name, body)
	if fail != nil {
		return nil, fail
	}
	answer := &jobs.Answer{
		Finish:    jobs.FinishStop,
		Model:     root.Get("modelVersion").String(),
		RequestID: shorten(root.Get("responseId").String(), 128),
		Usage:     geminiUsage(root.Get("usageMetadata")),
	}
	candidate := root.Get("candidates.0")
	if !candidate.IsObject() {
		if why := root.Get("promptFeedback.blockReason").String(); why != "" {
			return nil, refused(answer, g.model.Name, "the prompt was blocked: "+why)
		}
		return nil, reported(g.model.Name, root, "answered without a candidate")
	}
	parts := candidate.Get("content.parts")
	parts.ForEach(func(_, part gjson.Result) bool {
		switch call := part.Get("functionCall"); {
		case call.Exists():
			answer.Calls = append(answer.Calls, geminiCall(call, answer.RequestID, len(answer.Calls)))
		case !part.Get("thought").Bool():
			answer.Text += part.Get("text").String()
		}
		return true
	})
	if fail := g.finish(answer, candidate); fail != nil {
		return nil, fail
	}
	if len(answer.Calls) > 0 {
		answer.Thoughts = kept(g.model.Name, parts, signed)
	}
	if req.Body != nil {
		answer.Body = toChat(answer.RequestID, answer)
	}
	return answer, nil
}

// geminiCall gives a call without an id one that no other turn has.
func geminiCall(call gjson.Result, response string, n int) jobs.ToolCall {
	id := call.Get("id").String()
	if id == "" {
		id = ownID + response + "-" + strconv.Itoa(n)
	}
	args := call.Get("args").Raw
	if args == "" {
		args = "{}"
	}
	return jobs.ToolCall{ID: id, Name: call.Get("name").String(), Arguments: args}
}

// finish takes over why the answer ends. An answer that broke off, for another
// reason than its length, is a failure that was paid for.
func (g *gemini) finish(a *jobs.Answer, candidate gjson.Result) *jobs.Failure {
	switch why := candidate.Get("finishReason").String(); why {
	case "MAX_TOKENS":
		a.Finish = jobs.FinishLength
	case "STOP", "", "FINISH_REASON_UNSPECIFIED", "FUNCTION_CALL": // the last of compatible servers
		if len(a.Calls) > 0 {
			a.Finish = jobs.FinishTools
		}
	case "MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS", "MALFORMED_RESPONSE", "MISSING_THOUGHT_SIGNATURE":
		return &jobs.Failure{Kind: jobs.InvalidAnswer, Code: why, Answer: a,
			Message: g.model.Name + ": it broke off its answer at a call of a tool that makes no sense: " + why}
	case "OTHER", "NO_IMAGE", "IMAGE_OTHER":
		return &jobs.Failure{Kind: jobs.ServerError, Code: why, Answer: a,
			Message: g.model.Name + ": it broke off its answer without saying why"}
	default: // SAFETY, RECITATION, PROHIBITED_CONTENT, BLOCKLIST, SPII, LANGUAGE and what may be added
		fail := refused(a, g.model.Name, "the answer was stopped: "+why+" "+candidate.Get("finishMessage").String())
		fail.Code = why
		return fail
	}
	return nil
}

// geminiUsage adds up what is counted apart: thoughts are billed as output,
// what tools of the provider's own put into the prompt as input.
func geminiUsage(u gjson.Result) jobs.Usage {
	thoughts := count(u.Get("thoughtsTokenCount"))
	usage := jobs.Usage{
		Input:     count(u.Get("promptTokenCount")) + count(u.Get("toolUsePromptTokenCount")),
		Output:    count(u.Get("candidatesTokenCount")) + thoughts,
		Reasoning: thoughts,
	}
	usage.CachedInput = min(count(u.Get("cachedContentTokenCount")), usage.Input)
	return usage
}
