package resilience

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/drover-batch/drover/jobs"
)

// overlong is a scene with a document of 50,000 bytes and models that count a
// token for each byte; small has room for 16,000.
func overlong(t *testing.T, policy jobs.Overlong, play func(*scene)) {
	onStage(t, func(s *scene) {
		document := strings.Repeat(strings.Repeat("Whereas they agree. ", 20)+"\n\n", 125)
		ask := func(text string) (*jobs.Request, error) {
			return &jobs.Request{Schema: []byte(`{}`), Messages: []jobs.Message{{Role: jobs.User, Text: "Is it? " + text}}}, nil
		}
		count := func(r *jobs.Request) (n int64) {
			for _, m := range r.Messages {
				n += int64(len(m.Text))
			}
			return n
		}
		s.small.counts, s.large.counts = count, count
		s.task.Batch.Overflow, s.task.Part = policy, ask
		s.task.Job.Document.Body = []byte(document)
		s.task.Request, _ = ask(document)
		s.chain.Links = s.chain.Links[:1]
		play(s)
	})
}

// echo answers with how many bytes it was asked about.
func echo(a *actor) reply {
	return func(context.Context) (*jobs.Answer, error) {
		req := a.seen[len(a.seen)-1]
		return said(fmt.Sprintf("%d", len(req.Messages[len(req.Messages)-1].Text))), nil
	}
}

func TestDocumentIsReadInPieces(t *testing.T) {
	overlong(t, jobs.Split, func(s *scene) {
		s.small.script = []reply{echo(s.small)}
		o := s.ends(jobs.Answered)
		listed(s, "steps", stepsOf(o), "small piece 1 of 4", "small piece 2 of 4", "small piece 3 of 4", "small piece 4 of 4", "small combine")
		equal(s, "pieces", o.Pieces, 4)
		equal(s, "degraded", o.Degraded, "")
		equal(s, "reason", o.Reason, "read in 4 pieces, whose answers were combined, for $0.0006 in all, because the input is too long for small: 50,257 tokens do not fit its 16,000")
		last := s.small.seen[4].Messages[0].Text
		for n, asked := range s.small.seen[:4] {
			if want := fmt.Sprintf("<part-%d>\n%d\n</part-%d>", n+1, len(asked.Messages[0].Text), n+1); !strings.Contains(last, want) {
				s.Errorf("combining %q, which lacks %q", last, want)
			}
			equal(s, "schema of a piece", len(asked.Schema), 0)
		}
		equal(s, "schema of the whole", len(s.small.seen[4].Schema), 2)
	})
}

func TestPiecesAreAllOfTheDocument(t *testing.T) {
	overlong(t, jobs.Split, func(s *scene) {
		var document strings.Builder
		for i := range 4000 {
			fmt.Fprintf(&document, "Line %d.\n", i)
		}
		s.task.Job.Document.Body = []byte(document.String())
		s.task.Request, _ = s.task.Part(document.String())
		s.ends(jobs.Answered)
		var read strings.Builder
		for _, asked := range s.small.seen[:s.small.calls-1] {
			text, _, _ := strings.Cut(asked.Messages[0].Text, "\n\nThe document above is part")
			read.WriteString(strings.TrimPrefix(text, "Is it? "))
		}
		if read.String() != document.String() {
			s.Errorf("%d bytes were read in %d pieces, of %d", read.Len(), s.small.calls-1, document.Len())
		}
	})
}

func TestPiecesAreNotAskedForAgain(t *testing.T) {
	overlong(t, jobs.Split, func(s *scene) {
		s.enter = func(c *jobs.Call) (Pass, error) {
			if c.Step == "piece 3 of 4" {
				return Pass{}, context.DeadlineExceeded
			}
			return Pass{}, nil
		}
		first, kept := handedOver(s)
		equal(s, "calls", s.small.calls, 2)
		equal(s, "attempts on record", len(kept.Attempts), 2)
		equal(s, "rest", first.Rest, true)
		s.enter = nil
		listed(s, "steps", stepsOf(s.ends(jobs.Answered)), "small piece 1 of 4", "small piece 2 of 4", "small piece 3 of 4", "small piece 4 of 4", "small combine")
		equal(s, "calls in all", s.small.calls, 5)
	})
}

func TestPieceThatWasAnsweredWhileStoppingIsOnRecord(t *testing.T) {
	overlong(t, jobs.Split, func(s *scene) {
		ctx, stop := context.WithCancel(s.Context())
		s.small.script = []reply{func(context.Context) (*jobs.Answer, error) {
			stop()
			return said("one"), nil
		}}
		kept := 0
		s.task.Keep = func(ctx context.Context, c *jobs.Checkpoint) error {
			kept = len(c.Attempts)
			return ctx.Err()
		}
		d := s.runIn(ctx)
		equal(s, "back", d.Back, true)
		equal(s, "attempts on record", kept, 1)
		equal(s, "others", len(d.Attempts), 0)
	})
}

func TestNextModelGoesOnWithThePieces(t *testing.T) {
	overlong(t, jobs.Split, func(s *scene) {
		s.chain.Links = s.chain.Links[:2]
		s.small.script = []reply{text("one"), fails(jobs.Refused)}
		o := s.ends(jobs.Answered)
		listed(s, "steps", stepsOf(o), "small piece 1 of 4", "small piece 2 of 4", "large piece 2 of 4", "large piece 3 of 4", "large piece 4 of 4", "large combine")
		equal(s, "degraded", o.Degraded, jobs.Partial)
	})
}

func TestCombinedAnswerIsChecked(t *testing.T) {
	overlong(t, jobs.Split, func(s *scene) {
		s.task.Standard = strict{}
		s.small.script = []reply{text("1"), text("2"), text("3"), text("4"), text("maybe"), text("yes")}
		o := s.ends(jobs.Answered)
		equal(s, "rung", o.Checked, jobs.Repaired)
		equal(s, "step", o.Attempts[5].Step, "combine, repair")
	})
}

func TestAnswersAreCombinedAFewAtATime(t *testing.T) {
	overlong(t, jobs.Split, func(s *scene) {
		long := text(strings.Repeat("It is long. ", 550)) // 6,600 bytes
		s.small.script = []reply{long, long, long, long, long, long, text("all")}
		o := s.ends(jobs.Answered)
		listed(s, "steps", stepsOf(o)[4:], "small combine 1 to 2", "small combine 3 to 4", "small combine")
		equal(s, "answer", o.Answer, "all")
	})
}

func TestNoMorePiecesThanAllowed(t *testing.T) {
	overlong(t, jobs.Split, func(s *scene) {
		s.chain.Guardrails.Pieces = 3
		o := s.ends(jobs.Dead)
		equal(s, "kind", o.Kind, jobs.Overflow)
		equal(s, "calls", s.small.calls, 0)
		if !strings.Contains(o.Reason, "it cannot be cut into 3 pieces that do; guardrails.pieces allows no more") {
			s.Error(o.Reason)
		}
	})
}

func TestDocumentIsShortened(t *testing.T) {
	overlong(t, jobs.Shorten, func(s *scene) {
		o := s.ends(jobs.Answered)
		equal(s, "degraded", o.Degraded, jobs.Partial)
		asked := s.small.seen[0].Messages[0].Text
		if len(asked) > 15_000 || len(asked) < 14_000 || o.Shortened < 35_000 {
			s.Errorf("asked about %d bytes, %d left out", len(asked), o.Shortened)
		}
		equal(s, "schema", len(s.small.seen[0].Schema), 2)
		if !strings.HasPrefix(o.Reason, "the middle of the document, 3") || !strings.Contains(o.Reason, " of its 50,250 bytes (7") ||
			!strings.HasSuffix(o.Reason, "was left out because the input is too long for small: 50,257 tokens do not fit its 16,000") {
			s.Error(o.Reason)
		}
	})
}

func TestOverlongDocumentIsBuried(t *testing.T) {
	overlong(t, jobs.BuryOverlong, func(s *scene) {
		s.chain.Links = s.chain.Links[:2]
		o := s.ends(jobs.Dead)
		equal(s, "kind", o.Kind, jobs.Overflow)
		equal(s, "calls", s.large.calls, 0)
	})
}

func TestLargerModelComesFirstIfWanted(t *testing.T) {
	overlong(t, jobs.LargerOrSplit, func(s *scene) {
		s.chain.Links = s.chain.Links[:2]
		listed(s, "steps", stepsOf(s.ends(jobs.Answered)), "large")
	})
}

func TestDocumentTooLongForAllIsReadInPieces(t *testing.T) {
	overlong(t, jobs.LargerOrSplit, func(s *scene) {
		equal(s, "steps", len(stepsOf(s.ends(jobs.Answered))), 5)
	})
}

func TestDocumentTooLongForAllIsShortened(t *testing.T) {
	overlong(t, jobs.LargerOrShorten, func(s *scene) {
		listed(s, "steps", stepsOf(s.ends(jobs.Answered)), "small")
	})
}
