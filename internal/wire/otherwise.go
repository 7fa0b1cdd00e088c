package wire

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/drover-batch/drover/documents"
	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/queue"
)

// Otherwise has dead letters asked about with something else than their batches
// say. It may be used from any goroutine.
type Otherwise struct {
	config  *config.Config
	queue   *queue.Queue
	instead jobs.Instead

	mu      sync.Mutex
	batches map[string]*asking
}

// asking is a batch and the prompt that its letters get, nil for its own.
type asking struct {
	*jobs.Batch
	prompt func(*jobs.Instead) (*documents.Prompt, error)
}

// Otherwise reports a chain that there is not and a prompt that is no template,
// before anything is asked of the servers.
func (s *Servers) Otherwise(i jobs.Instead) (*Otherwise, error) {
	if i.Reroutes() {
		if _, err := s.config.Chain(i.Chain); err != nil {
			return nil, err
		}
	}
	if i.Rewords() {
		if _, err := documents.ParsePrompt(said(i.Prompt), said(i.System)); err != nil {
			return nil, err
		}
	}
	return &Otherwise{config: s.config, queue: s.Queue, instead: i, batches: map[string]*asking{}}, nil
}

// Chains are the names of all chains there are.
func (s *Servers) Chains() []string { return slices.Sorted(maps.Keys(s.config.Chains)) }

func said(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

// Amend sets the Instead of a letter's job, or says why it cannot be asked about
// so. What an earlier replay has changed stays changed.
func (o *Otherwise) Amend(ctx context.Context, l *jobs.DeadLetter) error {
	b, err := o.batch(ctx, l.Job.Batch)
	if err != nil {
		return err
	}
	i := o.instead.Or(l.Job.Instead, b.Batch)
	job := *l.Job
	job.Instead = i
	if err := affordable(o.config, b.Asking(&job)); err != nil {
		return err
	}
	if o.instead.Rewords() {
		if l.Job.Document.Ready() {
			return errors.New("it came as a request, which has no prompt but its own")
		}
		prompt, err := b.prompt(i)
		if err == nil {
			err = prompt.Check(&l.Job.Document)
		}
		if fail, ok := errors.AsType[*jobs.Failure](err); ok {
			err = errors.New(fail.Message) // its kind is for those who answer
		}
		if err != nil {
			return err
		}
	}
	l.Job.Instead = i
	return nil
}

// Unfit reports that letters cannot be asked about so, and why the first of them
// cannot.
func (o *Otherwise) Unfit(ctx context.Context, letters iter.Seq2[*jobs.DeadLetter, error]) (unfit, err error) {
	count := int64(0)
	for l, err := range letters {
		if err != nil {
			return nil, err
		}
		if err := o.Amend(ctx, l); err != nil {
			if count++; count == 1 {
				unfit = fmt.Errorf("%s: %w", documents.Terminal(l.Job.CustomID), err)
			}
		}
	}
	if count > 1 {
		unfit = fmt.Errorf("%s cannot be asked about so, the first of them %w", jobs.Counted(count, "dead letter"), unfit)
	}
	return unfit, nil
}

func (o *Otherwise) batch(ctx context.Context, id string) (*asking, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if b := o.batches[id]; b != nil {
		return b, nil
	}
	b, err := o.queue.Batch(ctx, id)
	if err != nil {
		return nil, err
	}
	made := &asking{Batch: b}
	var parsed perBatch[*documents.Prompt] // by what letters have been replayed with before
	made.prompt = func(i *jobs.Instead) (*documents.Prompt, error) {
		as := b.Asking(&jobs.Job{Instead: i})
		return parsed.of(promptKey(as), func() (*documents.Prompt, error) { return documents.ParsePrompt(as.Prompt, as.System) })
	}
	o.batches[id] = made
	return made, nil
}

// affordable reports what keeps a chain from answering the jobs of a batch.
func affordable(c *config.Config, b *jobs.Batch) error {
	models, err := c.Chain(b.Chain)
	if err != nil {
		return err
	}
	if _, refused := jobs.NarrowTools(c.Chains[b.Chain].Agent.Tools, b.Tools); len(refused) > 0 {
		return fmt.Errorf("the batch wants the tools %s, which the chain %s may not use", strings.Join(refused, ", "), b.Chain)
	}
	if b.Budget == 0 {
		return nil
	}
	for _, m := range models {
		if m.Price != nil {
			return nil
		}
	}
	return fmt.Errorf("the batch has a budget, and of the chain %s no price is known", b.Chain)
}
