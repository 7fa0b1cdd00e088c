package resilience

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// step is one question of a run: the job's own, or one of several.
type step struct {
	name    string // for the record; empty for a plain question
	request *jobs.Request

	// examine holds the answer against the batch's demands. Nil if any will do.
	examine func(*jobs.Answer) *jobs.Failure
}

// passes tells what is wrong with an answer by the batch's own checks, or nil.
func (s *step) passes(a *jobs.Answer) *jobs.Failure {
	if s.examine == nil || s.request.Body != nil {
		return nil
	}
	return s.examine(a)
}

// judging reports whether the step asks a judge.
func (s *step) judging() bool { return strings.HasPrefix(s.name, judgeStep) }

// work is how far a run has come with the checks of its answers, and with the
// pieces of its document.
type work struct {
	Rejected []jobs.Rejection `json:"rejected,omitempty"` // answers that did not do
	Past     []string         `json:"past,omitempty"`     // models that were told why, and did no better
	Unruled  *unruled         `json:"unruled,omitempty"`

	Cut    int     `json:"cut,omitempty"`    // pieces that the document was cut into; 0 if it was not
	Pieces []piece `json:"pieces,omitempty"` // what is left of them to be combined, in the order of the document
}

// progress is how far a run has come, as a checkpoint holds it.
type progress struct {
	Messages []jobs.Message `json:"messages,omitempty"` // of the conversation, after the question
	Meter    *meterState    `json:"meter,omitempty"`
	Passed   []behind       `json:"passed,omitempty"` // models that the run has left behind for good
	Work     *work          `json:"work,omitempty"`
}

// behind is an obstacle as a checkpoint holds it.
type behind struct {
	Model   string    `json:"model"`
	Why     string    `json:"why"`
	Tries   int       `json:"tries,omitempty"`
	Kind    jobs.Kind `json:"kind,omitempty"` // of its failure, if it was asked
	Message string    `json:"message,omitempty"`
}

// keepWithin bounds how long a checkpoint may take.
const keepWithin = 10 * time.Second

// keep puts on record how far the run has come. If that fails the run goes on,
// and is finished here rather than handed on.
func (r *run) keep(ctx context.Context) *obstacle {
	r.safe = false
	if r.task.Keep == nil {
		return nil
	}
	state, err := json.Marshal(r.progress())
	if err == nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keepWithin)
		defer cancel()
		err = r.task.Keep(ctx, &jobs.Checkpoint{State: state, Attempts: slices.Clone(r.attempts)})
	}
	switch {
	case errors.Is(err, jobs.ErrLeaseLost):
		return &obstacle{sort: stopping}
	case err != nil:
		r.chain.report(fmt.Errorf("keeping a step of job %s: %w", r.task.Job.ID, err))
		return nil
	}
	r.safe, r.kept = true, len(r.attempts)
	return nil
}

func (r *run) progress() *progress {
	p := &progress{Messages: r.request.Messages[len(r.task.Request.Messages):], Work: &r.work}
	if r.meter != nil {
		p.Meter = r.meter.state()
	}
	for _, o := range r.obstacles {
		if o.sort != failed && o.sort != unfit {
			continue // it may be asked by whoever goes on
		}
		left := behind{Model: o.model, Why: o.why, Tries: o.tries}
		if o.failure != nil {
			left.Kind, left.Message = o.failure.Kind, o.failure.Message
		}
		p.Passed = append(p.Passed, left)
	}
	return p
}

// resume takes up what an earlier delivery put on record. What cannot be read
// is paid for again, and said.
func (r *run) resume() progress {
	var p progress
	from := r.task.Resumed
	if from == nil {
		return p
	}
	r.attempts, r.kept = slices.Clone(from.Attempts), len(from.Attempts)
	if err := json.Unmarshal(from.State, &p); err != nil {
		r.chain.report(fmt.Errorf("going on with job %s from its last step: %w", r.task.Job.ID, err))
		return progress{}
	}
	r.say(p.Messages...)
	r.safe = true
	if p.Work != nil {
		r.work = *p.Work
	}
	for _, left := range p.Passed {
		o := &obstacle{sort: unfit, model: left.Model, why: left.Why, tries: left.Tries}
		if left.Kind != "" {
			o.sort, o.failure = failed, &jobs.Failure{Kind: left.Kind, Message: left.Message}
		}
		r.obstacles = append(r.obstacles, o)
	}
	return p
}

// hasPassed reports whether the run left a model behind in an earlier
// delivery.
func (r *run) hasPassed(model string) bool {
	return r.task.Resumed != nil && slices.ContainsFunc(r.obstacles, func(o *obstacle) bool {
		return o.model == model && (o.sort == failed || o.sort == unfit)
	})
}
