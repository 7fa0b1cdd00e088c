package llm

import (
	"strconv"

	"github.com/tidwall/gjson"

	"github.com/drover-batch/drover/jobs"
)

// responses speaks OpenAI's responses endpoint. Ready requests go to the
// endpoint they name. Nothing is stored at the provider.
type responses struct {
	openAI
}

func (r *responses) encode(req *jobs.Request, limit int) (string, []byte, *jobs.Failure) {
	if req.Body != nil {
		return r.openAI.encode(req, limit)
	}
	b := make([]byte, 0, 256+size(req))
	b = appendString(append(b, `{"model":`...), r.model.Upstream)
	b = append(b, `,"store":false`...)
	if req.System != "" {
		b = appendString(append(b, `,"instructions":`...), req.System)
	}
	b = append(b, `,"input":[`...)
	messages := suited(req.Messages, openID)
	for i := range messages {
		if own := recalled(&messages[i], r.model.Name); own != nil {
			b = append(appendElements(b, own), ',')
		} else {
			b = appendItems(b, &messages[i])
		}
	}
	b = append(trimComma(b), ']')
	if len(req.Tools) > 0 {
		b = appendItemTools(append(b, `,"tools":`...), req.Tools)
		if reasoner.MatchString(bare(r.model.Upstream)) {
			b = append(b, `,"include":["reasoning.encrypted_content"]`...) // or it would have to be stored
		}
	}
	if r.model.Structured && len(req.Schema) > 0 {
		b = appendFormat(append(b, `,"text":{"format":{"type":"json_schema",`...), req.Schema)
		b = append(b, `}}`...)
	}
	if t := r.model.Temperature; t != nil {
		b = strconv.AppendFloat(append(b, `,"temperature":`...), *t, 'g', -1, 64)
	}
	if e := r.model.Effort; e != "" {
		b = append(appendString(append(b, `,"reasoning":{"effort":`...), e), '}')
	}
	b = strconv.AppendInt(append(b, `,"max_output_tokens":`...), int64(limit), 10)
	return "/responses", append(b, '}'), nil
}

// appendItems writes a message as one item, and one for each of its calls.
func appendItems(b []byte, m *jobs.Message) []byte {
	if m.Role == jobs.ToolRole {
		b = appendString(append(b, `{"type":"function_call_output","call_id":`...), m.Reply)
		b = appendString(append(b, `,"output":`...), m.Text)
		return append(b, `},`...)
	}
	if m.Text != "" || len(m.Calls) == 0 {
		b = appendString(append(b, `{"role":`...), m.Role)
		b = append(b, `,"content":`...)
		if len(m.Images) > 0 {
			b = appendString(append(b, `[{"type":"input_text","text":`...), m.Text)
			for i := range m.Images {
				b = appendDataURL(append(b, `},{"type":"input_image","detail":"high","image_url":`...), &m.Images[i])
			}
			b = append(b, `}]`...)
		} else {
			b = appendString(b, m.Text)
		}
		b = append(b, `},`...)
	}
	for _, call := range m.Calls {
		b = appendString(append(b, `{"type":"function_call","call_id":`...), call.ID)
		b = appendString(append(b, `,"name":`...), call.Name)
		b = appendString(append(b, `,"arguments":`...), call.Arguments)
		b = append(b, `},`...)
	}
	return b
}

// appendItemTools says strict: false, as the default would refuse schemas with
// optional arguments.
func appendItemTools(b []byte, tools []jobs.Tool) []byte {
	b = append(b, '[')
	for _, tool := range tools {
		b = appendString(append(b, `{"type":"function","name":`...), tool.Name)
		b = appendString(append(b, `,"description":`...), tool.Description)
		b = append(append(b, `,"strict":false,"parameters":`...), schema(tool)...)
		b = append(b, `},`...)
	}
	return append(trimComma(b), ']')
}

func (r *responses) decode(req *jobs.Request, body []byte) (*jobs.Answer, *jobs.Failure) {
	if req.Body != nil {
		return r.openAI.decode(req, body)
	}
	root, fail := object(r.model.Name, body)
	if fail != nil {
		return nil, fail
	}
	a, fail := decodeResponse(r.model.Name, root)
	if fail == nil && len(a.Calls) > 0 {
		a.Thoughts = kept(r.model.Name, root.Get("output"), encrypted)
	}
	return a, fail
}

// decodeResponse reads an answer of the responses endpoint.
func decodeResponse(model string, root gjson.Result) (*jobs.Answer, *jobs.Failure) {
	output := root.Get("output")
	status := root.Get("status").String()
	switch {
	case !output.IsArray(), status == "failed", status == "cancelled", status == "queued", status == "in_progress":
		return nil, reported(model, root, "answered without an output")
	}
	a := &jobs.Answer{
		Finish: jobs.FinishStop,
		Usage:  chatUsage(root.Get("usage")),
		Model:  root.Get("model").String(),
	}
	var refusal string
	output.ForEach(func(_, item gjson.Result) bool {
		switch item.Get("type").String() {
		case "message":
			a.Text += text(item.Get("content"))
			refusal += item.Get(`content.#(type=="refusal").refusal`).String()
		case "function_call":
			a.Finish = jobs.FinishTools
			a.Calls = append(a.Calls, jobs.ToolCall{
				ID:        item.Get("call_id").String(),
				Name:      item.Get("name").String(),
				Arguments: item.Get("arguments").String(),
			})
		}
		return true
	})
	switch root.Get("incomplete_details.reason").String() {
	case "max_output_tokens":
		a.Finish = jobs.FinishLength
	case "content_filter":
		return nil, refused(a, model, "its content filter stopped the answer")
	default:
		if status == "incomplete" {
			a.Finish = jobs.FinishLength
		}
	}
	if refusal != "" {
		return nil, refused(a, model, refusal)
	}
	return a, nil
}
