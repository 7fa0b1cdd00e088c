package resilience

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drover-batch/drover/internal/lua"
)

// crowded is a committer whose groups take a millisecond, and with so many
// calls in flight that take so long.
func crowded(calls int, took time.Duration) (c *committer, groups *[]int) {
	groups = new([]int)
	return &committer{
		limit: 256, wait: time.Second, full: make(chan struct{}, 1),
		crowd: func() (int, time.Duration) { return calls, took },
		run: func(_ context.Context, ops []lua.Op) ([]lua.Reply, error) {
			<-time.After(time.Millisecond)
			*groups = append(*groups, len(ops))
			return make([]lua.Reply, len(ops)), nil
		},
	}, groups
}

// leaves submits so many operations, one at a time.
func (c *committer) leaves(n int, every time.Duration) {
	for range n {
		c.submit(&entry{op: lua.Op{Kind: lua.Leave}, answer: func(lua.Reply, error) {}})
		<-time.After(every)
	}
	c.groups.Wait()
}

func TestCrowdsLingerUntilAGroupIsWorthWhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, groups := crowded(500, 2*time.Second)
		c.leaves(1000, time.Millisecond)   // a thousand a second
		if n := len(*groups); n > 100+50 { // it takes a moment to find out
			t.Errorf("1,000 operations went in %d groups, want about 20 together", n)
		}
	})
}

func TestShortCallsLingerShortly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, groups := crowded(500, 50*time.Millisecond)
		began := time.Now()
		c.leaves(400, time.Millisecond)
		(*groups) = nil
		c.submit(&entry{op: lua.Op{Kind: lua.Leave}, answer: func(lua.Reply, error) {}})
		c.groups.Wait()
		if took := time.Since(began) - 400*time.Millisecond; took > shortLinger+5*time.Millisecond {
			t.Errorf("the last waited for %v", took)
		}
	})
}

func TestFewCallsDoNotLinger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, groups := crowded(crowd-2, 10*time.Second)
		c.leaves(500, 2*time.Millisecond) // each is answered before the next comes
		if len(*groups) != 500 {
			t.Errorf("500 operations of few calls went in %d groups", len(*groups))
		}
	})
}

func TestLingeringEndsWhenEverybodyWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c, groups := crowded(32, time.Minute)
		for range 50 {
			c.leaves(0, 0)
			began := time.Now()
			for range 32 {
				c.submit(&entry{op: lua.Op{Kind: lua.Leave}, answer: func(lua.Reply, error) {}})
			}
			c.groups.Wait()
			if took := time.Since(began); took > 3*time.Millisecond {
				t.Fatalf("all 32 waited and nothing was sent for %v; groups %v", took, *groups)
			}
		}
	})
}
