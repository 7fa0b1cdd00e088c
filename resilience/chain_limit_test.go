package resilience

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// short makes the quotas of both models short: small frees in wait, large in
// more.
func (s *scene) short(wait, more time.Duration) {
	s.enter = func(c *jobs.Call) (Pass, error) {
		left := map[string]time.Duration{"small": wait, "large": more}[c.Model.Name] - time.Since(s.small.start)
		if left > 0 {
			return Pass{Refusal: &Refusal{Guard: LimiterGuard, Reason: "the quota is used up for now", Wait: left}}, nil
		}
		return Pass{}, nil
	}
}

func TestLimitedModelIsWaitedForOrNotByPolicy(t *testing.T) {
	cheap := &jobs.Price{Input: jobs.Dollar, Output: 2 * jobs.Dollar}
	for name, test := range map[string]struct {
		policy   jobs.WhenLimited
		small    time.Duration // until its quota frees
		large    time.Duration
		price    *jobs.Price // of large, if another
		deadline time.Duration
		outlook  jobs.Outlook
		want     string        // who answers; "" if the job is handed back
		at       time.Duration // when, jitter included
		why      string        // small was passed over
	}{
		"wait waits":                          {policy: jobs.WaitWhenLimited, small: 10 * time.Second, want: "small", at: 10500 * time.Millisecond},
		"wait hands back":                     {policy: jobs.WaitWhenLimited, small: time.Minute, at: time.Minute},
		"wait hands back though late":         {policy: jobs.WaitWhenLimited, small: time.Minute, deadline: 10 * time.Second, at: 10 * time.Second},
		"fallback goes on":                    {policy: jobs.FallBackWhenLimited, small: 10 * time.Second, want: "large", why: "the quota is used up for now for 10s, and the batch does not wait"},
		"fallback waits for a moment":         {policy: jobs.FallBackWhenLimited, small: time.Second, want: "small", at: 1050 * time.Millisecond},
		"fallback waits for the first":        {policy: jobs.FallBackWhenLimited, small: 10 * time.Second, large: 20 * time.Second, want: "small", at: 10500 * time.Millisecond},
		"fallback waits for the first, large": {policy: jobs.FallBackWhenLimited, small: 20 * time.Second, large: 10 * time.Second, want: "large", at: 10500 * time.Millisecond, why: "the quota is used up for now for 20s, and the batch does not wait"},
		"fallback hands back":                 {policy: jobs.FallBackWhenLimited, small: time.Minute, large: time.Hour, at: time.Minute},
		"auto waits":                          {small: 10 * time.Second, want: "small", at: 10500 * time.Millisecond},
		"auto hands back":                     {small: time.Minute, at: time.Minute},
		"auto asks one that costs no more":    {small: 10 * time.Second, price: cheap, want: "large", why: "the quota is used up for now for 10s, and large costs no more"},
		"auto waits for the first of equals":  {small: 10 * time.Second, large: 20 * time.Second, price: cheap, want: "small", at: 10500 * time.Millisecond},
		"auto waits with time to spare":       {small: 10 * time.Second, deadline: time.Hour, want: "small", at: 10500 * time.Millisecond},
		"auto goes on when it is late":        {small: 10 * time.Second, deadline: 9 * time.Second, want: "large", why: "the quota is used up for now for 10s, and waiting would miss the deadline"},
		"auto goes on when the batch is late": {small: 10 * time.Second, deadline: time.Hour, outlook: jobs.Outlook{Left: 4000, Rate: 1}, want: "large", why: "the quota is used up for now for 10s, and waiting would miss the deadline"},
		"auto waits when the batch is not":    {small: 10 * time.Second, deadline: time.Hour, outlook: jobs.Outlook{Left: 3000, Rate: 1}, want: "small", at: 10500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(s *scene) {
				s.short(test.small, test.large)
				s.task.Batch.WhenLimited = test.policy
				s.task.Outlook = func() jobs.Outlook { return test.outlook }
				if test.price != nil {
					s.chain.Links[1].Model.Price = test.price
				}
				if test.deadline > 0 {
					s.task.Batch.Deadline = time.Now().Add(test.deadline)
				}
				if test.want == "" {
					equal(s, "rest", s.waits(test.at).Rest, true)
					return
				}
				o := s.ends(jobs.Answered)
				equal(s, "model", o.Model, test.want)
				equal(s, "after", time.Since(s.small.start), test.at)
				if test.why != "" {
					equal(s, "skipped", o.Skipped[0], jobs.Skip{Model: "small", Why: test.why})
				} else {
					equal(s, "skipped", len(o.Skipped), 0)
				}
			})
		})
	}
}

func TestBatchKnowsBetterThanItsChain(t *testing.T) {
	onStage(t, func(s *scene) {
		s.short(10*time.Second, 0)
		s.chain.WhenLimited, s.task.Batch.WhenLimited = jobs.WaitWhenLimited, jobs.FallBackWhenLimited
		equal(s, "model", s.ends(jobs.Answered).Model, "large")
	})
}

func TestLineThatIsTooLongIsNotJoined(t *testing.T) {
	onStage(t, func(s *scene) {
		s.chain.WhenLimited = jobs.FallBackWhenLimited
		s.ahead = map[string]time.Duration{"small": 20 * time.Second}
		equal(s, "model", s.ends(jobs.Answered).Model, "large")
		equal(s, "asked for", len(s.entered), 1)
	})
}

func TestLineOfAModelThatCostsNoMoreMayBeTheLonger(t *testing.T) {
	for ahead, want := range map[time.Duration]string{5 * time.Second: "large", 15 * time.Second: "small"} {
		t.Run(want, func(t *testing.T) {
			onStage(t, func(s *scene) {
				s.short(10*time.Second, 0)
				s.chain.Links[1].Model.Price = s.chain.Links[0].Model.Price
				s.ahead = map[string]time.Duration{"large": ahead}
				equal(s, "model", s.ends(jobs.Answered).Model, want)
			})
		})
	}
}

func TestWaitThatLeavesNoTimeForACallIsTooLong(t *testing.T) {
	for wait, want := range map[time.Duration]string{10 * time.Second: "small", 17 * time.Second: "large"} {
		t.Run(want, func(t *testing.T) {
			onStage(t, func(s *scene) {
				s.chain.Detours = new(Detours)
				s.chain.Detours.took("other", "small", 2*time.Second, false)
				s.task.Batch.Deadline = time.Now().Add(20 * time.Second)
				s.short(wait, 0)
				equal(s, "model", s.ends(jobs.Answered).Model, want)
			})
		})
	}
}

func TestEndless429sAreNotWaitedOutInTheSlotForEver(t *testing.T) {
	onStage(t, func(s *scene) {
		s.chain.Links = s.chain.Links[:1]
		s.small.script = []reply{failing(jobs.Failure{Kind: jobs.RateLimited, RetryAfter: time.Millisecond})}
		s.chain.Retry.Base = time.Millisecond
		equal(s, "rest", s.run().Rest, true)
		equal(s, "calls", s.small.calls, maxLimits+1)
	})
}

func TestLimitUsesUpNoTry(t *testing.T) {
	onStage(t, func(s *scene) {
		s.chain.WhenLimited = jobs.FallBackWhenLimited
		limit := failing(jobs.Failure{Kind: jobs.RateLimited, RetryAfter: 5 * time.Second})
		s.small.script = []reply{fails(jobs.ServerError), fails(jobs.ServerError), limit, fails(jobs.ServerError)}
		s.large.script = []reply{failing(jobs.Failure{Kind: jobs.RateLimited, RetryAfter: 20 * time.Second}), text("yes")}
		o := s.ends(jobs.Answered)
		equal(s, "calls to small", s.small.calls, 4) // the third failure is the last that it may have
		equal(s, "model", o.Model, "large")
	})
}

// Ten of a hundred jobs that a slow quota leaves behind go to the dear model,
// and not all of them once it has begun.
func TestOnlySoManyDetoursAsTheDeadlineNeeds(t *testing.T) {
	var d Detours
	for i := range 320 {
		d.took("b", "small", time.Second, i%2 == 0)
	}
	if s := d.share("b"); s < 0.45 || s > 0.55 {
		t.Errorf("every other job went elsewhere, and it remembers %v", s)
	}
	o := jobs.Outlook{Left: 95, Rate: 2}
	soon := time.Now().Add(100 * time.Second)
	if o.Late(soon) || o.Short(soon, 1-d.share("b")) == 0 || o.Short(time.Time{}, 0.1) > 0 {
		t.Error("what the dear model does must not count for the cheap one")
	}
	gone := 0
	for range 100 {
		if d.due("b", 0.28) {
			gone++
		}
	}
	if gone < 27 || gone > 29 || d.due("b", 0) || !d.due("b", 1) {
		t.Errorf("%d of a hundred jobs go elsewhere, want 28", gone)
	}
}

func TestDetoursAreForgottenAfterTenSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var d Detours
		d.took("b", "large", time.Second, true)
		time.Sleep(5 * time.Second)
		d.took("b", "small", time.Second, false)
		if got := d.share("b"); got != 0.5 {
			t.Errorf("%v went elsewhere, want half", got)
		}
		time.Sleep(6 * time.Second)
		if got := d.share("b"); got != 0 {
			t.Errorf("%v went elsewhere lately, want none", got)
		}
	})
}

func TestHowLongCallsLastIsTheirAverage(t *testing.T) {
	t.Parallel()
	var d Detours
	d.took("b", "small", 8*time.Second, false)
	d.took("b", "small", 16*time.Second, false)
	d.took("b", "large", time.Second, false)
	if got := d.lasts("small"); got != 9*time.Second {
		t.Errorf("a call lasts %v, want 9s", got)
	}
}
