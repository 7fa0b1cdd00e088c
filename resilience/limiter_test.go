package resilience

import (
	"fmt"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/jobs"
)

// underQuota runs the test with a limiter of one quota.
func underQuota(t *testing.T, q Quota, test func(t *testing.T, d *desk)) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store) {
		test(t, s.desk(t, NewLimiter(LimiterConfig{Quotas: map[string]Quota{"small": q}}), keyspace))
	})
}

func (d *desk) quota() QuotaState {
	d.t.Helper()
	q, err := Quotas(d.t.Context(), d.rdb, d.keys, "small")
	if err != nil {
		d.t.Fatal(err)
	}
	return q[0]
}

// sized is a call that takes so many tokens, of which so many are output.
func sized(worker string, tokens, output int64) *jobs.Call {
	c := newCall(worker)
	c.Input, c.Output = tokens-output, output
	return c
}

// fill enters calls until one is refused, and returns their waits and how long
// the refused one is to wait.
func (d *desk) fill(worker string) (waits []time.Duration, refused time.Duration) {
	for {
		r := d.enter(newCall(worker))
		if r.Refused {
			return waits, r.Wait
		}
		waits = append(waits, r.Wait)
	}
}

func TestRequestsAreSpacedEvenlyUpToTheHorizon(t *testing.T) {
	underQuota(t, Quota{RequestsPerMinute: 600}, func(t *testing.T, d *desk) {
		d.needsTime()
		waits, refused := d.fill("a")
		var want []time.Duration
		for i := range 11 {
			want = append(want, time.Duration(i)*100*time.Millisecond)
		}
		if !slices.Equal(waits, want) || refused != 100*time.Millisecond {
			t.Errorf("waits %v, then %v", waits, refused)
		}
		d.pass(100 * time.Millisecond)
		d.admit(newCall("a"))
		d.refuse(newCall("a"))
	})
}

func TestIdleTimeIsNotSavedUp(t *testing.T) {
	underQuota(t, Quota{RequestsPerMinute: 600}, func(t *testing.T, d *desk) {
		d.needsTime()
		d.admit(newCall("a"))
		d.pass(time.Hour)
		if waits, _ := d.fill("a"); len(waits) != 11 {
			t.Errorf("%d at once after an hour, want 11", len(waits))
		}
	})
}

func TestQuotaIsSharedByModelsAndReplicas(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, s *store) {
		d := s.desk(t, NewLimiter(LimiterConfig{Quotas: map[string]Quota{"provider": {RequestsPerMinute: 120}}}), keyspace)
		for i, model := range []string{"small", "large", "small"} {
			c := newCall([]string{"a", "b"}[i%2])
			c.Model = &jobs.Model{Name: model, Quota: "provider"}
			within(t, "wait", d.enter(c).Wait, time.Duration(i)*500*time.Millisecond-100*time.Millisecond, time.Duration(i)*500*time.Millisecond)
		}
	})
}

func TestTokensAreReservedAndSettled(t *testing.T) {
	underQuota(t, Quota{TokensPerMinute: 60_000}, func(t *testing.T, d *desk) {
		d.needsTime()
		d.admit(sized("a", 1000, 0)) // the credit for idle time
		first := d.admit(sized("a", 1000, 0))
		within(t, "after 1000 tokens more", d.enter(sized("a", 100, 0)).Wait, time.Second, time.Second)
		d.leave(first, jobs.Attempt{Usage: jobs.Usage{Input: 400}})
		within(t, "ahead once 600 came back", d.quota().Ahead, 500*time.Millisecond, 500*time.Millisecond)
		second := d.admit(sized("a", 100, 0))
		d.leave(second, jobs.Attempt{Usage: jobs.Usage{Input: 3000}})
		within(t, "ahead after 2900 more", d.quota().Ahead, 3500*time.Millisecond, 3500*time.Millisecond)
	})
}

func TestBigRequestsAreNotStarved(t *testing.T) {
	underQuota(t, Quota{TokensPerMinute: 60_000}, func(t *testing.T, d *desk) {
		d.needsTime()
		admitted := 0
		for range 100 { // small ones keep the horizon full all the time
			for !d.enter(sized("a", 100, 0)).Refused {
			}
			if !d.enter(sized("b", 10_000, 0)).Refused {
				admitted++
			}
			d.pass(500 * time.Millisecond)
		}
		if admitted < 4 { // of 50,000 tokens
			t.Errorf("%d big requests in 50 s", admitted)
		}
	})
}

func TestCallLargerThanTheQuotaNeverFits(t *testing.T) {
	underQuota(t, Quota{TokensPerMinute: 1000}, func(t *testing.T, d *desk) {
		r := d.refuse(sized("a", 1001, 0))
		if want := "the call needs about 1001 tokens and the quota has 1000 a minute"; !r.Final || r.Why != want {
			t.Errorf("got %+v", r)
		}
	})
}

func TestPlacesAreTakenAndGivenBack(t *testing.T) {
	underQuota(t, Quota{Concurrent: 2}, func(t *testing.T, d *desk) {
		first := d.admit(newCall("a"))
		d.admit(newCall("a"))
		d.refuse(newCall("a"))
		d.leave(first, jobs.Attempt{})
		d.leave(first, jobs.Attempt{})
		d.admit(newCall("a"))
		d.refuse(newCall("a"))
		if n := d.quota().InFlight; n != 2 {
			t.Errorf("%d in flight", n)
		}
	})
}

func TestDeadWorkerFreesItsPlace(t *testing.T) {
	underQuota(t, Quota{Concurrent: 1}, func(t *testing.T, d *desk) {
		d.needsTime()
		dead := d.admit(newCall("a"))
		d.pass(lease)
		d.admit(newCall("b"))
		d.leave(dead, jobs.Attempt{}) // late: frees nothing twice
		d.refuse(newCall("b"))
	})
}

func TestCallThatTheBookHasAtARebuildingGivesItsPlaceBack(t *testing.T) {
	underQuota(t, Quota{Concurrent: 2}, func(t *testing.T, d *desk) {
		told, dead := d.admit(newCall("a")), d.admit(newCall("a")) // they ended while Redis was away
		epoch, err := d.script.NewEpoch(t.Context(), d.rdb)
		if err == nil {
			err = d.script.Open(t.Context(), d.rdb, epoch, []string{told.ID, dead.ID})
		}
		if err != nil {
			t.Fatal(err)
		}
		d.leave(told, jobs.Attempt{})
		d.leave(told, jobs.Attempt{})
		if n := d.quota().InFlight; n != 1 {
			t.Errorf("%d in flight, want the one that nobody has heard of", n)
		}
		d.needsTime()
		d.pass(lease)
		d.enter(newCall("b"))
		d.leave(dead, jobs.Attempt{})
		if n := d.quota().InFlight; n != 1 {
			t.Errorf("%d in flight, want the new one", n)
		}
	})
}

func TestUnmadeCallGivesEverythingBack(t *testing.T) {
	underQuota(t, Quota{RequestsPerMinute: 60, TokensPerMinute: 6000, Concurrent: 1}, func(t *testing.T, d *desk) {
		d.needsTime()
		d.leave(d.admit(sized("a", 1000, 0)), jobs.Attempt{Kind: jobs.Interrupted, Billing: jobs.Free})
		if r := d.enter(sized("a", 10, 0)); r.Refused || r.Wait != 0 {
			t.Errorf("got %+v", r)
		}
	})
}

func TestOnlyCallsThatTheProviderNeverSawGiveTheirTurnBack(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		kind    jobs.Kind
		billing jobs.Billing
		wait    time.Duration
	}{
		{jobs.Unreachable, jobs.Free, 0},
		{jobs.Interrupted, jobs.Free, 0},
		{jobs.Interrupted, jobs.Presumed, time.Second},
		{jobs.Unreachable, jobs.Presumed, time.Second},
		{jobs.InvalidRequest, jobs.Free, time.Second},
		{"", jobs.Billed, time.Second},
	} {
		d := onMini(t).desk(t, NewLimiter(LimiterConfig{Quotas: map[string]Quota{"small": {RequestsPerMinute: 60}}}), keyspace)
		d.leave(d.admit(newCall("a")), jobs.Attempt{Kind: row.kind, Billing: row.billing})
		within(t, fmt.Sprintf("wait after %q, %s", row.kind, row.billing), d.enter(newCall("a")).Wait, row.wait, row.wait)
	}
}

func TestRetryAfterPausesTheFleet(t *testing.T) {
	underQuota(t, Quota{}, func(t *testing.T, d *desk) {
		d.needsTime()
		first, second, third := d.admit(newCall("a")), d.admit(newCall("a")), d.admit(newCall("a"))
		d.leave(first, jobs.Attempt{Kind: jobs.RateLimited, RetryAfter: 20 * time.Second})
		within(t, "wait of the other replica", d.refuse(newCall("b")).Wait, 18*time.Second, 20*time.Second)

		d.pass(5 * time.Second)
		d.leave(second, jobs.Attempt{Kind: jobs.RateLimited, RetryAfter: time.Second}) // never shortens
		within(t, "pause", d.quota().Paused, 15*time.Second, 15*time.Second)
		d.leave(third, jobs.Attempt{Kind: jobs.RateLimited}) // belongs to the same wave
		within(t, "pause", d.quota().Paused, 15*time.Second, 15*time.Second)
		d.pass(15 * time.Second)
		d.admit(newCall("b"))
	})
}

func TestPauseWithoutALengthDoubles(t *testing.T) {
	underQuota(t, Quota{}, func(t *testing.T, d *desk) {
		d.needsTime()
		for _, seconds := range []int{1, 2, 4, 8, 16, 32, 64, 64} {
			want := time.Duration(seconds) * time.Second
			first, second := d.admit(newCall("a")), newCall("a")
			together := !d.enter(second).Refused
			d.pass(time.Second) // both have started
			d.leave(first, jobs.Attempt{Kind: jobs.RateLimited})
			d.pass(time.Second / 2)
			if together {
				d.leave(second, jobs.Attempt{Kind: jobs.RateLimited}) // of the same wave
			}
			within(t, "pause", d.quota().Paused, want-time.Second/2, want-time.Second/2)
			d.pass(want + time.Minute)
		}
		d.leave(d.admit(newCall("a")), jobs.Attempt{})
		d.pass(time.Minute)
		d.leave(d.admit(newCall("a")), jobs.Attempt{Kind: jobs.RateLimited})
		within(t, "pause after a success", d.quota().Paused, time.Second, 1500*time.Millisecond)
	})
}

func TestAbsurdPauseIsCutToAnHour(t *testing.T) {
	underQuota(t, Quota{}, func(t *testing.T, d *desk) {
		d.leave(d.admit(newCall("a")), jobs.Attempt{Kind: jobs.RateLimited, RetryAfter: 1e6 * time.Hour})
		within(t, "pause", d.quota().Paused, 59*time.Minute, time.Hour)
	})
}

func TestFirstRefusedIsFirstServed(t *testing.T) {
	underQuota(t, Quota{RequestsPerMinute: 600}, func(t *testing.T, d *desk) {
		d.needsTime()
		_, first := d.fill("a")
		d.pass(time.Millisecond)
		second := d.refuse(newCall("b")).Wait
		if first != 100*time.Millisecond || second != 199*time.Millisecond {
			t.Fatalf("waits %v and %v: both were given the same turn", first, second)
		}
		d.pass(100 * time.Millisecond)
		d.refuse(newCall("b")) // it is a's turn
		d.refuse(newCall("c"))
		d.admit(newCall("a"))
		d.pass(100 * time.Millisecond)
		d.refuse(newCall("a"))
		d.admit(newCall("b"))
	})
}

func TestTurnOfWhoStaysAwayIsForgotten(t *testing.T) {
	underQuota(t, Quota{Concurrent: 1}, func(t *testing.T, d *desk) {
		d.needsTime()
		c := d.admit(newCall("a"))
		d.refuse(newCall("b"))
		d.leave(c, jobs.Attempt{})
		d.refuse(newCall("a")) // the place is b's
		d.pass(time.Second)
		d.admit(newCall("a"))
	})
}

func TestClockPutBackChangesNothing(t *testing.T) {
	underQuota(t, Quota{RequestsPerMinute: 600}, func(t *testing.T, d *desk) {
		d.needsTime()
		d.fill("a")
		d.pass(-time.Hour)
		d.refuse(newCall("a"))
		d.pass(100 * time.Millisecond)
		d.admit(newCall("a"))
	})
}

func TestCallsAfterTheClockWasPutBackGiveTheirPlaceBack(t *testing.T) {
	underQuota(t, Quota{Concurrent: 1}, func(t *testing.T, d *desk) {
		d.needsTime()
		d.leave(d.admit(newCall("a")), jobs.Attempt{})
		d.pass(-101 * time.Millisecond) // as after a failover to a server that is a little behind
		for range 3 {
			d.leave(d.admit(newCall("a")), jobs.Attempt{})
		}
		if n := d.quota().InFlight; n != 0 {
			t.Errorf("%d in flight, want none", n)
		}
	})
}

func TestWhoWaitsWhenTheClockIsPutBackHasItsTurn(t *testing.T) {
	underQuota(t, Quota{Concurrent: 1}, func(t *testing.T, d *desk) {
		d.needsTime()
		last := d.admit(newCall("a"))
		d.refuse(newCall("b"))
		d.pass(-time.Hour)
		for _, other := range []string{"c", "d", "e"} { // each comes after b
			d.refuse(newCall("b"))
			d.pass(10 * time.Millisecond)
			d.refuse(newCall(other))
			d.leave(last, jobs.Attempt{})
			if !d.enter(newCall("b")).Refused {
				return
			}
			last = d.admit(newCall(other))
		}
		t.Error("three who came later went first")
	})
}

func TestMemosOfTheLastBuildAreReadAsTheyWereMeant(t *testing.T) {
	underQuota(t, Quota{RequestsPerMinute: 600}, func(t *testing.T, d *desk) {
		d.needsTime()
		left := func(n int64) jobs.Attempt {
			return jobs.Attempt{Quota: &jobs.Quota{RequestsLimit: 600, RequestsLeft: n, TokensLimit: -1, TokensLeft: -1}}
		}
		d.leave(d.admit(newCall("a")), left(600))
		d.pass(time.Second)
		d.leave(d.admit(newCall("a")), jobs.Attempt{Kind: jobs.RateLimited, RetryAfter: time.Hour})
		d.pass(2 * time.Hour)
		c := d.admit(newCall("a"))
		q := d.rdb.HMGet(t.Context(), d.keys.Key("quota", "small"), "at", "rsum", "tsum", "shift", "rbooked", "tbooked").Val()
		memo := fmt.Sprintf("limiter\x1f%s 0 %s %s %s %s %s", q...)
		record := d.rdb.HGet(t.Context(), d.keys.Key("records"), c.ID).Val()
		record = regexp.MustCompile("limiter\x1f[^\x1e\x1f]*").ReplaceAllLiteralString(record, memo)
		d.rdb.HSet(t.Context(), d.keys.Key("records"), c.ID, record)
		d.leave(c, left(300))
		d.pass(time.Second)
		d.admit(newCall("a"))
		within(t, "gap", d.enter(newCall("a")).Wait, 95*time.Millisecond, 110*time.Millisecond)
	})
}

func TestHeadersSteer(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name      string
		said      jobs.Quota
		low, high time.Duration // between requests, 100ms as configured
	}{
		{"half full", jobs.Quota{RequestsLimit: 600, RequestsLeft: 300}, 98 * time.Millisecond, 101 * time.Millisecond},
		{"nearly empty", jobs.Quota{RequestsLimit: 600, RequestsLeft: 60}, 150 * time.Millisecond, 200 * time.Millisecond},
		{"full", jobs.Quota{RequestsLimit: 600, RequestsLeft: 600}, 90 * time.Millisecond, 92 * time.Millisecond},
		{"configured too high", jobs.Quota{RequestsLimit: 300, RequestsLeft: 150}, 196 * time.Millisecond, 201 * time.Millisecond},
		{"configured lower", jobs.Quota{RequestsLimit: 900, RequestsLeft: 900}, 100 * time.Millisecond, 100 * time.Millisecond},
		{"another window", jobs.Quota{RequestsLimit: 14_400, RequestsLeft: 10}, 100 * time.Millisecond, 100 * time.Millisecond},
		{"nothing", jobs.Quota{RequestsLimit: -1, RequestsLeft: -1}, 100 * time.Millisecond, 100 * time.Millisecond},
	}
	s := onMini(t)
	for i, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			keys := lua.Keyspace(string(rune('a' + i)))
			d := s.desk(t, NewLimiter(LimiterConfig{Keys: keys, Quotas: map[string]Quota{"small": {RequestsPerMinute: 600}}}), keys)
			tt.said.TokensLimit, tt.said.TokensLeft = -1, -1
			full := jobs.Quota{RequestsLimit: tt.said.RequestsLimit, RequestsLeft: tt.said.RequestsLimit, TokensLimit: -1, TokensLeft: -1}
			d.leave(d.admit(newCall("a")), jobs.Attempt{Quota: &full})
			s.pass(time.Second)
			d.leave(d.admit(newCall("a")), jobs.Attempt{Quota: &tt.said})
			s.pass(time.Second)
			d.admit(newCall("a"))
			within(t, "gap", d.enter(newCall("a")).Wait, tt.low, tt.high)
		})
	}
}

// Nothing else may know a limit, so it is not forgotten while nobody asks.
func TestHeadersAreBelievedUntilAnswersComeWithoutThem(t *testing.T) {
	underQuota(t, Quota{RequestsPerMinute: 600}, func(t *testing.T, d *desk) {
		d.needsTime()
		d.leave(d.admit(newCall("a")), jobs.Attempt{Quota: &jobs.Quota{RequestsLimit: 300, RequestsLeft: 150, TokensLimit: -1, TokensLeft: -1}})
		gap := func(when string, want time.Duration) {
			t.Helper()
			d.pass(time.Hour)
			d.leave(d.admit(newCall("a")), jobs.Attempt{Kind: jobs.ServerError})
			within(t, "gap "+when, d.enter(newCall("b")).Wait, want*9/10, want)
		}
		gap("an hour later", 200*time.Millisecond)
		d.leave(d.admit(newCall("a")), jobs.Attempt{})
		gap("after an answer without", 200*time.Millisecond)
		d.leave(d.admit(newCall("a")), jobs.Attempt{})
		gap("after another one", 100*time.Millisecond)
	})
}

// What a header says was left is without what its call took, and a call that was
// refused took nothing, whatever was expected of it.
func TestHeadersAreReadByWhatTheirCallTook(t *testing.T) {
	for name, last := range map[string]jobs.Attempt{
		"answered": {Usage: jobs.Usage{Input: 1000}},
		"refused":  {Kind: jobs.RateLimited, RetryAfter: 10 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			underQuota(t, Quota{TokensPerMinute: 60_000}, func(t *testing.T, d *desk) {
				d.needsTime()
				for _, row := range []struct {
					left int64
					a    jobs.Attempt
				}{{59_000, jobs.Attempt{Usage: jobs.Usage{Input: 1000}}}, {20_000, last}} {
					row.a.Quota = &jobs.Quota{RequestsLimit: -1, RequestsLeft: -1, TokensLimit: 60_000, TokensLeft: row.left}
					d.leave(d.admit(sized("a", 9000, 0)), row.a)
					d.pass(10 * time.Second)
				}
				d.admit(sized("a", 3000, 0)) // takes three seconds of a bucket that is half full, and one was saved
				within(t, "ahead", d.quota().Ahead, 2000*time.Millisecond, 2200*time.Millisecond)
			})
		})
	}
}

func TestOlderHeadersDoNotReplaceNewerOnes(t *testing.T) {
	underQuota(t, Quota{RequestsPerMinute: 600}, func(t *testing.T, d *desk) {
		d.needsTime()
		left := func(n int64) jobs.Attempt {
			return jobs.Attempt{Quota: &jobs.Quota{RequestsLimit: 600, RequestsLeft: n, TokensLimit: -1, TokensLeft: -1}}
		}
		slow := d.admit(newCall("a"))
		d.pass(time.Second)
		d.leave(d.admit(newCall("a")), left(600))
		d.leave(slow, left(0))
		d.pass(time.Second)
		d.admit(newCall("a"))
		within(t, "gap", d.enter(newCall("a")).Wait, 90*time.Millisecond, 92*time.Millisecond)
	})
}

// Times that were not set were moved with the clock and counted as set from then
// on: the limit was found to be nothing, which is none.
func TestNoLimitWasFoundOnceTheClockWasPutBackByAMoment(t *testing.T) {
	underQuota(t, Quota{}, func(t *testing.T, d *desk) {
		d.needsTime()
		for range 100 { // 600 a minute
			d.leave(d.admit(newCall("a")), jobs.Attempt{})
			d.pass(100 * time.Millisecond)
		}
		d.pass(-101 * time.Millisecond)
		d.leave(d.admit(newCall("a")), jobs.Attempt{Kind: jobs.RateLimited, RetryAfter: time.Second})
		if f := d.quota().Requests.Found; f < 380 || f > 460 {
			t.Errorf("found %v a minute, want about 420", f)
		}
	})
}

func TestCallsAtAnUnknownQuotaDoubleWithEachRoundOfAnswers(t *testing.T) {
	underQuota(t, Quota{}, func(t *testing.T, d *desk) {
		for round := 64; round <= 256; round *= 2 {
			var calls []*jobs.Call
			for range round {
				calls = append(calls, d.admit(newCall("a")))
			}
			if why, want := d.refuse(newCall("a")).Why, fmt.Sprintf("nobody knows yet what the quota lets through: %d calls at once so far", round); why != want {
				t.Errorf("refused since %q, want %q", why, want)
			}
			for _, c := range calls {
				d.leave(c, jobs.Attempt{})
			}
		}
	})
}

func TestUnknownLimitIsFound(t *testing.T) {
	underQuota(t, Quota{}, func(t *testing.T, d *desk) {
		d.needsTime()
		for range 100 { // 600 a minute
			d.leave(d.admit(newCall("a")), jobs.Attempt{})
			d.pass(100 * time.Millisecond)
		}
		d.leave(d.admit(newCall("a")), jobs.Attempt{Kind: jobs.RateLimited, RetryAfter: time.Second})
		if f := d.quota().Requests.Found; f < 380 || f > 460 {
			t.Errorf("found %v a minute, want about 420", f)
		}
		d.pass(time.Second)
		d.admit(newCall("a"))
		within(t, "gap", d.enter(newCall("a")).Wait, 130*time.Millisecond, 160*time.Millisecond)
		d.pass(5 * time.Minute)
		d.admit(newCall("a"))
		within(t, "gap after minutes without a 429", d.enter(newCall("a")).Wait, 0, time.Millisecond)
	})
}

// aFlood asks as often as the quota lets it for a while, of a provider that
// allows 600 requests a minute and ten at once, and returns how many of them were
// 429s.
func (d *desk) aFlood(lasts time.Duration) (refused int) {
	const step = 100 * time.Millisecond
	left, waiting := 10.0, map[*jobs.Call]time.Duration{}
	for now := time.Duration(0); now < lasts; now += step {
		for range 4 {
			c := newCall("a")
			r := d.enter(c)
			if r.Refused {
				break
			}
			waiting[c] = now + r.Wait
		}
		d.pass(step)
		left = min(10, left+1)
		for c, start := range waiting {
			if start > now+step {
				continue
			}
			due := lua.Op{Kind: lua.Due, Call: c.ID, Steps: []lua.Step{d.guard.(*Limiter).due(c)}}
			if wait := d.run(due)[0].Wait; wait > 0 {
				waiting[c] = now + step + wait
				continue
			}
			delete(waiting, c)
			if left >= 1 {
				left--
				d.leave(c, jobs.Attempt{})
				continue
			}
			refused++
			d.leave(c, jobs.Attempt{Kind: jobs.RateLimited, RetryAfter: time.Second})
		}
	}
	return refused
}

func TestLimitIsFoundAgainAfterHoursWithout429s(t *testing.T) {
	underQuota(t, Quota{}, func(t *testing.T, d *desk) {
		d.needsTime()
		for range 2 {
			if n := d.aFlood(20 * time.Second); n == 0 || n > 6 {
				t.Errorf("%d calls of about 200 were 429s, want as few as find the limit", n)
			}
			if f := d.quota().Requests.Found; f < 300 || f > 900 {
				t.Errorf("found %v a minute, of 600", f)
			}
			d.pass(time.Hour)
		}
	})
}

func TestRepeated429sTakeALittleOffAKnownLimit(t *testing.T) {
	underQuota(t, Quota{RequestsPerMinute: 600}, func(t *testing.T, d *desk) {
		d.needsTime()
		wave := []*jobs.Call{d.admit(newCall("a")), d.admit(newCall("a")), d.admit(newCall("a"))}
		d.pass(time.Second)
		for _, c := range wave {
			d.leave(c, jobs.Attempt{Kind: jobs.RateLimited, RetryAfter: time.Second})
		}
		if s := d.quota().Share; s != 0.97 {
			t.Errorf("share %v after one wave, want 0.97", s)
		}
	})
}

func TestPauseMovesThoseWhoWaitForTheirTime(t *testing.T) {
	underQuota(t, Quota{RequestsPerMinute: 600}, func(t *testing.T, d *desk) {
		d.needsTime()
		first, second, third := d.admit(newCall("a")), d.admit(newCall("a")), d.admit(newCall("b"))
		d.leave(first, jobs.Attempt{Kind: jobs.RateLimited, RetryAfter: 5 * time.Second})
		within(t, "wait of the second", d.due(second), 5099*time.Millisecond, 5100*time.Millisecond)
		within(t, "wait of the third", d.due(third), 5199*time.Millisecond, 5200*time.Millisecond)
		d.pass(5200 * time.Millisecond)
		within(t, "wait of the third in the end", d.due(third), 0, 0)
		within(t, "wait of who comes then", d.enter(newCall("b")).Wait, 100*time.Millisecond, 105*time.Millisecond)
	})
}

// Whoever waited for the end of a pause that grew meanwhile started a moment
// before the end, and its 429 was taken for one of the wave before: nothing was
// ever learned from a wave whose 429s asked for pauses of different lengths.
func TestPauseThatGrewDidNotLetTheNext429sTeach(t *testing.T) {
	underQuota(t, Quota{TokensPerMinute: 1_000_000}, func(t *testing.T, d *desk) {
		d.needsTime()
		first, second := d.admit(newCall("a")), d.admit(newCall("a"))
		d.leave(first, jobs.Attempt{Kind: jobs.RateLimited, RetryAfter: 500 * time.Millisecond})
		waits := d.admit(newCall("a"))
		d.leave(second, jobs.Attempt{Kind: jobs.RateLimited, RetryAfter: 5 * time.Second})
		d.pass(6 * time.Second)
		d.leave(waits, jobs.Attempt{Kind: jobs.RateLimited, RetryAfter: time.Second})
		if s := d.quota().Share; s > 0.96 {
			t.Errorf("share %v after two waves, want less than after one, 0.97", s)
		}
	})
}

func TestNobodyWaitsForACallThatIsNotKnown(t *testing.T) {
	underQuota(t, Quota{RequestsPerMinute: 600}, func(t *testing.T, d *desk) {
		left := d.admit(newCall("a"))
		d.leave(left, jobs.Attempt{})
		within(t, "wait of a call that has left", d.due(left), 0, 0)
		within(t, "wait of a stranger", d.due(newCall("a")), 0, 0)
	})
}

// due is how long an admitted call still waits.
func (d *desk) due(c *jobs.Call) time.Duration {
	d.t.Helper()
	return d.run(lua.Op{Kind: lua.Due, Call: c.ID, Steps: []lua.Step{d.guard.(*Limiter).due(c)}})[0].Wait
}

// exhausted is a 429 that names the tokens as used up, and says no more.
var exhausted = jobs.Attempt{Kind: jobs.RateLimited, RetryAfter: time.Second, Quota: &jobs.Quota{
	RequestsLimit: -1, RequestsLeft: -1, TokensLimit: -1, TokensLeft: -1, Exhausted: jobs.Tokens,
}}

func TestLimitOfTokensIsFoundByWhatCallsTakeOfThem(t *testing.T) {
	underQuota(t, Quota{}, func(t *testing.T, d *desk) {
		d.needsTime()
		for range 100 { // 600 calls and 300,000 tokens a minute
			d.leave(d.admit(sized("a", 500, 0)), jobs.Attempt{})
			d.pass(100 * time.Millisecond)
		}
		d.leave(d.admit(sized("a", 500, 0)), exhausted)
		if f := d.quota().Tokens.Found; f < 190_000 || f > 230_000 {
			t.Errorf("found %v a minute, want about 210,000", f)
		}
	})
}

func TestLimitOfTokensIsFoundByWhatAnsweredCallsTook(t *testing.T) {
	underQuota(t, Quota{}, func(t *testing.T, d *desk) {
		d.needsTime()
		answered := jobs.Attempt{Usage: jobs.Usage{Input: 500}} // of the 800 that are expected
		for range 50 {
			d.leave(d.admit(sized("a", 800, 0)), answered)
			d.pass(200 * time.Millisecond)
		}
		var wave []*jobs.Call
		for range 20 {
			wave = append(wave, d.admit(sized("a", 800, 0)))
		}
		for _, c := range wave {
			d.leave(c, exhausted)
		}
		took, passed := time.Duration(0), 0.0
		goes := func(by time.Duration) {
			d.pass(by)
			took += by
		}
		goes(time.Second)
		var last *jobs.Call
		for took < 15*time.Second {
			c := sized("a", 800, 0)
			r := d.enter(c)
			goes(max(r.Wait, time.Millisecond))
			if r.Refused {
				continue
			}
			if last != nil {
				d.leave(last, answered)
				passed += 500
			}
			last = c
		}
		d.leave(last, exhausted)
		if f, want := d.quota().Tokens.Found, 0.98*passed/took.Minutes(); f < 0.97*want || f > 1.03*want {
			t.Errorf("found %v a minute, and %v were let through", f, want)
		}
	})
}
