package resilience

import (
	"strings"
	"testing"
	"time"

	"github.com/drover-batch/drover/jobs"
)

func TestShortRefusalIsWaitedOutInTheSlot(t *testing.T) {
	for _, guard := range []string{LimiterGuard, LedgerGuard} {
		t.Run(guard, func(t *testing.T) {
			onStage(t, func(s *scene) {
				refusals := 2
				s.enter = func(*jobs.Call) (Pass, error) {
					if refusals--; refusals >= 0 {
						return Pass{Refusal: &Refusal{Guard: guard, Wait: 10 * time.Second}}, nil
					}
					return Pass{}, nil
				}
				o := s.ends(jobs.Answered)
				equal(s, "model", o.Model, "small")
				equal(s, "attempts", len(o.Attempts), 1)
				equal(s, "asked after", s.small.asked[0], 21*time.Second) // a twentieth is jitter
			})
		})
	}
}

func TestPatienceIsForAllWaitsTogether(t *testing.T) {
	onStage(t, func(s *scene) {
		s.enter = refusing("small", Refusal{Guard: LimiterGuard, Reason: "600 requests a minute are used up", Wait: 10 * time.Second})
		d := s.waits(10 * time.Second)
		equal(s, "rest", d.Rest, true)
		equal(s, "after", time.Since(s.small.start), 21*time.Second)
	})
}

func TestLongRefusalMovesOnAtOnce(t *testing.T) {
	for _, guard := range []string{LimiterGuard, LedgerGuard, BreakerGuard} {
		t.Run(guard, func(t *testing.T) {
			onStage(t, func(s *scene) {
				s.chain.WhenLimited = jobs.FallBackWhenLimited
				s.enter = refusing("small", Refusal{Guard: guard, Wait: time.Minute})
				s.ends(jobs.Answered)
				equal(s, "asked after", s.large.asked[0], 0)
			})
		})
	}
}

func TestOpenCircuitIsNotWaitedFor(t *testing.T) {
	onStage(t, func(s *scene) {
		s.enter = refusing("small", Refusal{Guard: BreakerGuard, Reason: "its circuit is open", Wait: time.Second})
		o := s.ends(jobs.Answered)
		equal(s, "asked after", s.large.asked[0], 0)
		equal(s, "skipped", o.Skipped[0], jobs.Skip{Model: "small", Why: "its circuit is open"})
	})
}

func TestJobsRestUntilTheFirstModelIsBack(t *testing.T) {
	onStage(t, func(s *scene) {
		s.enter = func(c *jobs.Call) (Pass, error) {
			if c.Model.Name == "small" {
				return Pass{Refusal: &Refusal{Guard: BreakerGuard, Wait: 40 * time.Second}}, nil
			}
			return Pass{Refusal: &Refusal{Guard: LimiterGuard, Wait: 50 * time.Second}}, nil
		}
		d := s.waits(40 * time.Second)
		equal(s, "rest", d.Rest, true)
	})
}

func TestJobWaitsForAModelThatWasNotExhausted(t *testing.T) {
	onStage(t, func(s *scene) {
		s.small.script = []reply{fails(jobs.Timeout)}
		s.enter = refusing("large", Refusal{Guard: BreakerGuard, Wait: 20 * time.Second})
		d := s.waits(20 * time.Second)
		equal(s, "attempts", len(d.Attempts), 3)
	})
}

func TestJobIsNotToBlameForAMissingConnection(t *testing.T) {
	onStage(t, func(s *scene) {
		unsent := failing(jobs.Failure{Kind: jobs.Unreachable, Message: "no such host", Unsent: true})
		s.small.script, s.large.script = []reply{unsent}, []reply{unsent}
		s.task.Tried = map[string]jobs.Tries{"small": {Failed: 9}, "large": {Failed: 9}}
		d := s.waits(30 * time.Second)
		equal(s, "attempts", len(d.Attempts), 6)
		for _, a := range d.Attempts {
			equal(s, "uses a try", a.UsesTry(), false)
		}
	})
}

func TestCircuitThatOpensBetweenTriesIsWaitedFor(t *testing.T) {
	onStage(t, func(s *scene) {
		s.chain.Links = s.chain.Links[:1]
		s.small.script = []reply{fails(jobs.Timeout)}
		s.enter = func(*jobs.Call) (Pass, error) {
			if len(s.entered) == 2 {
				return Pass{Refusal: &Refusal{Guard: BreakerGuard, Wait: 30 * time.Second}}, nil
			}
			return Pass{}, nil
		}
		d := s.waits(30 * time.Second)
		equal(s, "attempts", len(d.Attempts), 2)
	})
}

func TestClaimedJobWaitsAlone(t *testing.T) {
	onStage(t, func(s *scene) {
		s.enter = refusing("small", Refusal{Guard: ClaimGuard, Wait: 12 * time.Second})
		d := s.waits(12 * time.Second)
		equal(s, "rest", d.Rest, false)
		equal(s, "calls to large", s.large.calls, 0)
	})
}

func TestCallLargerThanItsQuotaIsNotWaitedFor(t *testing.T) {
	onStage(t, func(s *scene) {
		s.enter = refusing("all", Refusal{Guard: LimiterGuard, Reason: "1,100 tokens of 1,000 a minute", Final: true})
		o := s.ends(jobs.Dead)
		equal(s, "kind", o.Kind, jobs.Overflow)
	})
}

func TestSpentMoneyPausesTheBatch(t *testing.T) {
	onStage(t, func(s *scene) {
		s.task.Batch.Budget = jobs.Dollar
		s.enter = refusing("all", Refusal{Guard: LedgerGuard, Reason: "needs $0.0021, $0.001 of $1.00 is left", Final: true})
		d := s.waits(30 * time.Second)
		if !strings.Contains(d.Short.Reason, "needs $0.0021, $0.001 of $1.00 is left") {
			s.Errorf("pause: %+v", d.Short)
		}
	})
}

func TestSpentMoneyBuriesIfTheBatchSaysSo(t *testing.T) {
	onStage(t, func(s *scene) {
		s.task.Batch.Budget, s.task.Batch.WhenSpent = jobs.Dollar, jobs.BuryWhenSpent
		s.enter = refusing("all", Refusal{Guard: LedgerGuard, Reason: "spent", Final: true})
		o := s.ends(jobs.Dead)
		equal(s, "kind", o.Kind, jobs.OverBudget)
	})
}

func TestCallThatCanNeverBePaidIsDeadAtOnce(t *testing.T) {
	onStage(t, func(s *scene) {
		s.task.Batch.Budget = 1000 // small needs 2,100, large 21,000
		s.enter = refusing("all", Refusal{Guard: LedgerGuard, Reason: "needs $0.0021 of $0.001", Final: true, Never: true})
		o := s.ends(jobs.Dead)
		equal(s, "kind", o.Kind, jobs.OverBudget)
		if !strings.Contains(o.Reason, "needs $0.0021 of $0.001, and 100 tokens in at $1.00 and up to 1,000 out at $2.00 a million make $0.0021") {
			s.Errorf("reason: %s", o.Reason)
		}
	})
}

func TestMoneyForACheaperModelIsEnough(t *testing.T) {
	onStage(t, func(s *scene) {
		s.enter = refusing("small", Refusal{Guard: LedgerGuard, Final: true})
		o := s.ends(jobs.Answered)
		equal(s, "model", o.Model, "large")
	})
}

func TestHeldMoneyBringsTheJobBack(t *testing.T) {
	onStage(t, func(s *scene) {
		s.enter = refusing("all", Refusal{Guard: LedgerGuard, Wait: 45 * time.Second})
		d := s.waits(45 * time.Second)
		equal(s, "pause", d.Short, nil)
	})
}

func TestOneFailingModelDoesNotPauseTheBatchForMoney(t *testing.T) {
	onStage(t, func(s *scene) {
		s.small.script = []reply{fails(jobs.Refused)}
		s.enter = refusing("large", Refusal{Guard: LedgerGuard, Reason: "spent", Final: true})
		o := s.ends(jobs.Dead)
		equal(s, "kind", o.Kind, jobs.Refused)
		equal(s, "skipped", len(o.Skipped), 1)
	})
}

func TestUnknownPriceIsRefusedUnderABudget(t *testing.T) {
	onStage(t, func(s *scene) {
		s.task.Batch.Budget = jobs.Dollar
		s.chain.Links = s.chain.Links[:1]
		s.chain.Links[0].Model.Price = nil
		d := s.waits(30 * time.Second)
		if !strings.Contains(d.Short.Reason, "no price is known for model small but a budget applies; add price: to drover.yaml") {
			s.Errorf("pause: %+v", d.Short)
		}
		equal(s, "calls", s.small.calls, 0)
	})
}

func TestUnknownPriceIsFreeWithoutABudget(t *testing.T) {
	onStage(t, func(s *scene) {
		s.chain.Links[0].Model.Price = nil
		o := s.ends(jobs.Answered)
		equal(s, "cost", o.Cost, 0)
	})
}

// Documents that every model fails on used to keep the circuits open, and
// themselves alive, for ever: each delivery ended at a circuit, never at the
// last try.
func TestJobThatFailsEveryProbeIsBuriedAtLast(t *testing.T) {
	onStage(t, func(s *scene) {
		s.small.script = []reply{fails(jobs.ServerError)}
		s.large.script = []reply{fails(jobs.ServerError)}
		probes := 0
		s.enter = func(*jobs.Call) (Pass, error) {
			if probes++; probes%2 == 1 {
				return Pass{}, nil // a probe, then the circuit is open again
			}
			return Pass{Refusal: &Refusal{Guard: BreakerGuard, Reason: "its circuit is open", Wait: time.Second}}, nil
		}
		s.task.Tried = map[string]jobs.Tries{"small": {Failed: 8, Kind: jobs.ServerError}, "large": {Failed: 9, Kind: jobs.ServerError}}
		s.waits(time.Second)
		s.task.Tried = map[string]jobs.Tries{"small": {Failed: 9, Kind: jobs.ServerError}, "large": {Failed: 9, Kind: jobs.ServerError}}
		o := s.ends(jobs.Dead)
		equal(s, "kind", o.Kind, jobs.ServerError)
		if !strings.Contains(o.Reason, "small had failed 9 times before") {
			s.Errorf("reason: %s", o.Reason)
		}
	})
}

func TestModelThatFailedTooOftenIsNotAskedAgain(t *testing.T) {
	onStage(t, func(s *scene) {
		s.task.Tried = map[string]jobs.Tries{"small": {Failed: 10, Kind: jobs.Timeout, Message: "no answer"}}
		o := s.ends(jobs.Answered)
		equal(s, "asked", len(s.small.asked), 0)
		equal(s, "model", o.Model, "large")
		equal(s, "degraded", o.Degraded, jobs.Partial)
	})
}

// delayed admits calls for a second from now, and then tells of a pause, once.
func (s *scene) delayed(pause time.Duration) {
	s.enter = func(c *jobs.Call) (Pass, error) {
		if c.Model.Name == "small" {
			return Pass{Wait: time.Second}, nil
		}
		return Pass{}, nil
	}
	s.due = func() time.Duration {
		left := pause
		pause = 0
		return left
	}
}

func TestAdmittedCallSitsOutAPauseThatCameMeanwhile(t *testing.T) {
	onStage(t, func(s *scene) {
		s.delayed(5 * time.Second)
		o := s.ends(jobs.Answered)
		equal(s, "model", o.Model, "small")
		equal(s, "attempts", len(o.Attempts), 1)
		equal(s, "asked after", s.small.asked[0], 6*time.Second)
	})
}

func TestAdmittedCallIsGivenBackForALongPause(t *testing.T) {
	onStage(t, func(s *scene) {
		s.chain.WhenLimited = jobs.FallBackWhenLimited
		s.delayed(time.Minute)
		o := s.ends(jobs.Answered)
		equal(s, "model", o.Model, "large")
		equal(s, "asked after", s.large.asked[0], time.Second)
		equal(s, "calls of the small model", len(s.small.asked), 0)
		equal(s, "the first call's end", s.left[0].Kind, jobs.Interrupted)
		equal(s, "skipped", o.Skipped[0], jobs.Skip{Model: "small", Why: "a pause or an open circuit holds it up for 1m0s, and the batch does not wait"})
	})
}
