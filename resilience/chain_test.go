package resilience

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/drover-batch/drover/jobs"
)

func TestFirstModelAnswers(t *testing.T) {
	onStage(t, func(s *scene) {
		o := s.ends(jobs.Answered)
		equal(s, "answer", o.Answer, "yes")
		equal(s, "model", o.Model, "small")
		equal(s, "degraded", o.Degraded, "")
		equal(s, "cost", o.Cost, 120) // 100 tokens in at $1, 10 out at $2 per million
		equal(s, "worst case asked for", s.entered[0].Worst, 2100)
		equal(s, "worker", o.Worker, "w1")
		equal(s, "calls to large", s.large.calls, 0)
	})
}

func TestLaterModelIsPartial(t *testing.T) {
	onStage(t, func(s *scene) {
		s.small.script = []reply{fails(jobs.Refused)}
		o := s.ends(jobs.Answered)
		equal(s, "model", o.Model, "large")
		equal(s, "degraded", o.Degraded, jobs.Partial)
		equal(s, "reason", o.Reason, "answered by large because small failed with refused: no")
		equal(s, "attempts", len(o.Attempts), 2)
	})
}

func TestTooLongInputGoesToALargerModel(t *testing.T) {
	onStage(t, func(s *scene) {
		s.small.tokens, s.large.tokens = 123_456, 123_456
		o := s.ends(jobs.Answered)
		equal(s, "skipped", o.Skipped[0], jobs.Skip{Model: "small", Why: "123,456 tokens do not fit its 16,000"})
		equal(s, "degraded", o.Degraded, jobs.Partial)
		equal(s, "reason", o.Reason, "answered by large because the input is too long for small: 123,456 tokens do not fit its 16,000")
		equal(s, "calls to small", s.small.calls, 0)
	})
}

func TestImagesGoToAModelThatSees(t *testing.T) {
	onStage(t, func(s *scene) {
		s.task.Request.Messages = []jobs.Message{{Role: jobs.User, Images: []jobs.Image{{Type: "image/png"}}}}
		s.chain.Links[1].Model.Vision = true
		o := s.ends(jobs.Answered)
		equal(s, "skipped", o.Skipped[0], jobs.Skip{Model: "small", Why: "does not see images: one that does has vision: true"})
		equal(s, "reason", o.Reason, "answered by large because small does not see images: one that does has vision: true")
		s.chain.Links[1].Model.Vision = false
		o = s.ends(jobs.Dead)
		equal(s, "kind", o.Kind, jobs.InvalidRequest)
		equal(s, "calls to small", s.small.calls, 0)
	})
}

func TestInputTooLongForAllIsDead(t *testing.T) {
	onStage(t, func(s *scene) {
		s.small.tokens, s.large.tokens = 1_000_000, 1_000_000
		o := s.ends(jobs.Dead)
		equal(s, "kind", o.Kind, jobs.Overflow)
		equal(s, "skipped", len(o.Skipped), 2)
		equal(s, "asked of the gate", len(s.entered), 0)
	})
}

func TestAnswerIsLimitedToTheRoomThatIsLeft(t *testing.T) {
	onStage(t, func(s *scene) {
		s.small.tokens = 15_500
		s.ends(jobs.Answered)
		equal(s, "output", s.entered[0].Output, 500)
	})
}

func TestRequestLowersTheLimitOfItsAnswer(t *testing.T) {
	onStage(t, func(s *scene) {
		s.task.Request.MaxOutput = 50
		s.ends(jobs.Answered)
		equal(s, "output", s.entered[0].Output, 50)
	})
}

func TestCostsAreAsSureAsTheUsage(t *testing.T) {
	t.Parallel()
	used := jobs.Usage{Input: 100, Output: 10}
	for name, row := range map[string]struct {
		answer  *jobs.Answer
		failure *jobs.Failure
		billing jobs.Billing
		cost    jobs.USD
	}{
		"reported":               {answer: &jobs.Answer{Text: "yes", Usage: used}, billing: jobs.Billed, cost: 120},
		"estimated":              {answer: &jobs.Answer{Text: "yes", Usage: used, Estimated: true}, billing: jobs.Presumed, cost: 120},
		"not reported":           {answer: &jobs.Answer{Text: "yes"}, billing: jobs.Presumed, cost: 2100},
		"never sent":             {failure: &jobs.Failure{Kind: jobs.Refused}, billing: jobs.Free},
		"unusable but paid":      {failure: &jobs.Failure{Kind: jobs.Refused, Answer: &jobs.Answer{Usage: used}}, billing: jobs.Billed, cost: 120},
		"billed, nobody knows":   {failure: &jobs.Failure{Kind: jobs.Refused, Billing: jobs.Billed}, billing: jobs.Presumed, cost: 2100},
		"lost after it was sent": {failure: &jobs.Failure{Kind: jobs.Refused, Billing: jobs.Presumed}, billing: jobs.Presumed, cost: 2100},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(s *scene) {
				s.small.script = []reply{func(context.Context) (*jobs.Answer, error) {
					if row.failure != nil {
						return nil, row.failure
					}
					return row.answer, nil
				}}
				a := s.ends(jobs.Answered).Attempts[0]
				equal(s, "billing", a.Billing, row.billing)
				equal(s, "cost", a.Cost, row.cost)
				equal(s, "cost the gate was told", s.left[0].Cost, row.cost)
			})
		})
	}
}

func TestFailuresByKind(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		kind         jobs.Kind
		small, large int // calls to each, when all fail so
		dead         bool
	}{
		{jobs.Timeout, 3, 3, true},
		{jobs.Unreachable, 3, 3, true},
		{jobs.ServerError, 3, 3, true},
		{jobs.Internal, 3, 3, true},
		{jobs.Overflow, 1, 1, true},
		{jobs.Refused, 1, 1, true},
		{jobs.InvalidAnswer, 1, 1, true},
		{jobs.InvalidRequest, 1, 0, true},
		{jobs.NoQuota, 1, 1, false},
		{jobs.RateLimited, 6, 0, false}, // a limit alone makes nobody ask a dearer model
	} {
		t.Run(string(row.kind), func(t *testing.T) {
			onStage(t, func(s *scene) {
				s.small.script = []reply{fails(row.kind)}
				s.large.script = s.small.script
				d := s.run()
				equal(s, "calls to small", s.small.calls, row.small)
				equal(s, "calls to large", s.large.calls, row.large)
				equal(s, "dead", d.Outcome != nil, row.dead)
				if row.dead {
					equal(s, "kind", d.Outcome.Kind, row.kind)
					equal(s, "attempts", len(d.Outcome.Attempts), row.small+row.large)
				} else {
					equal(s, "attempts", len(d.Attempts), row.small+row.large)
					equal(s, "rest", d.Rest, true)
				}
			})
		})
	}
}

func TestRetriesWaitLongerEachTime(t *testing.T) {
	onStage(t, func(s *scene) {
		s.small.script = []reply{fails(jobs.ServerError), fails(jobs.ServerError), text("yes")}
		s.ends(jobs.Answered)
		want := []time.Duration{0, 500 * time.Millisecond, 1500 * time.Millisecond} // half of 1s, then half of 2s
		if !slices.Equal(s.small.asked, want) {
			s.Errorf("asked at %v, want %v", s.small.asked, want)
		}
	})
}

func TestRetryAfterIsRespected(t *testing.T) {
	onStage(t, func(s *scene) {
		s.small.script = []reply{failing(jobs.Failure{Kind: jobs.ServerError, RetryAfter: 7 * time.Second}), text("yes")}
		s.ends(jobs.Answered)
		equal(s, "asked again after", s.small.asked[1], 7*time.Second)
	})
}

func TestRateLimitIsWaitedOutWithoutATry(t *testing.T) {
	onStage(t, func(s *scene) {
		s.chain.Retry.Tries = 1
		s.small.script = []reply{failing(jobs.Failure{Kind: jobs.RateLimited, RetryAfter: 10 * time.Second}), text("yes")}
		o := s.ends(jobs.Answered)
		equal(s, "model", o.Model, "small")
		equal(s, "asked again after", s.small.asked[1], 10500*time.Millisecond) // and a twentieth
	})
}

func TestLongRateLimitMovesOn(t *testing.T) {
	onStage(t, func(s *scene) {
		s.chain.WhenLimited = jobs.FallBackWhenLimited
		s.small.script = []reply{failing(jobs.Failure{Kind: jobs.RateLimited, RetryAfter: time.Hour})}
		o := s.ends(jobs.Answered)
		equal(s, "model", o.Model, "large")
		equal(s, "calls to small", s.small.calls, 1)
	})
}

func TestLongRetryAfterBringsTheJobBack(t *testing.T) {
	onStage(t, func(s *scene) {
		s.small.script = []reply{failing(jobs.Failure{Kind: jobs.ServerError, RetryAfter: time.Hour})}
		s.large.script = []reply{fails(jobs.Refused)}
		d := s.waits(time.Hour)
		equal(s, "attempts", len(d.Attempts), 2)
	})
}

func TestRetryBudgetBringsTheJobBack(t *testing.T) {
	onStage(t, func(s *scene) {
		s.chain.Links = s.chain.Links[:1]
		s.chain.Retry.Budget = &RetryBudget{Credit: 1}
		s.small.script = []reply{fails(jobs.ServerError)}
		d := s.waits(30 * time.Second)
		equal(s, "calls", s.small.calls, 2)
		equal(s, "attempts", len(d.Attempts), 2)
	})
}

func TestSlowModelTimesOutAndIsPresumedPaid(t *testing.T) {
	onStage(t, func(s *scene) {
		s.small.script = []reply{func(ctx context.Context) (*jobs.Answer, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		o := s.ends(jobs.Answered)
		a := o.Attempts[0]
		equal(s, "kind", a.Kind, jobs.Timeout)
		equal(s, "billing", a.Billing, jobs.Presumed)
		equal(s, "cost", a.Cost, s.entered[0].Worst)
		equal(s, "took", a.Took, time.Minute)
		equal(s, "ambiguous", o.Ambiguous(), 3*2100)
	})
}

func TestPanicIsAnAttempt(t *testing.T) {
	onStage(t, func(s *scene) {
		s.small.script = []reply{func(context.Context) (*jobs.Answer, error) { panic("the whole secret prompt") }, text("yes")}
		o := s.ends(jobs.Answered)
		equal(s, "kind", o.Attempts[0].Kind, jobs.Internal)
		equal(s, "message", o.Attempts[0].Message, "asking small panicked: a string")
		equal(s, "billing", o.Attempts[0].Billing, jobs.Presumed)
		equal(s, "cost", o.Attempts[0].Cost, 2100)
		equal(s, "answered by", o.Model, "small")
	})
}

func TestCutOffAnswerIsKeptInTheDeadLetter(t *testing.T) {
	onStage(t, func(s *scene) {
		s.small.script = []reply{func(context.Context) (*jobs.Answer, error) {
			a := said("half an")
			a.Finish = jobs.FinishLength
			return a, nil
		}}
		s.large.script = []reply{fails(jobs.Refused)}
		o := s.ends(jobs.Dead)
		equal(s, "answer", o.Answer, "half an")
		equal(s, "by", o.Model, "small")
		equal(s, "finish", o.Finish, jobs.FinishLength)
		equal(s, "first kind", o.Attempts[0].Kind, jobs.Truncated)
		equal(s, "billing", o.Attempts[0].Billing, jobs.Billed)
		equal(s, "cost", o.Cost, 120)
	})
}

func TestEmptyAnswerIsInvalid(t *testing.T) {
	for name, empty := range map[string]reply{
		"white space": text(" \n"),
		"a call of a tool that nobody offered": func(context.Context) (*jobs.Answer, error) {
			a := said("")
			a.Calls = []jobs.ToolCall{{ID: "c", Name: "search", Arguments: "{}"}}
			return a, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(s *scene) {
				s.small.script = []reply{empty}
				o := s.ends(jobs.Answered)
				equal(s, "model", o.Model, "large")
				equal(s, "kind", o.Attempts[0].Kind, jobs.InvalidAnswer)
			})
		})
	}
}

func TestReadyRequestIsPassedOnAsItIs(t *testing.T) {
	onStage(t, func(s *scene) {
		s.task.Request = &jobs.Request{Endpoint: "/v1/chat/completions", Body: []byte(`{"max_tokens":1}`)}
		s.small.script = []reply{func(context.Context) (*jobs.Answer, error) {
			return &jobs.Answer{Finish: jobs.FinishLength, Body: []byte(`{"id":"x"}`)}, nil
		}}
		o := s.ends(jobs.Answered)
		equal(s, "response", string(o.Response), `{"id":"x"}`)
		equal(s, "cost without usage", o.Cost, s.entered[0].Worst)
		equal(s, "billing", o.Attempts[0].Billing, jobs.Presumed)
	})
}

func TestErrorBodyIsAlwaysJSON(t *testing.T) {
	onStage(t, func(s *scene) {
		s.small.script = []reply{failing(jobs.Failure{Kind: jobs.InvalidRequest, Status: 400, Body: []byte("<html>")})}
		o := s.ends(jobs.Dead)
		equal(s, "body", string(o.ErrorBody), `"\u003chtml\u003e"`)
		equal(s, "code", o.Code, 400)
	})
}

func TestChainWithoutModelsSaysSo(t *testing.T) {
	onStage(t, func(s *scene) {
		s.chain.Links = nil
		o := s.ends(jobs.Dead)
		equal(s, "kind", o.Kind, jobs.Internal)
	})
}

func TestErrorBodiesAreValidJSON(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{"": "", `{"error": 1}`: `{"error": 1}`, "<html>": `"\u003chtml\u003e"`} {
		if got := string(raw([]byte(body))); got != want {
			t.Errorf("%q became %s, want %s", body, got, want)
		}
	}
}

func TestWaitsAreNeitherEndlessNorABusyLoop(t *testing.T) {
	for wait, want := range map[time.Duration]time.Duration{
		0: leastWait, 5 * time.Minute: 5 * time.Minute, 10 * time.Hour: longestWait,
	} {
		t.Run(wait.String(), func(t *testing.T) {
			onStage(t, func(s *scene) {
				s.enter = refusing("all", Refusal{Guard: BreakerGuard, Circuit: Open, Wait: wait})
				s.waits(want)
				s.task.Batch.Deadline = time.Now().Add(24 * time.Hour)
				s.waits(want)
				s.task.Batch.Deadline = time.Now().Add(50 * time.Millisecond)
				s.waits(50 * time.Millisecond)
			})
		})
	}
}

func TestAttemptHasWhatTheAnswerSaidOfItself(t *testing.T) {
	onStage(t, func(s *scene) {
		quota := &jobs.Quota{RequestsLimit: 600, RequestsLeft: 599}
		s.small.script = []reply{func(context.Context) (*jobs.Answer, error) {
			a := said("yes")
			a.RequestID, a.Quota = "req-1", quota
			return a, nil
		}}
		o := s.ends(jobs.Answered)
		a := o.Attempts[0]
		if a.Status != 200 || a.RequestID != "req-1" || a.Quota != quota || s.left[0].Quota != quota {
			s.Errorf("got %+v", a)
		}
		equal(s, "finished", o.Finished, time.Now().UTC())
	})
}

func TestNoMoreIsAskedForThanModelAndJobAllow(t *testing.T) {
	for _, row := range []struct{ own, context, want int64 }{
		{0, 16_000, 1000}, {400, 16_000, 400}, {5000, 16_000, 1000}, {0, 600, 500},
	} {
		t.Run(fmt.Sprint(row), func(t *testing.T) {
			onStage(t, func(s *scene) {
				s.task.Request.MaxOutput = int(row.own)
				s.chain.Links[0].Model.Context = int(row.context)
				s.ends(jobs.Answered)
				equal(s, "output", s.entered[0].Output, row.want)
				equal(s, "worst case", s.entered[0].Worst, jobs.USD(100+2*row.want))
			})
		})
	}
}

func TestOnlyCallsThatMayCostAreOfUnknownCost(t *testing.T) {
	onStage(t, func(s *scene) {
		s.chain.Links[0].Model.Price = nil
		s.small.script = []reply{failing(jobs.Failure{Kind: jobs.ServerError, Billing: jobs.Free}), text("yes")}
		o := s.ends(jobs.Answered)
		equal(s, "of the failure", o.Attempts[0].Unpriced, false)
		equal(s, "of the answer", o.Attempts[1].Unpriced, true)
	})
}

func TestCallsEarnRetriesAndRetriesDoNot(t *testing.T) {
	onStage(t, func(s *scene) {
		b := &RetryBudget{Credit: 2}
		for range 2 {
			b.Take()
		}
		s.chain.Retry.Budget = b
		s.small.script = []reply{text("yes"), text("yes"), text("yes"), text("yes"), text("yes"), fails(jobs.ServerError), text("yes")}
		for range 6 {
			s.ends(jobs.Answered)
		}
		equal(s, "calls", s.small.calls, 7)
		if b.saved < 0.19 || b.saved > 0.21 {
			s.Errorf("%.2f retries are saved up after six first calls and one retry, want 0.20", b.saved)
		}
	})
}
