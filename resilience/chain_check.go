package resilience

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/drover-batch/drover/jobs"
)

// Standard is what the answers to one job are held to.
type Standard interface {
	// Examine finds out what of a text is the answer, and what is wrong with it.
	Examine(text string) *jobs.Finding

	// Brief makes the request that puts an answer before a judge.
	Brief(asked *jobs.Request, answer string) *jobs.Request

	// Ruling reads what a judge answered: nil if it agrees, else why not. An
	// error says that it is no ruling.
	Ruling(text string) (*jobs.Flaw, error)
}

// The names of steps that checks lead to.
const (
	repairStep = "repair"
	judgeStep  = "judge"
)

// mostRejected is how much is kept of an answer that did not do, in bytes.
const mostRejected = 64 << 10

// examine holds an answer against the standard, unless it only calls tools.
func (r *run) examine(a *jobs.Answer) *jobs.Failure {
	if r.task.Standard == nil || len(a.Calls) > 0 && r.meter != nil {
		return nil
	}
	found := r.task.Standard.Examine(a.Text)
	if len(found.Flaws) > 0 {
		return flawed(a, found.Flaws)
	}
	r.found = found
	return nil
}

// flawed is the failure of an answer that does not do. Its message says what
// sort of flaws there are, and nothing that answer or document say.
func flawed(a *jobs.Answer, flaws []jobs.Flaw) *jobs.Failure {
	fail := unusable(jobs.Failf(jobs.InvalidAnswer, "%s", tally(flaws)), a)
	fail.Flaws = flaws
	return fail
}

// tally is the flaws by what failed: "2 violations of the schema, 1 quote that
// is not in the document".
func tally(flaws []jobs.Flaw) string {
	var parts []string
	for _, sort := range []struct{ check, one, many string }{
		{jobs.CheckJSON, "no single JSON value", "no single JSON value"},
		{jobs.CheckSchema, "1 violation of the schema", "%d violations of the schema"},
		{jobs.CheckQuote, "1 quote that is not in the document", "%d quotes that are not in the document"},
		{jobs.CheckExpect, "1 expectation not met", "%d expectations not met"},
		{jobs.CheckJudge, "refused by the judge", "refused by the judge"},
	} {
		n := 0
		for i := range flaws {
			if flaws[i].Check == sort.check {
				n++
			}
		}
		switch {
		case n == 1:
			parts = append(parts, sort.one)
		case n > 1 && strings.Contains(sort.many, "%d"):
			parts = append(parts, fmt.Sprintf(sort.many, n))
		case n > 1:
			parts = append(parts, sort.many)
		}
	}
	return "the answer does not do: " + strings.Join(parts, ", ")
}

// reject keeps an answer that did not do, for whoever wants to know.
func (r *run) reject(attempt *jobs.Attempt, fail *jobs.Failure) {
	if fail == nil || len(fail.Flaws) == 0 {
		return
	}
	r.Rejected = append(slices.Clip(r.Rejected), jobs.Rejection{
		Call: attempt.Call, Model: attempt.Model, Step: attempt.Step,
		Answer: clipped(fail.Answer.Text, mostRejected), Flaws: fail.Flaws,
	})
}

// takeUp begins where an earlier delivery came to with this model: at the
// judge, at the repair, or beyond both. over reports that nothing is to be
// asked any more.
func (a *asking) takeUp(ctx context.Context) (answer *jobs.Answer, stuck *obstacle, over bool) {
	if a.task.Resumed == nil || a.task.Standard == nil || a.step.examine == nil || a.step.judging() {
		return nil, nil, false
	}
	m := a.link.Model.Name
	if u := a.Unruled; u != nil && u.Model == m {
		answer = u.answer()
		fail := a.step.passes(answer) // which finds its quotes again
		if fail == nil {
			fail, stuck = a.rule(ctx, answer)
		}
		if fail == nil {
			return answer, stuck, true
		}
		return a.onceMore(ctx, fail)
	}
	for _, last := range slices.Backward(a.Rejected) {
		if last.Model == m {
			fail := flawed(&jobs.Answer{Text: last.Answer}, last.Flaws)
			if !slices.Contains(a.Past, m) && a.repairAnew(fail) {
				return nil, nil, false
			}
			return nil, a.stuckWith(failed, 0, fail), true
		}
	}
	return nil, nil, false
}

// repairAnew makes the step what it was when an earlier delivery ended behind a
// model's rejected answer, and reports whether there is such a step. In a
// conversation all has been said: it ends with what is wrong, or has gone on
// with tools since.
func (a *asking) repairAnew(fail *jobs.Failure) bool {
	if a.meter == nil {
		return a.mend(fail)
	}
	said := a.request.Messages[len(a.task.Request.Messages):]
	if len(said) == 0 || said[len(said)-1].Role != jobs.User {
		return true
	}
	return a.becomeRepair(a.step)
}

// onceMore goes on after an answer of an earlier delivery that does not do.
func (a *asking) onceMore(ctx context.Context, fail *jobs.Failure) (*jobs.Answer, *obstacle, bool) {
	stuck, again := a.repair(ctx, fail)
	if !again && stuck == nil {
		stuck = a.stuckWith(failed, 0, fail)
	}
	return nil, stuck, !again
}

// repair prepares the one turn in which the model is told what is wrong with
// its answer, and reports whether there is one.
func (a *asking) repair(ctx context.Context, fail *jobs.Failure) (stuck *obstacle, again bool) {
	if len(fail.Flaws) == 0 || a.step.judging() {
		return nil, false
	}
	again = a.mend(fail)
	if !again {
		a.Past = append(slices.Clip(a.Past), a.link.Model.Name)
	}
	if stuck := a.keep(ctx); stuck != nil {
		return stuck, false
	}
	return nil, again
}

// mend turns the step into its repair, if it was not and there is room.
func (a *asking) mend(fail *jobs.Failure) bool {
	if a.repaired {
		return false
	}
	told := []jobs.Message{
		{Role: jobs.Assistant, Text: fail.Answer.Text},
		{Role: jobs.User, Text: complaint(fail.Flaws)},
	}
	before := a.step
	if a.meter != nil {
		a.say(told...)
		a.step.request = a.request
	} else {
		longer := *a.step.request
		longer.Messages = append(slices.Clip(longer.Messages), told...)
		a.step.request = &longer
	}
	return a.becomeRepair(before)
}

// becomeRepair makes a step the repair that its request asks for, if there is
// room for it, and else what it was before.
func (a *asking) becomeRepair(before step) bool {
	a.repaired = true
	a.step.name = strings.TrimPrefix(before.name+", "+repairStep, ", ")
	plan := a.plan
	if a.prepare() != nil {
		a.step, a.plan = before, plan
		return false
	}
	return true
}

// complaint tells a model what is wrong with its answer.
func complaint(flaws []jobs.Flaw) string {
	var b strings.Builder
	b.WriteString("Your answer cannot be accepted:\n")
	for _, f := range flaws {
		b.WriteString("- ")
		if f.At != "" {
			b.WriteString("at " + f.At + ": ")
		}
		b.WriteString(f.Message)
		if f.Near != "" {
			b.WriteString(". The passage most like it is: " + f.Near)
		}
		b.WriteByte('\n')
	}
	b.WriteString("\nGive the whole answer again, corrected, and nothing but the answer.")
	return b.String()
}

// grade tells how an answer came to pass its checks, and what of it counts.
func (r *run) grade(o *jobs.Outcome) {
	if r.found == nil {
		return
	}
	o.Answer, o.Quotes = r.found.Answer, r.found.Quotes
	switch {
	case slices.ContainsFunc(r.attempts, func(a jobs.Attempt) bool {
		return a.Model != o.Model && !strings.HasPrefix(a.Step, judgeStep) && useless(a.Kind)
	}):
		o.Checked = jobs.Escalated
	case len(r.Rejected) > 0:
		o.Checked = jobs.Repaired
	case r.found.Extracted:
		o.Checked = jobs.Extracted
	default:
		o.Checked = jobs.AtOnce
	}
}

// useless reports whether a failure of this kind is an answer that did not do.
func useless(k jobs.Kind) bool {
	return k == jobs.InvalidAnswer || k == jobs.Truncated || k == jobs.Refused
}
