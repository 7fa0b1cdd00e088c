package resilience

import (
	"context"
	"fmt"
	"strings"

	"github.com/drover-batch/drover/jobs"
)

// unruled is an answer that passed the other checks and waits for its judge.
// It is kept, since it was paid for.
type unruled struct {
	Model  string `json:"model"`
	Text   string `json:"text"`
	Finish string `json:"finish,omitempty"`
}

func (u *unruled) answer() *jobs.Answer {
	return &jobs.Answer{Text: u.Text, Finish: u.Finish, Status: 200}
}

// unjudgeable tells why no judge can take the request, whatever its answer: that
// would be paid for in vain. It is nil if one can, or none has to.
func (r *run) unjudgeable() (stuck *obstacle) {
	if len(r.task.Judges) == 0 || r.task.Standard == nil || len(r.attempts) > 0 {
		return nil
	}
	brief := step{name: judgeStep, request: r.task.Standard.Brief(r.request, "")}
	for i := range r.task.Judges {
		a := &asking{run: r, link: &r.task.Judges[i], step: brief}
		if stuck = a.prepare(); stuck == nil || stuck.sort != unfit && stuck.sort != blind {
			return nil
		}
	}
	stuck.unruled = true
	return stuck
}

// judged reports whether a judge has to agree to the answer.
func (a *asking) judged(answer *jobs.Answer) bool {
	return len(a.task.Judges) > 0 && a.task.Standard != nil && a.step.examine != nil &&
		!a.step.judging() && (a.meter == nil || len(answer.Calls) == 0)
}

// rule puts an answer before the judges until one rules. What it says against
// the answer is a failure of the answer. The obstacle is of a judge that could
// not be asked; the answer is on record then.
func (a *asking) rule(ctx context.Context, answer *jobs.Answer) (*jobs.Failure, *obstacle) {
	answered := len(a.attempts) - 1 // the attempt that the answer came of
	found := a.found
	a.Unruled = &unruled{Model: a.link.Model.Name, Text: answer.Text, Finish: answer.Finish}
	flaw, stuck := a.ruling(ctx, found.Answer)
	if stuck != nil {
		a.cut, a.cutBy = answer, a.link.Model.Name
		if lost := a.keep(ctx); lost != nil {
			return nil, lost
		}
		return nil, stuck
	}
	a.Unruled, a.found = nil, found
	if flaw == nil {
		return nil, nil
	}
	fail := flawed(answer, []jobs.Flaw{*flaw})
	if of := a.attemptOf(a.link.Model.Name, answered); of != nil {
		of.Kind, of.Message = fail.Kind, fail.Message
		a.reject(of, fail)
	}
	return fail, nil
}

// attemptOf is the newest answered attempt by the model up to the given one.
func (r *run) attemptOf(model string, upTo int) *jobs.Attempt {
	for i := min(upTo, len(r.attempts)-1); i >= 0; i-- {
		if a := &r.attempts[i]; a.Model == model && a.Kind == "" && !strings.HasPrefix(a.Step, judgeStep) {
			return a
		}
	}
	return nil
}

// ruling asks the judges in order. Its obstacle is that of the last.
func (r *run) ruling(ctx context.Context, answer string) (flaw *jobs.Flaw, stuck *obstacle) {
	asked := *r.request
	if r.meter != nil { // the rest of the conversation are the model's turns, and what it was told of them
		asked.Messages = asked.Messages[:len(r.task.Request.Messages)]
	}
	brief := r.task.Standard.Brief(&asked, answer)
	examine := func(a *jobs.Answer) *jobs.Failure {
		ruling, err := r.task.Standard.Ruling(a.Text)
		if err != nil {
			return unusable(jobs.Failf(jobs.InvalidAnswer, "%v", err), a)
		}
		flaw = ruling
		return nil
	}
	name := r.nextRuling()
	for i := range r.task.Judges {
		_, stuck = r.ask(ctx, &r.task.Judges[i], step{name: name, request: brief, examine: examine})
		if stuck == nil || stuck.sort.endsRun() {
			return flaw, stuck
		}
	}
	stuck.unruled = true
	return nil, stuck
}

// nextRuling names the step of the next answer's judge: judge, judge 2, judge 3.
func (r *run) nextRuling() string {
	n := 1
	for i := range r.attempts {
		if a := &r.attempts[i]; strings.HasPrefix(a.Step, judgeStep) && a.Kind == "" {
			n++
		}
	}
	if n == 1 {
		return judgeStep
	}
	return fmt.Sprintf("%s %d", judgeStep, n)
}
