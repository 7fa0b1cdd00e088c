package resilience

import (
	"strings"
	"testing"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// onOutage plays a scene with one model, small, and takes down what is told of
// its outages.
func onOutage(t *testing.T, play func(s *scene, told *[]string)) {
	t.Helper()
	onStage(t, func(s *scene) {
		var told []string
		s.chain.Links = s.chain.Links[:1]
		s.chain.Outages = &Outages{
			Tell: func(what string) { told = append(told, what) },
			Over: func(model string) { told = append(told, model+" is back") },
		}
		play(s, &told)
	})
}

func TestEachOutageIsToldOnceWithItsReason(t *testing.T) {
	onOutage(t, func(s *scene, told *[]string) {
		down := failing(jobs.Failure{Kind: jobs.Unreachable, Message: "connection refused", Unsent: true})
		s.small.script = []reply{down}
		s.waits(30 * time.Second)
		s.enter = refusing("small", Refusal{Guard: BreakerGuard, Circuit: Open, Reason: "the circuit is open after 5 failures", Wait: 20 * time.Second})
		s.waits(20 * time.Second)
		s.waits(20 * time.Second)
		equal(s, "told", strings.Join(*told, "\n"),
			"small does not answer, last with unreachable: connection refused; the circuit is open after 5 failures. Its calls wait, and a few try it now and then")
		s.enter = nil
		s.small.script = nil
		s.ends(jobs.Answered)
		equal(s, "told after it", strings.Join((*told)[1:], "\n"), "small is back")
	})
}

func TestARefusedKeyIsToldOnceForAllCallsInFlight(t *testing.T) {
	onOutage(t, func(s *scene, told *[]string) {
		s.small.script = []reply{failing(jobs.Failure{Kind: jobs.NoQuota, Status: 401, Message: "wrong key"})}
		for range 3 {
			s.waits(30 * time.Second)
		}
		s.enter = refusing("small", Refusal{Guard: BreakerGuard, Reason: "the circuit is open", Wait: 20 * time.Second})
		s.waits(20 * time.Second)
		equal(s, "told", strings.Join(*told, "\n"),
			"asking small: no_quota (401): wrong key. Its calls wait until somebody acts, and a few try it now and then")
		equal(s, "errors beside it", len(s.errs), 0)
		s.enter, s.small.script = nil, nil
		s.ends(jobs.Answered)
		equal(s, "told after it", strings.Join((*told)[1:], "\n"), "small is back")
	})
}

// Of one outage there is more to be seen than that calls are turned away: answers
// to calls that were on their way, and the ramp once the circuit has closed.
func TestOneOutageIsToldOnce(t *testing.T) {
	onOutage(t, func(s *scene, told *[]string) {
		early := time.Now()
		time.Sleep(time.Second)
		turned := func(circuit string) {
			s.enter = refusing("small", Refusal{Guard: BreakerGuard, Circuit: circuit, Reason: "it is " + circuit, Wait: 20 * time.Second})
			s.waits(20 * time.Second)
		}
		turned(Open)
		s.chain.Outages.ended(&jobs.Attempt{Model: "small", Started: early})
		turned(Open)
		turned(HalfOpen)
		time.Sleep(time.Second)
		s.chain.Outages.ended(&jobs.Attempt{Model: "small", Started: time.Now()})
		turned(HalfOpen)
		turned(Closed)
		equal(s, "told", strings.Join(*told, "\n"), "small does not answer, other workers found out; it is open. Its calls wait, and a few try it now and then\nsmall is back")
	})
}

func TestLongWaitsForMoneyAndQuotaAreTold(t *testing.T) {
	onOutage(t, func(s *scene, told *[]string) {
		s.enter = refusing("small", Refusal{Guard: LedgerGuard, Reason: "$50.00 of the budget of $50.00 of acme on 2026-11-27 is spent", Wait: time.Minute})
		s.waits(time.Minute)
		s.waits(time.Minute)
		equal(s, "told", strings.Join(*told, "\n"), "small is not asked for want of money: "+
			"$50.00 of the budget of $50.00 of acme on 2026-11-27 is spent. Its calls wait for the next turn of the budget, or for a higher limit")
		s.enter = refusing("small", Refusal{Guard: LimiterGuard, Reason: "the provider asked for a pause", Wait: 25 * time.Minute, Behind: time.Minute})
		s.waits(25*time.Minute - 30*time.Second)
		s.enter = refusing("small", Refusal{Guard: LimiterGuard, Reason: "the quota is used up for now", Wait: 5 * time.Minute, Behind: 5 * time.Minute})
		s.waits(5*time.Minute - 150*time.Second)
		equal(s, "told of a pause", strings.Join((*told)[1:], "\n"), "small is not asked for now: the provider asked for a pause. Its calls wait for 24m0s")
		s.enter = refusing("small", Refusal{Guard: LedgerGuard, Reason: "…", Wait: time.Minute})
		time.Sleep(time.Hour)
		s.waits(time.Minute)
		equal(s, "told in the next hour", len(*told), 3)
		s.enter, s.small.script = nil, []reply{failing(jobs.Failure{Kind: jobs.RateLimited, Status: 429, Message: "slow down", RetryAfter: 10 * time.Minute})}
		s.waits(10 * time.Minute)
		equal(s, "told of a 429", strings.Join((*told)[3:], "\n"), "small is not asked for now: rate_limited (429): slow down. Its calls wait for 10m0s")
	})
}

// A budget is a tenant's, perhaps: that one tenant's is spent does not tell why
// another's jobs stand still.
func TestWaitsForMoneyAreToldForEachTenant(t *testing.T) {
	onOutage(t, func(s *scene, told *[]string) {
		for _, tenant := range []string{"acme", "globex", "acme"} {
			s.task.Batch = &jobs.Batch{ID: "b-" + tenant, Tenant: tenant, Chain: "default"}
			s.enter = refusing("small", Refusal{Guard: LedgerGuard, Reason: "the budget of " + tenant + " is spent", Wait: time.Minute})
			s.waits(time.Minute)
		}
		equal(s, "told", strings.Join(*told, "\n"), "small is not asked for want of money: the budget of acme is spent. Its calls wait for the next turn of the budget, or for a higher limit\n"+
			"small is not asked for want of money: the budget of globex is spent. Its calls wait for the next turn of the budget, or for a higher limit")
	})
}
