package resilience

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// Asker asks one model; an llm.Client is the real one.
type Asker interface {
	// Tokens is how many tokens the request's input has at the most.
	Tokens(req *jobs.Request) int64

	// Ask blocks for the answer, which has maxOutput tokens at the most. An
	// error is a *jobs.Failure. The request is not changed.
	Ask(ctx context.Context, req *jobs.Request, maxOutput int) (*jobs.Answer, error)
}

// Slot is a job's place among those that may make calls at once.
type Slot interface {
	Rest()                    // while no call is made; it does not block
	Take(ctx context.Context) // blocks until a call may be made, or ctx ends
}

// Link is one step of a chain.
type Link struct {
	Model *jobs.Model
	Asker Asker
}

// Chain asks its models in order until one answers. It may be used from any
// goroutine.
type Chain struct {
	Name       string
	Links      []Link
	Gate       Admission
	Retry      Retry
	Guardrails jobs.Guardrails

	// Patience is how long refusals and rate limits of one model are waited
	// out in the slot, all together; default 30s. After that the job is handed
	// back for a while or, if it was not for a limit's sake, the next model is
	// asked.
	Patience time.Duration

	// WhenLimited says what a job does whose model's quota is used up for now,
	// unless its batch says so; default jobs.AutoWhenLimited.
	WhenLimited jobs.WhenLimited

	// Detours remembers how many of a batch's jobs went to a dearer model to
	// meet the deadline; nil forgets, so that more of them may than need to.
	Detours *Detours

	// Outages tells people of models that do not answer; may be nil.
	Outages *Outages

	Worker string // the process, for the record
	Cache  Cache  // earlier answers, for batches that accept them; may be nil

	// Budgeted reports whether any limit but the batch's own applies to a call,
	// so that a model whose price nobody knows must not be asked; nil is none.
	Budgeted func(*jobs.Call) bool

	// Stopping is closed when the worker is to stop: waits end, no further
	// call is begun and the job is handed back. A call on its way is finished,
	// and so is a conversation with tools that nobody could go on with. May be
	// nil.
	Stopping <-chan struct{}

	// Freed returns nil or, while nothing that a call brings could be stored,
	// a channel that is closed when it can be: no call is begun before. May be
	// nil.
	Freed func() <-chan struct{}

	// OnError is told what went wrong around the calls, by all of them, and in the
	// same words where it is not one job's: the gate out of reach, for example.
	// May be nil.
	OnError func(error)

	// NewID makes the id of a call, unique for ever; default crypto/rand.Text.
	NewID func() string
}

// Task is one job to run through a chain.
type Task struct {
	Job     *jobs.Job
	Batch   *jobs.Batch
	Request *jobs.Request

	// Lost is closed when the lease on the job is lost: a call on its way is
	// finished, no other is begun and the job goes back. May be nil.
	Lost <-chan struct{}

	// Settled asks the broker whether the job has its outcome. It is asked
	// between admission and call; nil if it certainly has none.
	Settled func(context.Context) (bool, error)

	// Expires is until when the job is ours. A process that was frozen may run
	// on before anybody has told it that this is over, so the clock is asked
	// before each call; nil if the job cannot be lost.
	Expires func() time.Time

	// Dropped reports whether the job's batch was paused or cancelled since the
	// job was lent: no other call is begun then. Nil if nobody knows.
	Dropped func() bool

	// Outlook is how the job's batch gets on; nil if nobody knows.
	Outlook func() jobs.Outlook

	// Tried tells how each model failed this run of the job in earlier
	// deliveries. One that failed Retry.Most times is neither asked nor waited
	// for any more: it may be the job that fails the models, one probe after
	// another, and each may have to be paid.
	Tried map[string]jobs.Tries

	// Resumed is how far an earlier delivery came with this run of the job, nil
	// if it came nowhere. Its attempts are part of the outcome.
	Resumed *jobs.Checkpoint

	// Keep puts on record how far the job has come, as jobs.Delivery's
	// Checkpoint does. Nil keeps nothing.
	Keep func(context.Context, *jobs.Checkpoint) error

	// Slot is given back when an answer is there and only what comes after it is
	// to be done, and taken again before another call. May be nil.
	Slot Slot

	// Turn runs the tools that the last message of the conversation calls and
	// returns the replies that go back to the model, which is then asked again.
	// Nil for jobs without tools: an answer that calls some and says nothing is
	// then empty, but to a ready request.
	Turn func(ctx context.Context, talk []jobs.Message) ([]jobs.Message, error)

	// Standard is what answers are held to. Nil takes what a model says.
	Standard Standard

	// Judges are the models that have to agree to an answer: the first that
	// rules decides. There are none unless the batch demands one.
	Judges []Link

	// Part makes the batch's request about a part of the document's text. Nil
	// if the document cannot be cut.
	Part func(text string) (*jobs.Request, error)
}

// Run takes a job through the whole chain once and blocks until that is done,
// waits and retries included. Left to right, never back: a model that was
// passed over is not asked again in this run, unless it was for its quota alone
// and no other had room.
//
// If ctx is cancelled the job is handed back with the attempts made so far; a
// call that is on its way is cut short, and presumed paid if it was sent.
func (c *Chain) Run(ctx context.Context, t Task) jobs.Decision {
	r := c.begin(t)
	if stuck := r.unjudgeable(); stuck != nil {
		r.obstacles = append(r.obstacles, stuck)
		return r.exhausted(ctx)
	}
	for links := r.links(); len(links) > 0; links = r.limitedAgain() {
		for _, link := range links {
			if d, over := r.try(ctx, link); over {
				return d
			}
		}
	}
	for _, link := range r.spared() {
		if d, over := r.try(ctx, link); over {
			return d
		}
	}
	for i := range r.lastResort() {
		if d, over := r.try(ctx, &r.chain.Links[i]); over {
			return d
		}
	}
	return r.exhausted(ctx)
}

// try asks one model. It reports whether that ended the run.
func (r *run) try(ctx context.Context, link *Link) (jobs.Decision, bool) {
	if r.hasPassed(link.Model.Name) {
		return jobs.Decision{}, false
	}
	answer, stuck := r.answer(ctx, link)
	if stuck == nil {
		return jobs.Decision{Outcome: r.answered(link.Model, answer)}, true
	}
	r.obstacles = append(r.obstacles, stuck)
	switch {
	case stuck.sort.endsRun():
		return r.end(stuck), true
	case stuck.unruled:
		return r.exhausted(ctx), true
	}
	return jobs.Decision{}, false
}

// complete is the chain with its defaults filled in: itself, if none is missing.
func (c *Chain) complete() *Chain {
	if c.Retry.complete() && c.Patience > 0 && c.NewID != nil {
		return c
	}
	filled := *c
	filled.Retry = c.Retry.withDefaults()
	if filled.Patience <= 0 {
		filled.Patience = 30 * time.Second
	}
	if filled.NewID == nil {
		filled.NewID = rand.Text
	}
	return &filled
}

func (c *Chain) begin(t Task) *run {
	request := *t.Request
	r := &run{chain: c.complete(), task: t, request: &request}
	saved := r.resume()
	if t.Turn != nil && request.Body == nil {
		r.meter = newMeter(r.limits(), saved.Meter)
	}
	return r
}

// limits are the guardrails of the run: the batch's, or else the chain's.
func (r *run) limits() jobs.Guardrails {
	return r.task.Batch.Guardrails.Or(r.chain.Guardrails).Or(usualGuardrails)
}

func (c *Chain) report(err error) {
	if c.OnError != nil {
		c.OnError(err)
	}
}
