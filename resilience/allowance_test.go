package resilience

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/jobs"
)

func TestCallsAreMadeOnTheAllowanceAndToldBeforeItIsGivenBack(t *testing.T) {
	bubble(t, func(t *testing.T, s *store) {
		s.open(t)
		v := s.saver(t, "a", 0, 10*worst)
		v.warmUp(t, 60)
		if spent, held := s.sums(t); spent != 0 || held != 10*worst {
			t.Fatalf("%v spent and %v held with an allowance of %v", spent, held, 10*worst)
		}
		v.away.Store(true)
		var made []*jobs.Call
		for range 10 {
			made = append(made, v.enters(t))
		}
		if _, err := v.allowance.Enter(t.Context(), v.priced()); err == nil {
			t.Error("a call was admitted beyond the allowance")
		}
		for _, c := range made {
			v.leaves(t, c, 4, "")
		}
		if left := v.allowance.Left(); left != 10*worst-10*4 {
			t.Errorf("%v are left after ten calls for 4 each", left)
		}
		last := v.enters(t)
		v.away.Store(false)
		time.Sleep(3 * time.Second)
		v.leaves(t, last, 5, "")
		time.Sleep(3 * time.Second)
		if spent, held := s.sums(t); spent != 45 || held != 0 {
			t.Errorf("afterwards %v are spent and %v held, want 45 and none", spent, held)
		}
		if !slices.Equal(v.said, []bool{true, false}) {
			t.Errorf("it was told %v", v.said)
		}
		told := s.told(t)
		given := slices.IndexFunc(told, func(l string) bool { return strings.HasPrefix(l, "leave "+standingPrefix) })
		for _, c := range append(made, last) {
			known := slices.IndexFunc(told, func(l string) bool { return l == "leave "+c.ID || l == "enter "+c.ID })
			if known < 0 || known > given {
				t.Errorf("the allowance was given back before call %s was known: %q", c.ID, told[len(told)-15:])
			}
		}
		if len(v.record.open) > 0 {
			t.Errorf("the record still has %v", v.record.open)
		}
	})
}

func TestAllowanceThatIsCutOffForLongCoversItsCalls(t *testing.T) {
	bubble(t, func(t *testing.T, s *store) {
		s.open(t)
		v, other := s.saver(t, "a", 0, 10*worst), s.saver(t, "b", 0, 10*worst)
		v.warmUp(t, 60)
		v.away.Store(true)
		c := v.enters(t)
		time.Sleep(2 * lease)
		other.leaves(t, other.enters(t), 0, "") // clears away what has lapsed
		if spent, _ := s.sums(t); spent != 10*worst {
			t.Errorf("%v are presumed spent of an allowance of %v", spent, 10*worst)
		}
		v.leaves(t, c, 7, "")
		v.away.Store(false)
		time.Sleep(3 * time.Second)
		other.stop()
		if spent, held := s.sums(t); spent != 7 || held != 0 {
			t.Errorf("afterwards %v are spent and %v held, want 7 and none", spent, held)
		}
	})
}

func TestCallThatMayHaveEnteredIsMadeUnderAnotherID(t *testing.T) {
	bubble(t, func(t *testing.T, s *store) {
		s.open(t)
		v := s.saver(t, "a", 0, 10*worst)
		v.warmUp(t, 60)
		lost := true // the reply to the next script, and then Redis is away
		s2 := &store{rdb: v.config.Redis.(*redis.Client)}
		s2.onScript(func(run func() error) error {
			err := run()
			if lost {
				lost = false
				v.away.Store(true)
				return errors.New("the connection broke")
			}
			return err
		})
		c := v.priced()
		pass, err := v.allowance.Enter(t.Context(), c)
		if err != nil || pass.Refusal == nil || pass.Refusal.Wait > time.Second {
			t.Fatalf("got %+v, %v", pass, err)
		}
		made := v.enters(t)
		v.leaves(t, made, 6, "")
		v.away.Store(false)
		time.Sleep(3 * time.Second)
		if spent, held := s.sums(t); spent != 6 || held != 0 {
			t.Errorf("afterwards %v are spent and %v held, want 6 and none", spent, held)
		}
	})
}

func TestThreeBadResultsEndTheAllowanceUntilRedisIsBack(t *testing.T) {
	bubble(t, func(t *testing.T, s *store) {
		s.open(t)
		v := s.saver(t, "a", 0, 20*worst)
		v.warmUp(t, 60)
		v.away.Store(true)
		for _, kind := range []jobs.Kind{jobs.ServerError, jobs.Timeout, "", jobs.ServerError, jobs.Unreachable, jobs.ServerError} {
			v.leaves(t, v.enters(t), 1, kind)
		}
		if pass, err := v.allowance.Enter(t.Context(), v.priced()); err == nil {
			t.Errorf("the model was asked once more: %+v", pass)
		}
		v.away.Store(false)
		time.Sleep(2 * time.Second)
		v.leaves(t, v.enters(t), 1, "")
	})
}

func TestAllowanceGoesOnAtThePaceOfTheLastMinute(t *testing.T) {
	bubble(t, func(t *testing.T, s *store) {
		s.open(t)
		v := s.saver(t, "a", 0, 1000*worst)
		for range 60 { // one a second, two at once
			c := v.enters(t)
			d := v.enters(t)
			v.leaves(t, c, 0, "")
			v.leaves(t, d, 0, "")
			time.Sleep(2 * time.Second)
		}
		v.away.Store(true)
		v.enters(t)
		v.enters(t)
		if pass, err := v.allowance.Enter(t.Context(), v.priced()); err != nil || pass.Refusal == nil || !strings.Contains(pass.Refusal.Reason, "in flight") {
			t.Errorf("a third call at once got %+v, %v", pass, err)
		}
	})
}

func TestAllowanceIsGivenBackWhenNobodyNeedsItOrMoneyIsShort(t *testing.T) {
	bubble(t, func(t *testing.T, s *store) {
		s.open(t)
		v := s.saver(t, "a", 12*worst, 10*worst)
		v.warmUp(t, 1)
		time.Sleep(atRest + 2*tidyEvery)
		if _, held := s.sums(t); held != 0 {
			t.Errorf("%v are held for nobody", held)
		}
		v.warmUp(t, 1)
		all := []*jobs.Call{v.enters(t), v.enters(t)} // and the third does not fit beside the allowance
		if pass, err := v.allowance.Enter(t.Context(), v.priced()); err != nil || pass.Refusal == nil {
			t.Fatalf("got %+v, %v", pass, err)
		}
		time.Sleep(time.Second)
		began := time.Now()
		for range 10 {
			all = append(all, v.enters(t))
		}
		if _, held := s.sums(t); held != 12*worst || time.Since(began) > time.Second {
			t.Errorf("%v are held by twelve calls, after %v", held, time.Since(began))
		}
		for _, c := range all {
			v.leaves(t, c, 0, "")
		}
		v.warmUp(t, 1)
		if left := v.allowance.Left(); left != 0 {
			t.Errorf("%v are held again, where money was short a moment ago", left)
		}
		time.Sleep(2 * atRest)
		v.warmUp(t, 1)
		if left := v.allowance.Left(); left != 10*worst {
			t.Errorf("%v are held once it is not", left)
		}
	})
}

func TestAllowanceHasTheTermsOfTheCallsThatItIsFor(t *testing.T) {
	bubble(t, func(t *testing.T, s *store) {
		s.open(t)
		v := s.saver(t, "a", 0, 10*worst)
		c := v.priced()
		c.Limit, c.AlertAt, c.CheaperAt = 100*worst, []float64{0.8}, 0.5
		if pass, err := v.allowance.Enter(t.Context(), c); err != nil || pass.Refusal != nil {
			t.Fatalf("got %+v, %v", pass, err)
		}
		time.Sleep(time.Second)
		if v.allowance.Left() != 10*worst {
			t.Fatal("nothing is held")
		}
		for _, h := range v.allowance.taken { // or the ledger would forget where the batch alerts
			if h.call.Limit != c.Limit || !slices.Equal(h.call.AlertAt, c.AlertAt) || h.call.CheaperAt != c.CheaperAt {
				t.Errorf("held as %+v", h.call)
			}
		}
	})
}

func TestAllowanceOfOneWindowIsNotSpentInTheNext(t *testing.T) {
	bubble(t, func(t *testing.T, s *store) {
		s.open(t)
		v := s.saver(t, "a", 0, 10*worst)
		end := time.Now().Truncate(time.Hour).Add(time.Hour)
		time.Sleep(time.Until(end.Add(-2 * time.Minute)))
		v.warmUp(t, 60)
		v.away.Store(true)
		v.leaves(t, v.enters(t), 1, "")
		time.Sleep(time.Until(end.Add(-30 * time.Second)))
		if pass, err := v.allowance.Enter(t.Context(), v.priced()); err == nil {
			t.Errorf("got %+v half a minute before its window ends", pass)
		}
	})
}

func TestAllowanceIsNotSpentWhileTheSumsAreRebuilt(t *testing.T) {
	bubble(t, func(t *testing.T, s *store) {
		s.open(t)
		never, end := context.WithCancel(t.Context())
		v := s.saver(t, "a", 0, 10*worst, func(c *GateConfig) {
			c.Rebuild = func(context.Context) error { <-never.Done(); return never.Err() }
			c.Reopening = time.Second
		})
		v.warmUp(t, 60)
		s.rdb.FlushAll(t.Context())
		if pass, err := v.allowance.Enter(t.Context(), v.priced()); err == nil {
			t.Errorf("got %+v while the gate was shut", pass)
		}
		v.away.Store(true)
		v.beat()
		time.Sleep(2 * time.Second)
		if pass, err := v.allowance.Enter(t.Context(), v.priced()); err == nil {
			t.Errorf("got %+v while the gate was shut and Redis away", pass)
		}
		end()
	})
}
