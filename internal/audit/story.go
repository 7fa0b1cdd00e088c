package audit

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// Story tells all that is known of a job, in order; of no one job, what was
// done to the fleet.
func (a *Audit) Story(job Job) string {
	t := &timeline{}
	prompts := map[string]bool{}
	for _, s := range a.Sent {
		if s.Job == job {
			prompts[s.Prompt] = true
			t.tell(s.At, "%s calls", s.Worker)
		}
	}
	for _, e := range a.Ledger {
		if prompts[e.Prompt] {
			t.tell(e.At, "the provider notes %s: %s, %d %s, billed %v, delivered %v", e.ID, e.Model, e.Status, e.Fault, e.Billed, e.Delivered)
		}
	}
	for i := range a.Outcomes {
		if o := &a.Outcomes[i]; (Job{o.Batch, o.CustomID}) == job {
			t.attempts("outcome", o.Attempts)
			t.tell(o.Finished, "run %d%s ends by %s: %s %s", o.Run, otherwise(o.Outcome), o.Worker, o.Status, o.Reason)
			t.tell(o.Stored, "the broker stores the outcome of run %d as %d", o.Run, o.Sequence)
		}
	}
	for _, w := range a.Wastes {
		if a.names[w.Job] == job {
			t.attempts("waste, because "+w.Reason+",", w.Attempts)
			t.tell(w.At, "waste is recorded: %s", w.Reason)
		}
	}
	for i := range a.Faults {
		t.fault(&a.Faults[i])
	}
	slices.SortStableFunc(t.lines, func(x, y line) int { return x.at.Compare(y.at) })
	var b strings.Builder
	fmt.Fprintf(&b, "the story of %s:", job)
	for _, l := range t.lines {
		fmt.Fprintf(&b, "\n  %s %s", clock(l.at), l.text)
	}
	return b.String()
}

// timeline is what happened when.
type timeline struct{ lines []line }

type line struct {
	at   time.Time
	text string
}

func (t *timeline) tell(at time.Time, format string, args ...any) {
	t.lines = append(t.lines, line{at, fmt.Sprintf(format, args...)})
}

func (t *timeline) attempts(what string, attempts []jobs.Attempt) {
	for _, a := range attempts {
		ended := string(a.Kind) + " " + a.Message
		if a.Kind == "" {
			ended = "answered"
		}
		t.tell(a.Started, "%s has call %s by %s: run %d, %s, %v, %s, %s %s", what, a.Call, a.Worker, a.Run, a.Model, a.Took.Round(time.Millisecond), ended, a.Billing, a.Cost)
	}
}

func (t *timeline) fault(f *Fault) {
	text := string(f.Kind)
	if f.Worker != "" {
		text += " (" + f.Worker + ")"
	}
	if f.What != "" {
		text += ": " + f.What
	}
	if f.To.After(f.From) {
		text += ", for " + f.To.Sub(f.From).Round(time.Millisecond).String()
	}
	t.tell(f.From, "%s", text)
}

// otherwise says with what a run was asked that its batch does not say.
func otherwise(o *jobs.Outcome) string {
	told := ""
	for _, s := range [][2]string{{"chain", o.Chain}, {"prompt", o.Prompt}, {"system prompt", o.System}} {
		if s[1] != "" {
			told += " with the " + s[0] + " " + s[1]
		}
	}
	return told
}
