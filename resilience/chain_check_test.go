package resilience

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// strict is a standard of which only answers that begin with "yes" are, and of
// others what stands after "so: ". Judges say yes, or no and why.
type strict struct{}

func (strict) Examine(text string) *jobs.Finding {
	after, extracted := strings.CutPrefix(text, "so: ")
	if strings.HasPrefix(after, "yes") {
		return &jobs.Finding{Answer: after, Extracted: extracted, Quotes: []jobs.Quote{{At: "/q", Offset: 7}}}
	}
	return &jobs.Finding{Answer: text, Flaws: []jobs.Flaw{
		{Check: jobs.CheckSchema, At: "/end", Message: "must be yes"},
		{Check: jobs.CheckQuote, At: "/q", Message: `"may be" is not in the document`, Near: "it is"},
	}}
}

func (strict) Brief(asked *jobs.Request, answer string) *jobs.Request {
	m := jobs.Message{Role: jobs.User, Images: asked.Messages[0].Images}
	for _, said := range asked.Messages {
		if said.Role == jobs.User {
			m.Text += said.Text + " "
		}
	}
	m.Text += answer
	return &jobs.Request{System: "judge", Messages: []jobs.Message{m}}
}

func (strict) Ruling(text string) (*jobs.Flaw, error) {
	switch why, no := strings.CutPrefix(text, "no: "); {
	case no:
		return &jobs.Flaw{Check: jobs.CheckJudge, Message: why}, nil
	case text == "yes":
		return nil, nil
	}
	return nil, errors.New("the judge did not answer yes or no")
}

// checked is a scene whose answers are held to the strict standard.
func checked(t *testing.T, play func(*scene)) {
	onStage(t, func(s *scene) {
		s.task.Standard = strict{}
		play(s)
	})
}

// steps are the steps of the attempts, "" for a plain question.
func stepsOf(o *jobs.Outcome) (all []string) {
	for _, a := range o.Attempts {
		all = append(all, strings.TrimSpace(a.Model+" "+a.Step))
	}
	return all
}

func listed(s *scene, what string, got []string, want ...string) {
	s.Helper()
	if !slices.Equal(got, want) {
		s.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func TestValidAnswerIsTaken(t *testing.T) {
	checked(t, func(s *scene) {
		o := s.ends(jobs.Answered)
		equal(s, "rung", o.Checked, jobs.AtOnce)
		equal(s, "quote", o.Quotes[0].Offset, 7)
		equal(s, "calls", s.small.calls, 1)
	})
}

func TestExtractedAnswerIsTaken(t *testing.T) {
	checked(t, func(s *scene) {
		s.small.script = []reply{text("so: yes it is")}
		o := s.ends(jobs.Answered)
		equal(s, "rung", o.Checked, jobs.Extracted)
		equal(s, "answer", o.Answer, "yes it is")
		equal(s, "calls", s.small.calls, 1)
	})
}

func TestFlawsAreToldToTheModel(t *testing.T) {
	checked(t, func(s *scene) {
		s.small.script = []reply{text("maybe"), text("yes")}
		o := s.ends(jobs.Answered)
		equal(s, "rung", o.Checked, jobs.Repaired)
		equal(s, "degraded", o.Degraded, "")
		listed(s, "steps", stepsOf(o), "small", "small repair")
		asked := s.small.seen[1].Messages
		equal(s, "messages", len(asked), 3)
		equal(s, "its own answer", asked[1].Text, "maybe")
		for _, want := range []string{"at /end: must be yes\n", `at /q: "may be" is not in the document. The passage most like it is: it is`} {
			if !strings.Contains(asked[2].Text, want) {
				s.Errorf("the model is told %q, which lacks %q", asked[2].Text, want)
			}
		}
		equal(s, "kind", o.Attempts[0].Kind, jobs.InvalidAnswer)
		equal(s, "message", o.Attempts[0].Message, "the answer does not do: 1 violation of the schema, 1 quote that is not in the document")
		equal(s, "cost of each", o.Attempts[0].Cost, 120)
		equal(s, "kept answer", o.Rejected[0].Answer, "maybe")
		equal(s, "its call", o.Rejected[0].Call, o.Attempts[0].Call)
		equal(s, "the job's own request", len(s.task.Request.Messages), 1)
	})
}

func TestStrongerModelAnswersAfterTheRepair(t *testing.T) {
	checked(t, func(s *scene) {
		s.small.script = []reply{text("maybe"), text("perhaps")}
		o := s.ends(jobs.Answered)
		equal(s, "rung", o.Checked, jobs.Escalated)
		equal(s, "degraded", o.Degraded, jobs.Partial)
		listed(s, "steps", stepsOf(o), "small", "small repair", "large")
		equal(s, "what large is asked", len(s.large.seen[0].Messages), 1)
	})
}

func TestNobodysAnswerDoes(t *testing.T) {
	checked(t, func(s *scene) {
		s.small.script, s.large.script = []reply{text("maybe"), text("perhaps")}, []reply{text("hm"), text("well")}
		o := s.ends(jobs.Dead)
		equal(s, "kind", o.Kind, jobs.InvalidAnswer)
		listed(s, "steps", stepsOf(o), "small", "small repair", "large", "large repair")
		equal(s, "rejected", len(o.Rejected), 4)
		equal(s, "the last", o.Rejected[3].Answer, "well")
		equal(s, "its flaws", len(o.Rejected[3].Flaws), 2)
		if strings.Contains(o.Reason, "may be") {
			s.Errorf("the reason gives an answer away: %s", o.Reason)
		}
	})
}

func TestTruncatedAndRefusedAnswersAreNotRepaired(t *testing.T) {
	t.Parallel()
	for _, finish := range []string{jobs.FinishLength, jobs.FinishRefused} {
		t.Run(finish, func(t *testing.T) {
			checked(t, func(s *scene) {
				s.small.script = []reply{func(context.Context) (*jobs.Answer, error) {
					a := said("yes, and")
					a.Finish = finish
					return a, nil
				}}
				o := s.ends(jobs.Answered)
				listed(s, "steps", stepsOf(o), "small", "large")
				equal(s, "rung", o.Checked, jobs.Escalated)
			})
		})
	}
}

func TestNoRepairWithoutRoom(t *testing.T) {
	checked(t, func(s *scene) {
		s.small.counts = func(r *jobs.Request) int64 { return int64(len(r.Messages)) * 7000 }
		s.small.script = []reply{text("maybe")}
		listed(s, "steps", stepsOf(s.ends(jobs.Answered)), "small", "large")
	})
}

func TestReadyRequestsAreNotChecked(t *testing.T) {
	checked(t, func(s *scene) {
		s.task.Request = &jobs.Request{Body: []byte(`{}`), Endpoint: "/v1/chat/completions"}
		s.small.script = []reply{text("maybe")}
		o := s.ends(jobs.Answered)
		equal(s, "answer", o.Answer, "maybe")
		equal(s, "rung", o.Checked, "")
	})
}

// judged is a scene in which a third model has to agree.
func judged(t *testing.T, play func(s *scene, judge *actor)) {
	checked(t, func(s *scene) {
		judge := &actor{scene: s, tokens: 50, start: time.Now(), script: []reply{text("yes")}}
		s.task.Judges = []Link{{&jobs.Model{Name: "judge", Context: 1000, MaxOutput: 100}, judge}}
		play(s, judge)
	})
}

func TestJudgeAgrees(t *testing.T) {
	judged(t, func(s *scene, judge *actor) {
		s.small.script = []reply{text("so: yes it is")}
		o := s.ends(jobs.Answered)
		listed(s, "steps", stepsOf(o), "small", "judge judge")
		equal(s, "rung", o.Checked, jobs.Extracted)
		equal(s, "answer", o.Answer, "yes it is")
		equal(s, "what it is asked", judge.seen[0].Messages[0].Text, "is it? yes it is")
	})
}

func TestJudgeSawWhatTheModelWasToldOfItsAnswer(t *testing.T) {
	judged(t, func(s *scene, judge *actor) {
		s.withTools()
		s.small.script = []reply{text("maybe"), text("yes it is")}
		listed(s, "steps", stepsOf(s.ends(jobs.Answered)), "small turn 1", "small repair", "judge judge")
		equal(s, "what it is asked", judge.seen[0].Messages[0].Text, "is it? yes it is")
	})
}

func TestJudgeSaysNo(t *testing.T) {
	judged(t, func(s *scene, judge *actor) {
		s.small.script = []reply{text("yes"), text("yes!")}
		judge.script = []reply{text("no: it is June"), text("no: still June"), text("yes")}
		o := s.ends(jobs.Answered)
		listed(s, "steps", stepsOf(o), "small", "judge judge", "small repair", "judge judge 2", "large", "judge judge 3")
		equal(s, "rung", o.Checked, jobs.Escalated)
		equal(s, "kind", o.Attempts[0].Kind, jobs.InvalidAnswer)
		if !strings.Contains(s.small.seen[1].Messages[2].Text, "it is June") {
			s.Errorf("the model is told %q", s.small.seen[1].Messages[2].Text)
		}
	})
}

func TestAnswersThatJudgesRejectAreKept(t *testing.T) {
	judged(t, func(s *scene, judge *actor) {
		s.small.script = []reply{text("yes"), text("yes!")}
		judge.script = []reply{text("no: it is June"), text("yes")}
		o := s.ends(jobs.Answered)
		if len(o.Rejected) != 1 || o.Rejected[0].Answer != "yes" || o.Rejected[0].Flaws[0].Message != "it is June" {
			s.Errorf("rejected are %+v", o.Rejected)
		}
		equal(s, "rung", o.Checked, jobs.Repaired)
	})
}

func TestAnswerAfterATimeoutElsewhereIsNotEscalated(t *testing.T) {
	checked(t, func(s *scene) {
		s.small.script = []reply{fails(jobs.Timeout)}
		o := s.ends(jobs.Answered)
		equal(s, "model", o.Model, "large")
		equal(s, "rung", o.Checked, jobs.AtOnce)
	})
}

func TestJudgeThatDoesNotRuleIsNoJudge(t *testing.T) {
	judged(t, func(s *scene, judge *actor) {
		judge.script = []reply{text("hm")}
		o := s.ends(jobs.Dead)
		listed(s, "steps", stepsOf(o), "small", "judge judge")
		equal(s, "kind", o.Kind, jobs.InvalidAnswer)
		equal(s, "the answer", o.Answer, "yes")
		equal(s, "reason", o.Reason, "the judge judge failed with invalid_answer (200): the judge did not answer yes or no")
	})
}

// handedOver runs until the job goes back, and again as another worker would.
func handedOver(s *scene) (first jobs.Decision, kept *jobs.Checkpoint) {
	s.Helper()
	s.task.Keep = func(_ context.Context, c *jobs.Checkpoint) error {
		data, err := json.Marshal(c)
		if err != nil {
			return err
		}
		kept = new(jobs.Checkpoint)
		return json.Unmarshal(data, kept)
	}
	first = s.run()
	if kept == nil {
		s.Fatal("nothing is on record")
	}
	s.task.Resumed = kept
	return first, kept
}

func TestAnswerWaitsForItsJudge(t *testing.T) {
	judged(t, func(s *scene, judge *actor) {
		s.enter = refusing("judge", Refusal{Guard: BreakerGuard, Reason: "its circuit is open", Wait: 20 * time.Second})
		first, _ := handedOver(s)
		equal(s, "wait", first.Wait, 20*time.Second)
		equal(s, "calls of large", s.large.calls, 0)
		s.enter = nil
		o := s.ends(jobs.Answered)
		listed(s, "steps", stepsOf(o), "small", "judge judge")
		equal(s, "calls of small", s.small.calls, 1)
		equal(s, "quote", o.Quotes[0].Offset, 7)
	})
}

// That the judge has no room for request and answer is no reason to ask the
// model, which had, about the document's parts.
func TestAnswerThatIsTooLongForTheJudgeIsPaidForOnce(t *testing.T) {
	for _, policy := range []jobs.Overlong{jobs.Split, jobs.Shorten, jobs.LargerOrSplit, jobs.BuryOverlong} {
		t.Run(string(policy), func(t *testing.T) {
			judged(t, func(s *scene, judge *actor) {
				judge.counts = func(r *jobs.Request) int64 { return int64(len(r.Messages[0].Text)) }
				s.task.Judges[0].Model.Context = 110
				s.small.script = []reply{text("yes, it is")}
				s.task.Batch.Overflow = policy
				s.task.Job.Document.Body = []byte("It is.")
				s.task.Part = func(string) (*jobs.Request, error) { return s.task.Request, nil }
				o := s.ends(jobs.Dead)
				listed(s, "steps", stepsOf(o), "small")
				equal(s, "kind", o.Kind, jobs.Overflow)
				equal(s, "reason", o.Reason, "the judge judge has no room for request and answer: 17 tokens do not fit its 110")
			})
		})
	}
}

func TestWhatNoJudgeCanTakeIsNotPaidFor(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*scene)
		kind   jobs.Kind
		reason string
	}{
		"too long": {func(s *scene) { s.task.Judges[0].Model.Context = 100 }, jobs.Overflow,
			"the judge judge has no room for request and answer: 50 tokens do not fit its 100"},
		"pictures": {func(s *scene) {
			s.chain.Links[0].Model.Vision = true
			s.task.Request.Messages[0].Images = []jobs.Image{{Type: "image/png"}}
		}, jobs.InvalidRequest, "the judge judge does not see images: one that does has vision: true"},
	} {
		t.Run(name, func(t *testing.T) {
			judged(t, func(s *scene, judge *actor) {
				c.change(s)
				o := s.ends(jobs.Dead)
				listed(s, "steps", stepsOf(o))
				equal(s, "kind", o.Kind, c.kind)
				equal(s, "reason", o.Reason, c.reason)
			})
		})
	}
}

func TestBatchPausesWhenMoneyForTheJudgeIsMissing(t *testing.T) {
	judged(t, func(s *scene, judge *actor) {
		s.small.script = []reply{fails(jobs.Refused)}
		s.enter = refusing("judge", Refusal{Guard: LedgerGuard, Reason: "the budget is spent", Final: true})
		first, _ := handedOver(s)
		if first.Short == nil {
			s.Fatalf("decided %+v, want a pause", first)
		}
		s.enter = nil
		listed(s, "steps", stepsOf(s.ends(jobs.Answered)), "small", "large", "judge judge")
	})
}

func TestRepairGoesOnWhereItWas(t *testing.T) {
	checked(t, func(s *scene) {
		s.small.script = []reply{text("maybe"), text("yes")}
		s.enter = func(c *jobs.Call) (Pass, error) {
			if c.Step == repairStep {
				return Pass{}, errors.New("gone")
			}
			return Pass{}, nil
		}
		handedOver(s)
		s.enter = nil
		o := s.ends(jobs.Answered)
		listed(s, "steps", stepsOf(o), "small", "small repair")
		equal(s, "rung", o.Checked, jobs.Repaired)
	})
}

// Whoever went on with a conversation in which an answer had been rejected told
// the model so once more before each of its turns.
func TestAConversationIsToldOnceWhatIsWrong(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		gone     string // the step that the first worker does not come to
		then     []reply
		messages []int // of the calls made after that
		steps    []string
	}{
		"at the repair": {repairStep, []reply{text("yes")}, []int{5, 7},
			[]string{"small turn 1", "small turn 2", "small repair", "small turn 3"}},
		"after a later turn": {"turn 3", []reply{calling("3", 5), text("yes")}, []int{7, 9},
			[]string{"small turn 1", "small turn 2", "small repair", "small turn 3", "small turn 4"}},
	} {
		t.Run(name, func(t *testing.T) {
			checked(t, func(s *scene) {
				s.withTools()
				s.small.script = append([]reply{calling("1", 5), text("maybe"), calling("2", 5)}, row.then...)
				s.enter = func(c *jobs.Call) (Pass, error) {
					if c.Step == row.gone {
						return Pass{}, errors.New("gone")
					}
					return Pass{}, nil
				}
				handedOver(s)
				s.enter = nil
				before := len(s.small.seen)
				listed(s, "steps", stepsOf(s.ends(jobs.Answered)), row.steps...)
				var messages []int
				for _, r := range s.small.seen[before:] {
					messages = append(messages, len(r.Messages))
				}
				if !slices.Equal(messages, row.messages) {
					s.Errorf("the model is asked with %d messages, want %d", messages, row.messages)
				}
			})
		})
	}
}

func TestModelThatDidNoBetterIsNotAskedAgain(t *testing.T) {
	checked(t, func(s *scene) {
		s.small.script = []reply{text("maybe"), text("perhaps")}
		s.enter = func(c *jobs.Call) (Pass, error) {
			if c.Model.Name == "large" {
				return Pass{}, errors.New("gone")
			}
			return Pass{}, nil
		}
		handedOver(s)
		s.enter = nil
		o := s.ends(jobs.Answered)
		listed(s, "steps", stepsOf(o), "small", "small repair", "large")
		equal(s, "rung", o.Checked, jobs.Escalated)
	})
}

func TestLostLeaseEndsTheRepair(t *testing.T) {
	checked(t, func(s *scene) {
		s.small.script = []reply{text("maybe")}
		s.task.Keep = func(context.Context, *jobs.Checkpoint) error { return jobs.ErrLeaseLost }
		d := s.run()
		equal(s, "goes back", d.Back, true)
		equal(s, "calls", s.small.calls, 1)
	})
}

func TestCacheKeyTellsDemandsApart(t *testing.T) {
	t.Parallel()
	r := &jobs.Request{Messages: []jobs.Message{{Text: "a"}}}
	seen := map[string]bool{}
	for _, b := range []jobs.Batch{
		{}, {Answer: jobs.Demands{Quotes: []string{"q"}}}, {Answer: jobs.Demands{Judge: "large"}}, {Overflow: jobs.Shorten},
	} {
		seen[CacheKey(&b, r)] = true
	}
	if len(seen) != 4 {
		t.Errorf("%d keys for four sorts of batches", len(seen))
	}
	if CacheKey(&jobs.Batch{Tenant: "acme", Chain: "default", Overflow: jobs.AskLarger}, r) != RequestKey("acme", "default", r) {
		t.Error("a batch without demands has another key than before")
	}
}
