package wire

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/llm/simulator"
)

const notice = "The agreement begins on 1 March 2026.\n\nEither party may terminate it with ninety\ndays’ notice.\n\nGerman law applies."

// What answers about a notice may be like.
const (
	right     = `{"days": 90, "quote": "terminate it with ninety days' notice"}`
	misquoted = `{"days": 30, "quote": "terminate it with thirty days' notice"}`
	wrongForm = `{"days": "ninety", "quote": "terminate it with ninety days' notice"}`
)

// demanding is a batch that wants a form, a quote and a sensible number.
func demanding(id string) jobs.Batch {
	return jobs.Batch{ID: id, Prompt: "With how many days' notice? @{{.Source}}@\n\n{{.Text}}", Answer: jobs.Demands{
		Schema: []byte(`{"type": "object", "properties": {"days": {"type": "integer"}, "quote": {"type": "string"}}, "required": ["days", "quote"]}`),
		Quotes: []string{"quote"}, Expect: []string{"answer.days > 0"},
	}}
}

// saying is a provider that takes a second and whose models say what say
// returns, or what they would if that is empty.
func saying(say func(simulator.Asked) string) scene {
	return scene{provider: simulator.Config{Latency: time.Second, Reply: func(a simulator.Asked) *simulator.Reply {
		if text := say(a); text != "" {
			return &simulator.Reply{Text: text}
		}
		return nil
	}}}
}

// checkedOnly submits one notice and returns what became of it.
func (w *world) checkedOnly(b jobs.Batch) *jobs.Outcome {
	w.Helper()
	w.submit(b, notice)
	w.start("a")
	w.untilOver(b.ID)
	return w.outcomes(b.ID)["0"]
}

// steps are who was asked what, in order.
func stepsOf(o *jobs.Outcome) string {
	var all []string
	for _, a := range o.Attempts {
		all = append(all, strings.TrimSpace(a.Model+" "+a.Step))
	}
	return strings.Join(all, ", ")
}

func (w *world) became(o *jobs.Outcome, status jobs.Status, rung jobs.Rung, steps string) {
	w.Helper()
	if o.Status != status || o.Checked != rung || stepsOf(o) != steps {
		w.Fatalf("it is %s, %q, by %s (%s); want %s, %q, by %s", o.Status, o.Checked, stepsOf(o), o.Reason, status, rung, steps)
	}
}

func TestHallucinatedQuoteIsRepaired(t *testing.T) {
	inWorld(t, saying(func(a simulator.Asked) string {
		if a.Turn == 0 {
			return misquoted
		}
		return right
	}), func(w *world) {
		o := w.checkedOnly(demanding("contracts"))
		w.became(o, jobs.Answered, jobs.Repaired, "small, small repair")
		whole := text("contracts", "0", notice)
		if q := o.Quotes[0]; whole[q.Offset:q.Offset+q.Length] != "terminate it with ninety\ndays’ notice" {
			t.Errorf("the quote is said to stand at %+v", q)
		}
		if f := o.Rejected[0].Flaws[0]; f.Near != "terminate it with ninety\ndays’ notice" || o.Rejected[0].Answer != misquoted {
			t.Errorf("what was wrong is told as %+v of %s", f, o.Rejected[0].Answer)
		}
		if o.Degraded != "" || o.Attempts[0].Cost == 0 || o.Attempts[0].Kind != jobs.InvalidAnswer {
			t.Errorf("it is %q, its first attempt %+v", o.Degraded, o.Attempts[0])
		}
	})
}

func TestAnswerIsExtractedFromWords(t *testing.T) {
	inWorld(t, saying(func(simulator.Asked) string { return "Here you are:\n```json\n" + right + "\n```\nAnything else?" }), func(w *world) {
		o := w.checkedOnly(demanding("contracts"))
		w.became(o, jobs.Answered, jobs.Extracted, "small")
		if o.Answer != right {
			t.Errorf("the answer is %s", o.Answer)
		}
	})
}

func TestInvalidTwiceGoesToTheStrongerModel(t *testing.T) {
	inWorld(t, saying(func(a simulator.Asked) string {
		if a.Model == "small" {
			return wrongForm
		}
		return right
	}), func(w *world) {
		o := w.checkedOnly(demanding("contracts"))
		w.became(o, jobs.Answered, jobs.Escalated, "small, small repair, large")
		if o.Degraded != jobs.Partial || len(o.Rejected) != 2 {
			t.Errorf("it is %q, with %d answers rejected", o.Degraded, len(o.Rejected))
		}
	})
}

func TestWhatNobodyAnswersWellIsKeptWhole(t *testing.T) {
	var better atomic.Bool
	inWorld(t, saying(func(a simulator.Asked) string {
		if better.Load() {
			return right
		}
		return misquoted
	}), func(w *world) {
		o := w.checkedOnly(demanding("contracts"))
		w.became(o, jobs.Dead, "", "small, small repair, large, large repair")
		letter := w.letters("contracts")["0"]
		if o.Kind != jobs.InvalidAnswer || letter == nil || len(letter.Outcome.Rejected) != 4 {
			t.Fatalf("it died of %s, and its letter is %+v", o.Kind, letter)
		}
		for i, r := range letter.Outcome.Rejected {
			if a := letter.Outcome.Attempts[i]; r.Answer != misquoted || len(r.Flaws) != 1 || r.Call != a.Call || a.Cost == 0 {
				t.Errorf("answer %d is kept as %+v, its attempt as %+v", i, r, a)
			}
		}
		better.Store(true)
		w.must(w.client.Queue.Replay(w.ctx, letter))
		w.untilOver("contracts")
		again := w.outcomes("contracts")["0"]
		if again.Status != jobs.Answered || again.Checked != jobs.AtOnce || len(again.Attempts) != 5 {
			t.Errorf("replayed it is %s, %q, after %s: %s", again.Status, again.Checked, stepsOf(again), again.Reason)
		}
	})
}

func TestJudgeHasToAgree(t *testing.T) {
	inWorld(t, saying(func(a simulator.Asked) string {
		switch judging := strings.Contains(a.Document, "<answer>"); {
		case judging && strings.Contains(a.Document, "ninety"+"\ndays") && strings.Contains(a.Document, `"days": 9,`):
			return `{"valid": false, "reason": "It is ninety, not nine."}`
		case judging:
			return `{"valid": true, "reason": "It says so."}`
		case a.Turn == 0:
			return strings.Replace(right, "90", "9", 1)
		}
		return right
	}), func(w *world) {
		b := demanding("contracts")
		b.Answer.Judge = "large"
		o := w.checkedOnly(b)
		w.became(o, jobs.Answered, jobs.Repaired, "small, large judge, small repair, large judge 2")
		if r := o.Rejected[0]; len(r.Flaws) != 1 || !strings.Contains(r.Flaws[0].Message, "ninety, not nine") {
			t.Errorf("what the judge said is told as %+v", r)
		}
	})
}

func TestOnlyCheckedAnswersStandIn(t *testing.T) {
	inWorld(t, saying(func(simulator.Asked) string { return right }), func(w *world) {
		unchecked, checked := demanding("unchecked"), demanding("checked")
		unchecked.Answer = jobs.Demands{}
		for _, b := range []*jobs.Batch{&unchecked, &checked} {
			b.Prompt, b.Degrade = "With how many days' notice? {{.body}} {{.mark}}", jobs.Degrade{Cached: true, Unavailable: "sorry"}
		}
		w.submitFields(unchecked, 1, "unchecked")
		w.start("a")
		w.untilOver("unchecked")
		w.outage("", time.Hour)
		checked.Answer = jobs.Demands{Expect: []string{"answer.days > 0"}} // the request is the same
		w.submitFields(checked, 1, "unchecked")
		w.untilOver("checked")
		if o := w.outcomes("checked")["0"]; o.Degraded != jobs.Unavailable {
			t.Errorf("an answer that nobody had checked stands in: %+v", o)
		}
	})
}

// paragraphs is a document that the small model takes in five pieces.
func paragraphs() string {
	var b strings.Builder
	for i := range 82 {
		fmt.Fprintf(&b, "%d. %s\n\n", i, strings.Repeat("Whereas the parties have met and talked. ", 9))
	}
	return b.String()
}

// inPieces is a batch whose documents are cut up for the one model it has.
func inPieces(id string, policy jobs.Overlong) jobs.Batch {
	return jobs.Batch{ID: id, Chain: "cheap", Overflow: policy, Prompt: "What is it about? @{{.Source}}@\n\n{{.Text}}"}
}

func TestPiecesSurviveAKilledWorker(t *testing.T) {
	inWorld(t, scene{provider: simulator.Config{Latency: 5 * time.Second}}, func(w *world) {
		w.submit(inPieces("contracts", jobs.Split), paragraphs())
		w.start("a")
		w.wait(func() bool { return w.provider.sent() == 3 }) // the third piece is on its way
		w.kill("a")
		w.start("b")
		w.untilOver("contracts")
		o := w.outcomes("contracts")["0"]
		w.became(o, jobs.Answered, "", "small piece 1 of 5, small piece 2 of 5, small piece 3 of 5, small piece 4 of 5, small piece 5 of 5, small combine")
		if o.Pieces != 5 || !strings.HasPrefix(o.Reason, "read in 5 pieces, whose answers were combined, for $") {
			t.Errorf("%d pieces: %s", o.Pieces, o.Reason)
		}
		if calls := w.provider.sent(); calls != 7 {
			t.Errorf("%d calls went out; all but the third of six should have once", calls)
		}
	})
}

func TestShortenedDocumentIsPartial(t *testing.T) {
	inWorld(t, second, func(w *world) {
		w.submit(inPieces("contracts", jobs.Shorten), paragraphs())
		w.start("a")
		w.untilOver("contracts")
		o := w.outcomes("contracts")["0"]
		w.became(o, jobs.Answered, "", "small")
		if o.Degraded != jobs.Partial || o.Shortened < 20_000 || !strings.Contains(o.Reason, "the middle of the document, ") {
			t.Errorf("it is %q with %d bytes left out: %s", o.Degraded, o.Shortened, o.Reason)
		}
	})
}

func TestDocumentTooLongForAnyModelIsBuried(t *testing.T) {
	inWorld(t, second, func(w *world) {
		w.submit(inPieces("contracts", ""), paragraphs())
		w.start("a")
		w.untilOver("contracts")
		o := w.outcomes("contracts")["0"]
		w.became(o, jobs.Dead, "", "")
		if o.Kind != jobs.Overflow || w.paid() != 0 {
			t.Errorf("it died of %s, and %d calls were paid for", o.Kind, w.paid())
		}
	})
}
