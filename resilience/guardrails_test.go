package resilience

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/drover-batch/drover/jobs"
)

// calling answers with a call of the tool search.
func calling(arguments string, tokens int64) reply {
	return func(context.Context) (*jobs.Answer, error) {
		return &jobs.Answer{
			Finish: jobs.FinishTools, Usage: jobs.Usage{Input: tokens},
			Calls:    []jobs.ToolCall{{ID: "c", Name: "search", Arguments: arguments}},
			Thoughts: &jobs.Thoughts{Model: "small", Body: []byte(`["hm"]`)},
		}, nil
	}
}

// endless calls the tool for ever, each time with other arguments.
func endless(tokens int64) []reply {
	n := 0
	return []reply{func(ctx context.Context) (*jobs.Answer, error) {
		n++
		return calling(fmt.Sprint(n), tokens)(ctx)
	}}
}

func (s *scene) withTools() {
	s.task.Turn = func(_ context.Context, talk []jobs.Message) ([]jobs.Message, error) {
		return []jobs.Message{{Role: jobs.ToolRole, Reply: talk[len(talk)-1].Calls[0].ID, Text: "found"}}, nil
	}
}

// runsAway runs to a dead outcome that names the limit and keeps the
// transcript.
func (s *scene) runsAway(limit string) *jobs.Outcome {
	s.Helper()
	o := s.ends(jobs.Dead)
	equal(s, "kind", o.Kind, jobs.Runaway)
	if !strings.Contains(o.Reason, limit) {
		s.Errorf("reason %q does not tell of %q", o.Reason, limit)
	}
	if len(o.Transcript) == 0 {
		s.Error("the transcript is gone")
	}
	equal(s, "calls to large", s.large.calls, 0)
	return o
}

func TestToolsAreRunAndTheModelIsAskedAgain(t *testing.T) {
	onStage(t, func(s *scene) {
		s.withTools()
		own := append(make([]jobs.Message, 0, 10), s.task.Request.Messages...)
		s.task.Request.Messages = own
		s.small.script = []reply{calling("{}", 5), text("yes")}
		o := s.ends(jobs.Answered)
		equal(s, "answer", o.Answer, "yes")
		equal(s, "attempts", len(o.Attempts), 2)
		m := s.small.seen[1].Messages
		equal(s, "messages", len(m), 3)
		equal(s, "second is the model's", m[1].Calls[0].Name, "search")
		equal(s, "what it thought goes back to it", string(m[1].Thoughts.Body), `["hm"]`)
		equal(s, "third is the tool's", m[2].Text, "found")
		equal(s, "the task's own request", len(s.task.Request.Messages), 1)
		equal(s, "the memory behind it", own[:2][1].Role, "")
	})
}

func TestConversationGoesOnWithTheNextModel(t *testing.T) {
	onStage(t, func(s *scene) {
		s.withTools()
		s.small.script = []reply{calling("{}", 5), fails(jobs.Refused)}
		o := s.ends(jobs.Answered)
		equal(s, "model", o.Model, "large")
		equal(s, "messages it was given", len(s.large.seen[0].Messages), 3)
	})
}

func TestToolCallsAreTheAnswerToAReadyRequest(t *testing.T) {
	onStage(t, func(s *scene) {
		s.task.Request = &jobs.Request{Body: []byte(`{}`), Endpoint: "/v1/chat/completions"}
		s.small.script = []reply{calling("{}", 5)}
		o := s.ends(jobs.Answered)
		equal(s, "finish", o.Finish, jobs.FinishTools)
	})
}

func TestTooManyAnswersRunAway(t *testing.T) {
	onStage(t, func(s *scene) {
		s.withTools()
		s.small.script = endless(1)
		s.runsAway("after 20 answers")
		equal(s, "calls", s.small.calls, 20)
	})
}

func TestTooManyToolCallsRunAway(t *testing.T) {
	onStage(t, func(s *scene) {
		s.withTools()
		s.chain.Guardrails.ToolCalls = 2
		s.small.script = endless(1)
		s.runsAway("3 tool calls, of 2 allowed")
		equal(s, "calls", s.small.calls, 3)
	})
}

func TestTooManyTokensRunAwayBeforeTheyAreSpent(t *testing.T) {
	onStage(t, func(s *scene) {
		s.withTools()
		s.chain.Guardrails.Tokens = 99_000
		s.small.script = endless(49_000)
		o := s.runsAway("used 98,000 tokens and its next step could use 1,100 more, of 99,000 allowed")
		equal(s, "tokens", o.Usage.Total(), 98_000)
	})
}

func TestTooLongConversationRunsAway(t *testing.T) {
	onStage(t, func(s *scene) {
		s.withTools()
		slow := endless(1)[0]
		s.small.script = []reply{func(ctx context.Context) (*jobs.Answer, error) {
			time.Sleep(50 * time.Second)
			return slow(ctx)
		}}
		s.runsAway("longer than the 5m0s allowed")
		equal(s, "calls", s.small.calls, 6)
	})
}

func TestHangingToolRunsAway(t *testing.T) {
	onStage(t, func(s *scene) {
		s.task.Turn = func(ctx context.Context, _ []jobs.Message) ([]jobs.Message, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		s.small.script = endless(1)
		s.runsAway("longer than the 5m0s allowed")
	})
}

func TestSameToolCallIsStoppedTheThirdTime(t *testing.T) {
	onStage(t, func(s *scene) {
		s.withTools()
		s.small.script = []reply{calling(`{"a":1,"b":2}`, 1), calling(`{ "b": 2, "a": 1 }`, 1), calling(`{"a":1,"b":2}`, 1)}
		s.runsAway(`the tool "search" was called with the same arguments 3 times`)
		equal(s, "calls", s.small.calls, 3)
	})
}

func TestLongDocumentIsNoRunaway(t *testing.T) {
	onStage(t, func(s *scene) {
		s.withTools()
		s.chain.Links = s.chain.Links[1:]
		s.large.tokens = 150_000
		o := s.ends(jobs.Answered)
		equal(s, "answer", o.Answer, "yes")
	})
}

func TestFailingToolsBuryTheJobWithItsTranscript(t *testing.T) {
	for name, turn := range map[string]func() error{
		"error": func() error { return errors.New("no such file") },
		"panic": func() error { panic("oh") },
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(s *scene) {
				s.task.Turn = func(context.Context, []jobs.Message) ([]jobs.Message, error) { return nil, turn() }
				s.small.script = endless(1)
				o := s.ends(jobs.Dead)
				equal(s, "kind", o.Kind, jobs.Internal)
				equal(s, "transcript", len(o.Transcript), 2)
				equal(s, "calls", s.small.calls, 1)
			})
		})
	}
}

func TestStopDuringToolsHandsBack(t *testing.T) {
	onStage(t, func(s *scene) {
		ctx, cancel := context.WithCancel(s.Context())
		s.task.Turn = func(ctx context.Context, _ []jobs.Message) ([]jobs.Message, error) {
			cancel()
			return nil, ctx.Err()
		}
		s.small.script = endless(1)
		d := s.runIn(ctx)
		equal(s, "back", d.Back, true)
		equal(s, "attempts", len(d.Attempts), 1)
	})
}

func TestConversationIsFinishedWhileStopping(t *testing.T) {
	onStage(t, func(s *scene) {
		stop := make(chan struct{})
		s.chain.Stopping = stop
		s.task.Turn = func(context.Context, []jobs.Message) ([]jobs.Message, error) {
			close(stop)
			return []jobs.Message{{Role: jobs.ToolRole, Text: "found"}}, nil
		}
		s.small.script = []reply{calling("{}", 1), text("yes")}
		o := s.ends(jobs.Answered)
		equal(s, "transcript", len(o.Transcript), 3)
	})
}

func TestShortTranscriptIsWhole(t *testing.T) {
	t.Parallel()
	for n := range keptFirst + keptLast + 1 {
		var all []jobs.Message
		for i := range n {
			all = append(all, jobs.Message{Role: jobs.User, Text: fmt.Sprint(i)})
		}
		if diff := cmp.Diff(all, shortened(all), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("of %d messages:\n%s", n, diff)
		}
	}
}

func TestTranscriptIsShortened(t *testing.T) {
	t.Parallel()
	var long []jobs.Message
	for i := range 100 {
		long = append(long, jobs.Message{Role: jobs.User, Text: fmt.Sprint(i, strings.Repeat("é", 3000)),
			Calls:    slices.Repeat([]jobs.ToolCall{{Arguments: strings.Repeat("x", 5000)}}, 2*keptLast),
			Thoughts: &jobs.Thoughts{Body: []byte(strings.Repeat("x", 5000))}})
	}
	short := shortened(long)
	if len(short) != keptFirst+1+keptLast {
		t.Errorf("%d messages are kept", len(short))
	}
	if got := short[keptFirst].Text; got != "[76 messages left out]" {
		t.Errorf("the gap says %q", got)
	}
	if !strings.HasPrefix(short[len(short)-1].Text, "99") || !strings.HasPrefix(short[keptFirst-1].Text, "3") {
		t.Error("the wrong messages are kept")
	}
	for _, m := range short {
		if len(m.Text) > keptText+50 || strings.ContainsRune(m.Text, '\uFFFD') {
			t.Errorf("a text of %d bytes is kept", len(m.Text))
		}
		if len(m.Calls) > keptLast {
			t.Errorf("%d calls of one answer are kept", len(m.Calls))
		}
		if m.Thoughts != nil {
			t.Error("thoughts that nobody can read are kept")
		}
	}
	if len(long[0].Calls[0].Arguments) != 5000 {
		t.Error("shortening changed the original")
	}
}
