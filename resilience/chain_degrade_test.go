package resilience

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// earlier is a cache that holds one answer.
func earlier(s *scene) Cache {
	key := RequestKey("acme", "default", s.task.Request)
	return func(_ context.Context, k string) (*jobs.Outcome, error) {
		if k != key {
			return nil, nil
		}
		return &jobs.Outcome{Answer: "as before", Model: "large", Finish: jobs.FinishStop, Finished: time.Now()}, nil
	}
}

func TestEarlierAnswerStandsIn(t *testing.T) {
	onStage(t, func(s *scene) {
		s.chain.Cache = earlier(s)
		s.task.Batch.Degrade = jobs.Degrade{Cached: true, Unavailable: "sorry"}
		s.small.script = []reply{fails(jobs.Refused)}
		s.large.script = s.small.script
		o := s.ends(jobs.Answered)
		equal(s, "degraded", o.Degraded, jobs.Cached)
		equal(s, "answer", o.Answer, "as before")
		equal(s, "model", o.Model, "large")
		equal(s, "attempts", len(o.Attempts), 2)
		if !strings.Contains(o.Reason, "small failed with refused: no; large failed with refused: no") {
			s.Errorf("reason: %s", o.Reason)
		}
	})
}

func TestTextOfTheBatchStandsIn(t *testing.T) {
	onStage(t, func(s *scene) {
		s.chain.Cache = func(context.Context, string) (*jobs.Outcome, error) { return nil, errors.New("away") }
		s.task.Batch.Degrade = jobs.Degrade{Cached: true, Unavailable: "sorry"}
		s.small.script = []reply{fails(jobs.Refused)}
		s.large.script = s.small.script
		o := s.ends(jobs.Answered)
		equal(s, "degraded", o.Degraded, jobs.Unavailable)
		equal(s, "answer", o.Answer, "sorry")
		equal(s, "reports", len(s.errs), 1)
	})
}

func TestBatchThatAcceptsNothingGetsNothing(t *testing.T) {
	onStage(t, func(s *scene) {
		s.chain.Cache = earlier(s)
		s.small.script = []reply{fails(jobs.Refused)}
		s.large.script = s.small.script
		s.ends(jobs.Dead)
	})
}

func TestEverythingDownUsesTheStandInRatherThanWaiting(t *testing.T) {
	onStage(t, func(s *scene) {
		s.task.Batch.Degrade.Unavailable = "sorry"
		s.enter = refusing("all", Refusal{Guard: BreakerGuard, Wait: time.Minute})
		o := s.ends(jobs.Answered)
		equal(s, "degraded", o.Degraded, jobs.Unavailable)
	})
}

func TestEverythingDownWaitsIfNothingStandsIn(t *testing.T) {
	onStage(t, func(s *scene) {
		s.chain.Cache = func(context.Context, string) (*jobs.Outcome, error) { return nil, nil }
		s.task.Batch.Degrade.Cached = true
		s.enter = refusing("all", Refusal{Guard: BreakerGuard, Wait: time.Minute})
		s.waits(time.Minute)
	})
}

func TestBusyModelIsWaitedForThoughSomethingCouldStandIn(t *testing.T) {
	onStage(t, func(s *scene) {
		s.task.Batch.Degrade.Unavailable = "sorry"
		s.small.script = []reply{fails(jobs.Refused)}
		s.enter = refusing("large", Refusal{Guard: LimiterGuard, Wait: time.Minute})
		s.waits(time.Minute)
	})
}

// A model that answers again takes more calls each second: nothing stands in
// for it meanwhile.
func TestModelThatIsBackIsWaitedForThoughSomethingCouldStandIn(t *testing.T) {
	onStage(t, func(s *scene) {
		s.task.Batch.Degrade.Unavailable = "sorry"
		s.enter = func(c *jobs.Call) (Pass, error) {
			no := &Refusal{Guard: BreakerGuard, Circuit: Open, Wait: time.Minute}
			if c.Model.Name == "large" {
				no.Circuit, no.Wait = Closed, time.Second
			}
			return Pass{Refusal: no}, nil
		}
		s.waits(time.Second)
	})
}

func TestRequestKeyTellsRequestsApart(t *testing.T) {
	t.Parallel()
	ask := func(text string) *jobs.Request {
		return &jobs.Request{Messages: []jobs.Message{{Role: jobs.User, Text: text}}}
	}
	keys := map[string]string{}
	for name, key := range map[string]string{
		"one":     RequestKey("acme", "default", ask("a")),
		"other":   RequestKey("acme", "default", ask("b")),
		"tenant":  RequestKey("bcme", "default", ask("a")),
		"chain":   RequestKey("acme", "slow", ask("a")),
		"shifted": RequestKey("acmed", "efault", ask("a")),
		"body":    RequestKey("acme", "default", &jobs.Request{Body: []byte("a")}),
	} {
		if keys[key] != "" {
			t.Errorf("%s has the key of %s", name, keys[key])
		}
		keys[key] = name
	}
	if again := RequestKey("acme", "default", ask("a")); keys[again] != "one" {
		t.Error("the same request has two keys")
	}
}
