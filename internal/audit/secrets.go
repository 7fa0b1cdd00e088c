package audit

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/drover-batch/drover/jobs"
)

// checkSecrets: no secret is written anywhere, and what documents say nowhere
// but in documents and answers.
func (a *Audit) checkSecrets() {
	both := slices.Concat(a.Secrets, a.Confidences)
	for _, t := range a.Texts {
		a.search(Job{}, t.Name, t.Text, both)
	}
	for _, o := range a.Outcomes {
		job := Job{o.Batch, o.CustomID}
		a.search(job, "its outcome", text(o.Outcome), a.Secrets)
		a.search(job, "the errors of its outcome", text(withoutAnswer(o.Outcome)), a.Confidences)
	}
	for _, l := range a.Letters {
		job := Job{l.Job.Batch, l.Job.CustomID}
		a.search(job, "its dead letter", text(l.Job)+text(l.Outcome), a.Secrets)
		a.search(job, "the errors of its dead letter", text(withoutAnswer(l.Outcome)), a.Confidences)
	}
	for _, w := range a.Wastes {
		a.search(a.names[w.Job], "its waste", text(w), both)
	}
}

func (a *Audit) search(job Job, where, text string, secrets []string) {
	for _, s := range secrets {
		if strings.Contains(text, s) {
			a.object(job, "%s gives away %q", where, s)
		}
	}
}

// withoutAnswer is an outcome but for what a model wrote, which may repeat what
// it was told.
func withoutAnswer(o *jobs.Outcome) *jobs.Outcome {
	if o == nil {
		return nil
	}
	bare := *o
	bare.Answer, bare.Response, bare.Transcript, bare.Rejected = "", nil, nil, nil
	return &bare
}

func text(v any) string {
	data, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(data)
}
