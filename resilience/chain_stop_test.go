package resilience

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/drover-batch/drover/jobs"
)

func TestGateOutOfReachCallsNothing(t *testing.T) {
	onStage(t, func(s *scene) {
		s.enter = func(*jobs.Call) (Pass, error) { return Pass{}, errors.New("connection refused") }
		d := s.waits(awayWait)
		equal(s, "rest", d.Rest, true)
		equal(s, "calls", s.small.calls+s.large.calls, 0)
		equal(s, "reports", len(s.errs), 1)
	})
}

func TestGateIsToldAgainIfItDidNotHear(t *testing.T) {
	onStage(t, func(s *scene) {
		deaf := 2
		s.leave = func(*jobs.Call, *jobs.Attempt) error {
			if deaf--; deaf >= 0 {
				return errors.New("timeout")
			}
			return nil
		}
		s.ends(jobs.Answered)
		equal(s, "left", len(s.left), 1)
		equal(s, "reports", len(s.errs), 0)
	})
}

func TestAnswerSurvivesADeafGate(t *testing.T) {
	onStage(t, func(s *scene) {
		s.leave = func(*jobs.Call, *jobs.Attempt) error { return errors.New("timeout") }
		d := s.chain.Run(s.Context(), s.task)
		equal(s, "answer", d.Outcome.Answer, "yes")
		equal(s, "reports", len(s.errs), 1)
		equal(s, "given up after", time.Since(s.small.start), leaveWithin)
	})
}

func TestJobThatIsSettledMeanwhileIsNotCalled(t *testing.T) {
	onStage(t, func(s *scene) {
		s.task.Settled = func(context.Context) (bool, error) { return len(s.entered) > 0, nil }
		d := s.run()
		equal(s, "back", d.Back, true)
		equal(s, "calls", s.small.calls, 0)
		equal(s, "billing", s.left[0].Billing, jobs.Free)
	})
}

func TestWaitInTheLineEndsWithTheRun(t *testing.T) {
	soon := func() chan struct{} {
		c := make(chan struct{})
		time.AfterFunc(time.Second, func() { close(c) })
		return c
	}
	for name, end := range map[string]func(*scene){
		"the worker stops":      func(s *scene) { s.chain.Stopping = soon() },
		"the lease is lost":     func(s *scene) { s.task.Lost = soon() },
		"the deadline has come": func(s *scene) { s.task.Batch.Deadline = time.Now().Add(time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(s *scene) {
				s.jammed = "small"
				s.ahead = map[string]time.Duration{"small": 500 * time.Millisecond}
				s.chain.Links = s.chain.Links[:1]
				end(s)
				d := s.run()
				equal(s, "back or expired", d.Back || d.Outcome != nil && d.Outcome.Status == jobs.Expired, true)
				equal(s, "ended after", time.Since(s.small.start), time.Second)
				equal(s, "reports", len(s.errs), 0)
			})
		})
	}
}

func TestWaitInTheLineEndsInTimeForAnotherModel(t *testing.T) {
	onStage(t, func(s *scene) {
		s.chain.Detours = new(Detours)
		s.chain.Detours.took("other", "small", time.Second, false)
		s.chain.Detours.took("other", "large", 2*time.Second, false)
		s.ahead = map[string]time.Duration{"small": 500 * time.Millisecond}
		s.jammed = "small"
		s.task.Batch.Deadline = time.Now().Add(20 * time.Second)
		o := s.ends(jobs.Answered)
		equal(s, "model", o.Model, "large")
		equal(s, "asked after", time.Since(s.small.start), 16*time.Second)
	})
}

func TestThawedWorkerCallsNothingForAJobItHasLost(t *testing.T) {
	onStage(t, func(s *scene) {
		lease := time.Now().Add(time.Minute)
		s.task.Expires = func() time.Time { return lease }
		s.enter = func(*jobs.Call) (Pass, error) {
			time.Sleep(2 * time.Minute) // frozen; its context knows nothing of it yet
			return Pass{}, nil
		}
		d := s.run()
		equal(s, "back", d.Back, true)
		equal(s, "calls", s.small.calls, 0)
		equal(s, "billing", s.left[0].Billing, jobs.Free)
	})
}

func TestThawedWorkerCallsNothingAfterItsLook(t *testing.T) {
	onStage(t, func(s *scene) {
		lease := time.Now().Add(5 * time.Second)
		s.task.Expires = func() time.Time { return lease }
		s.task.Settled = func(context.Context) (bool, error) {
			time.Sleep(8 * time.Second)
			return false, nil
		}
		d := s.run()
		equal(s, "back", d.Back, true)
		equal(s, "calls", s.small.calls, 0)
	})
}

func TestNothingIsPaidForWhileNobodyCanLook(t *testing.T) {
	onStage(t, func(s *scene) {
		s.task.Settled = func(context.Context) (bool, error) { return false, errors.New("no responders") }
		d := s.waits(awayWait)
		equal(s, "rest", d.Rest, true)
		equal(s, "calls", s.small.calls, 0)
	})
}

func TestCancelledCallIsHandedBackAsPresumed(t *testing.T) {
	onStage(t, func(s *scene) {
		ctx, cancel := context.WithCancelCause(s.Context())
		s.small.script = []reply{func(ctx context.Context) (*jobs.Answer, error) {
			cancel(errors.New("stopping"))
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		d := s.runIn(ctx)
		equal(s, "back", d.Back, true)
		equal(s, "attempts", len(d.Attempts), 1)
		equal(s, "kind", d.Attempts[0].Kind, jobs.Interrupted)
		equal(s, "cost", d.Attempts[0].Cost, s.entered[0].Worst)
		if got := d.Attempts[0].Message; !strings.HasSuffix(got, "stopping") {
			s.Errorf("message: %s", got)
		}
	})
}

func TestAnswerThatCameIsKeptThoughCancelled(t *testing.T) {
	onStage(t, func(s *scene) {
		ctx, cancel := context.WithCancel(s.Context())
		s.small.script = []reply{func(context.Context) (*jobs.Answer, error) {
			cancel()
			return said("just in time"), nil
		}}
		d := s.runIn(ctx)
		equal(s, "answer", d.Outcome.Answer, "just in time")
	})
}

func TestStoppingEndsWaitsAndNotCalls(t *testing.T) {
	onStage(t, func(s *scene) {
		stop := make(chan struct{})
		s.chain.Stopping = stop
		s.small.script = []reply{func(context.Context) (*jobs.Answer, error) {
			close(stop)
			time.Sleep(10 * time.Second)
			return nil, jobs.Failf(jobs.ServerError, "overloaded")
		}}
		d := s.run()
		equal(s, "back", d.Back, true)
		equal(s, "attempts", len(d.Attempts), 1)
		equal(s, "handed back after", time.Since(s.small.start), 10*time.Second)
	})
}

func TestLostLeaseEndsWaitsAndNotCalls(t *testing.T) {
	for name, fail := range map[string]error{"answered": nil, "failed": jobs.Failf(jobs.ServerError, "overloaded")} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(s *scene) {
				lost := make(chan struct{})
				s.task.Lost = lost
				s.small.script = []reply{func(context.Context) (*jobs.Answer, error) {
					close(lost)
					time.Sleep(10 * time.Second)
					return said("late"), fail
				}}
				d := s.run()
				equal(s, "back", d.Back, fail != nil)
				equal(s, "answered", d.Outcome != nil, fail == nil)
				equal(s, "calls", s.small.calls+s.large.calls, 1)
				equal(s, "over after", time.Since(s.small.start), 10*time.Second)
			})
		})
	}
}

func TestJobThatWaitsForRoomGoesBackWhenItsLeaseIsLost(t *testing.T) {
	onStage(t, func(s *scene) {
		lost := make(chan struct{})
		s.task.Lost = lost
		s.chain.Freed = func() <-chan struct{} { return make(chan struct{}) }
		time.AfterFunc(time.Minute, func() { close(lost) })
		equal(s, "back", s.run().Back, true)
		equal(s, "after", time.Since(s.small.start), time.Minute)
	})
}

func TestNoCallIsBegunOnceTheBatchIsDropped(t *testing.T) {
	onStage(t, func(s *scene) {
		dropped := time.Now().Add(5 * time.Second)
		s.task.Dropped = func() bool { return time.Now().After(dropped) }
		s.enter = func(*jobs.Call) (Pass, error) { return Pass{Wait: 10 * time.Second}, nil } // its turn in the line
		s.waits(time.Second)
		equal(s, "calls", s.small.calls, 0)
		equal(s, "billing", s.left[0].Billing, jobs.Free)
	})
}

func TestPastDeadlineExpires(t *testing.T) {
	onStage(t, func(s *scene) {
		s.task.Batch.Deadline = time.Now().Add(-time.Second)
		o := s.ends(jobs.Expired)
		equal(s, "kind", o.Kind, jobs.PastDeadline)
		equal(s, "calls", s.small.calls, 0)
	})
}

func TestReplayPastItsDeadlineIsDeadAgain(t *testing.T) {
	onStage(t, func(s *scene) {
		s.task.Batch.Deadline = time.Now().Add(-time.Second)
		s.task.Job.Run = 2
		equal(s, "kind", s.ends(jobs.Dead).Kind, jobs.PastDeadline)
	})
}

func TestWaitEndsAtTheDeadline(t *testing.T) {
	onStage(t, func(s *scene) {
		s.task.Batch.Deadline = time.Now().Add(90 * time.Second)
		s.enter = refusing("all", Refusal{Guard: BreakerGuard, Wait: time.Hour})
		s.waits(90 * time.Second)
	})
}

func TestWaitInTheSlotEndsAtTheDeadline(t *testing.T) {
	onStage(t, func(s *scene) {
		s.task.Batch.Deadline = time.Now().Add(3 * time.Second)
		s.enter = refusing("all", Refusal{Guard: LimiterGuard, Wait: 10 * time.Second})
		s.ends(jobs.Expired)
		equal(s, "after", time.Since(s.small.start), 3*time.Second)
	})
}

func TestOneJobHasOneCallAtATime(t *testing.T) {
	onStage(t, func(s *scene) {
		s.enter = func(*jobs.Call) (Pass, error) {
			if len(s.entered) > len(s.left) {
				s.Error("admitted before the last call left")
			}
			return Pass{Wait: time.Second}, nil
		}
		s.small.script = []reply{fails(jobs.Timeout)}
		s.ends(jobs.Answered)
		seen := map[string]bool{}
		for _, c := range s.entered {
			if seen[c.ID] {
				s.Errorf("call id %s was used twice", c.ID)
			}
			seen[c.ID] = true
		}
		equal(s, "first call waits its turn", s.small.asked[0], time.Second)
	})
}
