package llm

import (
	"strings"

	"github.com/tidwall/gjson"

	"github.com/drover-batch/drover/jobs"
)

// embeddings asks for the vector of what the user says: the texts of all
// messages, with an empty line in between. Instructions are no part of a
// document and are left out. Ready requests go to the endpoint they name.
type embeddings struct {
	openAI
}

func (e *embeddings) encode(req *jobs.Request, limit int) (string, []byte, *jobs.Failure) {
	if req.Body != nil {
		return e.openAI.encode(req, limit)
	}
	var texts []string
	for i := range req.Messages {
		if m := &req.Messages[i]; m.Role == jobs.User && m.Text != "" {
			texts = append(texts, m.Text)
		}
	}
	if len(texts) == 0 {
		return "", nil, jobs.Failf(jobs.InvalidRequest, "there is no text that %s could make a vector of", e.model.Name)
	}
	b := make([]byte, 0, 64+size(req))
	b = appendString(append(b, `{"model":`...), e.model.Upstream)
	b = appendString(append(b, `,"input":`...), strings.Join(texts, "\n\n"))
	return "/embeddings", append(b, '}'), nil
}

// decode answers with the vector as the JSON array that the provider wrote.
func (e *embeddings) decode(req *jobs.Request, body []byte) (*jobs.Answer, *jobs.Failure) {
	if req.Body != nil {
		return e.openAI.decode(req, body)
	}
	root, fail := object(e.model.Name, body)
	if fail != nil {
		return nil, fail
	}
	a, fail := decodeEmbeddings(e.model.Name, root)
	if fail != nil {
		return nil, fail
	}
	vector := root.Get("data.0.embedding")
	if !vector.IsArray() {
		return nil, jobs.Failf(jobs.ServerError, "%s answered with an embedding that is no list of numbers", e.model.Name)
	}
	a.Text = vector.Raw
	return a, nil
}

// decodeEmbeddings leaves the vectors of a ready request in the answer's body.
func decodeEmbeddings(model string, root gjson.Result) (*jobs.Answer, *jobs.Failure) {
	if !root.Get("data.0").Exists() {
		return nil, reported(model, root, "answered without an embedding")
	}
	usage := chatUsage(root.Get("usage"))
	usage.Input, usage.Output = usage.Total(), 0 // some say the total alone
	return &jobs.Answer{
		Finish: jobs.FinishStop,
		Usage:  usage,
		Model:  root.Get("model").String(),
	}, nil
}
