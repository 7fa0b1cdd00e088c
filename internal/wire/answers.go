package wire

import (
	"fmt"

	"github.com/drover-batch/drover/answers"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/resilience"
)

// demand holds the answers to a job against what its batch demands, and says
// how its document can be asked about in parts. A ready request is passed on
// as it is.
func (w *Worker) demand(t *resilience.Task) error {
	batch, document := t.Batch, &t.Job.Document
	if document.Ready() {
		return nil
	}
	if document.HasText() {
		t.Part = func(text string) (*jobs.Request, error) {
			part := *document
			part.Body = []byte(text)
			return w.prompts.render(batch, &part, nil)
		}
	}
	if !batch.Answer.Any() {
		return nil
	}
	standard, err := w.standards.of(batch.ID, func() (*answers.Standard, error) { return answers.New(batch.Answer) })
	if err != nil {
		return err
	}
	t.Standard, t.Request.Schema = standard.About(document), batch.Answer.Schema
	if name := batch.Answer.Judge; name != "" {
		if t.Judges = w.judges(name); len(t.Judges) == 0 {
			return fmt.Errorf("it wants to be judged by %q, which is no model or chain here", name)
		}
	}
	return nil
}

// judges are the model of that name, or else the models of the chain.
func (w *Worker) judges(name string) []resilience.Link {
	if link, ok := w.links[name]; ok {
		return []resilience.Link{link}
	}
	if chain, ok := w.chains[name]; ok {
		return chain.Links
	}
	return nil
}
