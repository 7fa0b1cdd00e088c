package resilience

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// scene is a chain of two models, small and large, in a bubble. Every reply of
// the gate and of the models can be scripted; unscripted ones are good.
type scene struct {
	*testing.T
	chain Chain
	task  Task

	small, large *actor
	enter        func(*jobs.Call) (Pass, error)
	leave        func(*jobs.Call, *jobs.Attempt) error
	due          func() time.Duration // may be nil
	jammed       string               // the model whose line does not move
	ahead        map[string]time.Duration

	entered []*jobs.Call // admitted
	left    []*jobs.Attempt
	errs    []error
}

// actor plays a model.
type actor struct {
	scene  *scene
	tokens int64
	counts func(*jobs.Request) int64 // in place of tokens; may be nil
	script []reply                   // one for each call, the last for all further ones
	calls  int
	asked  []time.Duration // since the start
	start  time.Time
	seen   []*jobs.Request
}

type reply func(context.Context) (*jobs.Answer, error)

func text(s string) reply {
	return func(context.Context) (*jobs.Answer, error) { return said(s), nil }
}

func said(s string) *jobs.Answer {
	return &jobs.Answer{Text: s, Finish: jobs.FinishStop, Status: 200, Usage: jobs.Usage{Input: 100, Output: 10}}
}

func fails(k jobs.Kind) reply { return failing(jobs.Failure{Kind: k, Message: "no"}) }

func failing(f jobs.Failure) reply {
	return func(context.Context) (*jobs.Answer, error) { return nil, &f }
}

func (a *actor) Tokens(r *jobs.Request) int64 {
	if a.counts != nil {
		return a.counts(r)
	}
	return a.tokens
}

func (a *actor) Ask(ctx context.Context, req *jobs.Request, _ int) (*jobs.Answer, error) {
	a.calls++
	a.asked = append(a.asked, time.Since(a.start))
	copied := *req
	a.seen = append(a.seen, &copied)
	if len(a.script) == 0 {
		return said("yes"), nil
	}
	return a.script[min(a.calls, len(a.script))-1](ctx)
}

func (s *scene) Enter(ctx context.Context, call *jobs.Call) (Pass, error) {
	if s.jammed == call.Model.Name {
		<-ctx.Done()
		return Pass{}, context.Cause(ctx)
	}
	var pass Pass
	var err error
	if s.enter != nil {
		pass, err = s.enter(call)
	}
	if err == nil && pass.Refusal == nil {
		s.entered = append(s.entered, call)
	}
	return pass, err
}

// Ahead implements Admission.
func (s *scene) Ahead(c *jobs.Call) time.Duration { return s.ahead[c.Model.Name] }

// Due implements Admission.
func (s *scene) Due(context.Context, *jobs.Call) time.Duration {
	if s.due == nil {
		return 0
	}
	return s.due()
}

func (s *scene) Leave(ctx context.Context, call *jobs.Call, a *jobs.Attempt) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if s.leave != nil {
		if err := s.leave(call, a); err != nil {
			return err
		}
	}
	s.left = append(s.left, a)
	return nil
}

// refusing refuses the calls to one model.
func refusing(model string, r Refusal) func(*jobs.Call) (Pass, error) {
	return func(c *jobs.Call) (Pass, error) {
		if c.Model.Name == model || model == "all" {
			return Pass{Refusal: &r}, nil
		}
		return Pass{}, nil
	}
}

func onStage(t *testing.T, play func(*scene)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { play(newScene(t)) })
}

func newScene(t *testing.T) *scene {
	s := &scene{T: t}
	s.small = &actor{scene: s, tokens: 100, start: time.Now()}
	s.large = &actor{scene: s, tokens: 100, start: time.Now()}
	ids := 0
	s.chain = Chain{
		Name: "default", Gate: s, Worker: "w1",
		Links: []Link{
			{&jobs.Model{Name: "small", Context: 16_000, MaxOutput: 1000, Timeout: time.Minute, Price: &jobs.Price{Input: jobs.Dollar, Output: 2 * jobs.Dollar}}, s.small},
			{&jobs.Model{Name: "large", Context: 200_000, MaxOutput: 1000, Timeout: time.Minute, Price: &jobs.Price{Input: 10 * jobs.Dollar, Output: 20 * jobs.Dollar}}, s.large},
		},
		Retry:   Retry{Random: func() float64 { return 0.5 }},
		OnError: func(err error) { s.errs = append(s.errs, err) },
		NewID:   func() string { ids++; return fmt.Sprintf("call-%d", ids) },
	}
	s.task = Task{
		Job:     &jobs.Job{ID: "j1", Batch: "b1", CustomID: "one", Run: 1},
		Batch:   &jobs.Batch{ID: "b1", Tenant: "acme", Chain: "default"},
		Request: &jobs.Request{Messages: []jobs.Message{{Role: jobs.User, Text: "is it?"}}},
	}
	return s
}

func (s *scene) run() jobs.Decision {
	s.Helper()
	return s.runIn(s.Context())
}

func (s *scene) runIn(ctx context.Context) jobs.Decision {
	s.Helper()
	d := s.chain.Run(ctx, s.task)
	if len(s.entered) > len(s.left) {
		s.Errorf("%d calls were admitted and %d left", len(s.entered), len(s.left))
	}
	set := 0
	for _, is := range []bool{d.Outcome != nil, d.Wait > 0, d.Back} {
		if is {
			set++
		}
	}
	if set != 1 {
		s.Errorf("a decision of %d things: %+v", set, d)
	}
	return d
}

// ends runs to an outcome with this status.
func (s *scene) ends(want jobs.Status) *jobs.Outcome {
	s.Helper()
	d := s.run()
	if d.Outcome == nil {
		s.Fatalf("no outcome: %+v", d)
	}
	if d.Outcome.Status != want {
		s.Fatalf("ended %s because %s, want %s", d.Outcome.Status, d.Outcome.Reason, want)
	}
	return d.Outcome
}

// waits runs to a decision to wait this long.
func (s *scene) waits(want time.Duration) jobs.Decision {
	s.Helper()
	d := s.run()
	if d.Wait != want {
		s.Fatalf("decided %+v, want a wait of %v", d, want)
	}
	return d
}

func equal[T comparable](s *scene, what string, got, want T) {
	s.Helper()
	if got != want {
		s.Errorf("%s: got %v, want %v", what, got, want)
	}
}
