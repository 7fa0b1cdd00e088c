package resilience

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// sent is a failure of a call that was sent and came to nothing known.
func sent(k jobs.Kind) reply {
	return failing(jobs.Failure{Kind: k, Message: "no", Billing: jobs.Presumed})
}

func TestAmbiguousCallHasItsOwnPolicy(t *testing.T) {
	for _, kind := range []jobs.Kind{jobs.Timeout, jobs.Unreachable, jobs.ServerError, jobs.Internal} {
		for _, row := range []struct {
			policy       jobs.AfterAmbiguous
			small, large int // calls
			status       jobs.Status
			reason       string
		}{
			{"", 3, 1, jobs.Answered, "small failed 3 times"},
			{jobs.AskAgain, 3, 1, jobs.Answered, "small failed 3 times"},
			{jobs.AskNext, 1, 1, jobs.Answered, "it may have been paid for, so small is not asked again"},
			{jobs.BuryAmbiguous, 1, 0, jobs.Dead, "it may have been paid for, and retry.ambiguous is bury: only a replay asks again"},
		} {
			t.Run(string(kind)+" "+string(row.policy), func(t *testing.T) {
				onStage(t, func(s *scene) {
					s.chain.Retry.Ambiguous = row.policy
					s.small.script = []reply{sent(kind)}
					o := s.ends(row.status)
					equal(s, "calls to small", s.small.calls, row.small)
					equal(s, "calls to large", s.large.calls, row.large)
					equal(s, "ambiguous", o.Ambiguous(), jobs.USD(row.small*2100))
					if !strings.Contains(o.Reason, row.reason) {
						s.Errorf("reason: %s", o.Reason)
					}
					if row.status == jobs.Dead {
						equal(s, "kind", o.Kind, kind)
					}
				})
			})
		}
	}
}

// What was never sent, was rejected or was answered is not ambiguous.
func TestOtherFailuresKeepTheirPolicyWhenAmbiguousOnesAreBuried(t *testing.T) {
	for name, row := range map[string]struct {
		first reply
		calls int // of small, the last of which answers
	}{
		"never sent":   {fails(jobs.Unreachable), 2},
		"rejected":     {fails(jobs.ServerError), 2},
		"rate limited": {fails(jobs.RateLimited), 2},
		"filtered":     {sent(jobs.Refused), 1},
		"cut off":      {failing(jobs.Failure{Kind: jobs.Truncated, Billing: jobs.Billed, Answer: said("half")}), 1},
		"unread":       {sent(jobs.InvalidAnswer), 1},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(s *scene) {
				s.chain.Retry.Ambiguous = jobs.BuryAmbiguous
				s.small.script = []reply{row.first, text("yes")}
				s.ends(jobs.Answered)
				equal(s, "calls to small", s.small.calls, row.calls)
			})
		})
	}
}

// The job comes back for another model; the one that may have been paid stays
// out of it.
func TestAmbiguousCallIsRememberedAcrossDeliveries(t *testing.T) {
	tried := map[string]jobs.Tries{"small": {Failed: 1, Ambiguous: 1, Kind: jobs.Timeout, Message: "too slow"}}
	for _, row := range []struct {
		policy       jobs.AfterAmbiguous
		small, large int
		status       jobs.Status
	}{
		{jobs.AskAgain, 1, 0, jobs.Answered},
		{jobs.AskNext, 0, 1, jobs.Answered},
		{jobs.BuryAmbiguous, 0, 0, jobs.Dead},
	} {
		t.Run(string(row.policy), func(t *testing.T) {
			onStage(t, func(s *scene) {
				s.chain.Retry.Ambiguous, s.task.Tried = row.policy, tried
				o := s.ends(row.status)
				equal(s, "calls to small", s.small.calls, row.small)
				equal(s, "calls to large", s.large.calls, row.large)
				if row.policy != jobs.AskAgain && !strings.Contains(o.Reason, "in an earlier delivery, small failed with too slow; it may have been paid for") {
					s.Errorf("reason: %s", o.Reason)
				}
				if row.status == jobs.Dead {
					equal(s, "kind", o.Kind, jobs.Timeout)
				}
			})
		})
	}
}

// A model that comes later in the chain may be the one in doubt.
func TestBuriedForADoubtThatAnyModelLeft(t *testing.T) {
	onStage(t, func(s *scene) {
		s.chain.Retry.Ambiguous = jobs.BuryAmbiguous
		s.task.Tried = map[string]jobs.Tries{"large": {Ambiguous: 1, Kind: jobs.Interrupted, Message: "cut short"}}
		s.ends(jobs.Dead)
		equal(s, "calls", s.small.calls+s.large.calls, 0)
	})
}

func TestOurOwnStopHandsBackWhateverThePolicy(t *testing.T) {
	onStage(t, func(s *scene) {
		s.chain.Retry.Ambiguous = jobs.BuryAmbiguous
		ctx, cancel := context.WithCancel(s.Context())
		time.AfterFunc(time.Second, cancel)
		s.small.script = []reply{func(ctx context.Context) (*jobs.Answer, error) {
			<-ctx.Done()
			fail := jobs.Failf(jobs.Interrupted, "cut short")
			fail.Billing = jobs.Presumed
			return nil, fail
		}}
		d := s.runIn(ctx)
		equal(s, "back", d.Back, true)
		equal(s, "ambiguous", d.Attempts[0].Ambiguous(), true)
	})
}
