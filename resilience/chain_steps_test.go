package resilience

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// withRecord keeps the newest checkpoint.
func (s *scene) withRecord() *jobs.Checkpoint {
	kept := &jobs.Checkpoint{}
	s.task.Keep = func(_ context.Context, c *jobs.Checkpoint) error {
		*kept = *c
		return nil
	}
	return kept
}

// dies stops the run, as a killed worker would, at the nth call of small.
func (s *scene) dies(nth int) {
	s.Helper()
	ctx, kill := context.WithCancel(s.Context())
	answers := endless(10)[0]
	s.small.script = []reply{func(ctx context.Context) (*jobs.Answer, error) {
		if s.small.calls == nth {
			kill()
		}
		return answers(ctx)
	}}
	s.task.Turn = func(ctx context.Context, talk []jobs.Message) ([]jobs.Message, error) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		time.Sleep(time.Second)
		return []jobs.Message{{Role: jobs.ToolRole, Reply: talk[len(talk)-1].Calls[0].ID, Text: "found"}}, nil
	}
	if d := s.runIn(ctx); !d.Back {
		s.Fatalf("decided %+v", d)
	}
}

func TestRunGoesOnAfterTheLastStep(t *testing.T) {
	onStage(t, func(s *scene) {
		kept := s.withRecord()
		s.dies(7)
		equal(s, "attempts on record", len(kept.Attempts), 6)
		time.Sleep(time.Hour) // which nobody worked
		s.task.Resumed = kept
		s.small.calls, s.small.script = 0, []reply{text("yes")}
		o := s.ends(jobs.Answered)
		equal(s, "attempts", len(o.Attempts), 7)
		equal(s, "last step", o.Attempts[6].Step, "turn 7")
		equal(s, "messages", len(s.small.seen[len(s.small.seen)-1].Messages), 13)
		equal(s, "transcript", len(o.Transcript), 13)
	})
}

func TestWhatWasUsedUpStaysUsedUp(t *testing.T) {
	again := func(context.Context) (*jobs.Answer, error) { return calling("3", 10)(nil) }
	for name, row := range map[string]struct {
		limit   jobs.Guardrails
		script  []reply
		message string
	}{
		"answers": {jobs.Guardrails{Iterations: 6}, endless(1), "after 6 answers"},
		"tools":   {jobs.Guardrails{ToolCalls: 6}, endless(1), "7 tool calls, of 6 allowed"},
		"tokens":  {jobs.Guardrails{Tokens: 61}, endless(1), "used 60 tokens"},
		"time":    {jobs.Guardrails{Duration: 6 * time.Second}, endless(1), "longer than the 6s allowed"},
		"same":    {jobs.Guardrails{}, []reply{again}, "with the same arguments 3 times"},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(s *scene) {
				kept := s.withRecord()
				s.dies(7)
				s.task.Resumed, s.chain.Guardrails = kept, row.limit
				s.small.script = row.script
				o := s.ends(jobs.Dead)
				equal(s, "kind", o.Kind, jobs.Runaway)
				if !strings.Contains(o.Reason, row.message) {
					s.Errorf("reason: %s", o.Reason)
				}
			})
		})
	}
}

func TestStopHandsAConversationBackAfterItsStep(t *testing.T) {
	onStage(t, func(s *scene) {
		kept := s.withRecord()
		stop := make(chan struct{})
		s.chain.Stopping = stop
		n := 0
		s.task.Turn = func(context.Context, []jobs.Message) ([]jobs.Message, error) {
			if n++; n == 3 {
				close(stop)
			}
			return []jobs.Message{{Role: jobs.ToolRole, Text: "found"}}, nil
		}
		s.small.script = endless(1)
		d := s.run()
		equal(s, "back", d.Back, true)
		equal(s, "calls", s.small.calls, 3)
		equal(s, "attempts on record", len(kept.Attempts), 3)
		equal(s, "attempts on none", len(d.Attempts), 0)
	})
}

func TestConversationThatCannotBeKeptIsFinishedHere(t *testing.T) {
	onStage(t, func(s *scene) {
		stop := make(chan struct{})
		s.chain.Stopping = stop
		s.withTools()
		s.task.Keep = func(context.Context, *jobs.Checkpoint) error {
			close(stop)
			return errors.New("NATS is away")
		}
		s.small.script = []reply{calling("{}", 1), text("yes")}
		o := s.ends(jobs.Answered)
		equal(s, "attempts", len(o.Attempts), 2)
		equal(s, "reports", len(s.errs), 1)
	})
}

func TestLostConversationStops(t *testing.T) {
	onStage(t, func(s *scene) {
		s.withTools()
		s.task.Keep = func(context.Context, *jobs.Checkpoint) error { return fmt.Errorf("keeping: %w", jobs.ErrLeaseLost) }
		s.small.script = endless(1)
		d := s.run()
		equal(s, "back", d.Back, true)
		equal(s, "calls", s.small.calls, 1)
		equal(s, "attempts", len(d.Attempts), 1)
	})
}

func TestModelsLeftBehindAreNotAskedAgain(t *testing.T) {
	onStage(t, func(s *scene) {
		kept := s.withRecord()
		s.withTools()
		s.small.script = []reply{calling("{}", 5), fails(jobs.Refused)}
		s.large.script = []reply{calling("1", 5), func(context.Context) (*jobs.Answer, error) {
			return nil, jobs.Failf(jobs.Interrupted, "killed")
		}}
		s.run()
		s.task.Resumed, s.large.script = kept, []reply{text("yes")}
		o := s.ends(jobs.Answered)
		equal(s, "calls to small", s.small.calls, 2)
		equal(s, "degraded", o.Degraded, jobs.Partial)
		equal(s, "reason", o.Reason, "answered by large because small failed with refused: no")
	})
}

func TestCheckpointThatCannotBeReadIsSaid(t *testing.T) {
	onStage(t, func(s *scene) {
		s.withTools()
		s.task.Resumed = &jobs.Checkpoint{State: []byte("{"), Attempts: []jobs.Attempt{{Call: "a", Run: 1, Cost: 5, Billing: jobs.Billed}}}
		o := s.ends(jobs.Answered)
		equal(s, "cost", o.Cost, 125)
		equal(s, "reports", len(s.errs), 1)
	})
}

func TestBatchHasItsOwnGuardrails(t *testing.T) {
	onStage(t, func(s *scene) {
		s.withTools()
		s.chain.Guardrails.Iterations = 9
		s.task.Batch.Guardrails = jobs.Guardrails{Iterations: 3}
		s.small.script = endless(1)
		s.runsAway("after 3 answers")
	})
}

func TestConversationOnRecordIsHandedOnAgainAtOnce(t *testing.T) {
	onStage(t, func(s *scene) {
		s.task.Resumed = s.withRecord()
		s.dies(3)
		s.small.calls = 0
		stop := make(chan struct{})
		s.chain.Stopping = stop
		close(stop)
		equal(s, "back", s.run().Back, true)
		equal(s, "calls", s.small.calls, 0)
	})
}
