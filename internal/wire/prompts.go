package wire

import (
	"fmt"
	"sync"

	"github.com/drover-batch/drover/documents"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/tools"
)

// perBatch keeps what is made of the batches being worked on.
type perBatch[T any] struct {
	mu   sync.Mutex
	made map[string]func() (T, error) // by batch, and what else it is made of
}

// kept bounds for how many batches it is kept; one too many is made again.
const kept = 512

func (p *perBatch[T]) of(key string, produce func() (T, error)) (T, error) {
	p.mu.Lock()
	made, ok := p.made[key]
	if !ok {
		if p.made == nil || len(p.made) >= kept {
			p.made = make(map[string]func() (T, error))
		}
		made = sync.OnceValues(produce)
		p.made[key] = made
	}
	p.mu.Unlock()
	return made() // without the lock: what takes long for one batch must not hold up others
}

// prompts keeps the parsed prompts.
type prompts struct{ perBatch[*documents.Prompt] }

func (p *prompts) render(b *jobs.Batch, d *jobs.Document, kit *tools.Kit) (*jobs.Request, error) {
	prompt, err := p.of(promptKey(b), func() (*documents.Prompt, error) { return documents.ParsePrompt(b.Prompt, b.System) })
	if err != nil {
		return nil, fmt.Errorf("reading the prompt: %w", err)
	}
	if kit == nil {
		return prompt.Render(d)
	}
	if kit.ReadsDocument() {
		prompt = prompt.WithoutText()
	}
	request, err := prompt.Render(d)
	if err == nil {
		request.Tools = kit.Tools()
	}
	return request, err
}

// promptKey is the batch's id, and for a job that is asked with another prompt
// more than that.
func promptKey(b *jobs.Batch) string {
	if !b.Instead.Rewords() {
		return b.ID
	}
	return b.ID + "\x00" + jobs.Digest(b.Prompt) + jobs.Digest(b.System)
}
