package fair_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/drover-batch/drover/internal/fair"
)

func lanes(list ...*fair.Lane) []*fair.Lane {
	for i, l := range list {
		l.Name, l.Created = fmt.Sprint(i), time.Unix(int64(i), 0)
	}
	return list
}

// deal deals pieces one at a time and counts them.
func deal(d *fair.Dealer, all []*fair.Lane, pieces int, cost func(*fair.Lane) float64) map[*fair.Lane]int {
	got := map[*fair.Lane]int{}
	for range pieces {
		d.Welcome(all)
		l := d.Next(all)
		fair.Charge(l, cost(l))
		got[l]++
	}
	return got
}

// one deals one piece among the lanes that were made welcome.
func one(d *fair.Dealer, all []*fair.Lane) *fair.Lane {
	l := d.Next(all)
	d.Take(l, 1)
	return l
}

func same(*fair.Lane) float64 { return 1 }

func near(t *testing.T, what string, got, want, by int) {
	t.Helper()
	if got < want-by || got > want+by {
		t.Errorf("%s: got %d, want %d", what, got, want)
	}
}

func TestTenantsShareEvenlyAndTheirLanesByWeight(t *testing.T) {
	t.Parallel()
	all := lanes(&fair.Lane{Tenant: "a", Weight: 1}, &fair.Lane{Tenant: "a", Weight: 2}, &fair.Lane{Tenant: "a", Weight: 5}, &fair.Lane{Tenant: "b"})
	got := deal(&fair.Dealer{}, all, 1600, same)
	for i, want := range []int{100, 200, 500, 800} {
		near(t, fmt.Sprint("lane ", i), got[all[i]], want, 2)
	}
}

func TestWhoTakesLongerGetsFewer(t *testing.T) {
	t.Parallel()
	all := lanes(&fair.Lane{Tenant: "a"}, &fair.Lane{Tenant: "a"})
	got := deal(&fair.Dealer{}, all, 1100, func(l *fair.Lane) float64 { return map[string]float64{"0": 10, "1": 1}[l.Name] })
	near(t, "the slow one", got[all[0]], 100, 2)
}

func TestWhoJoinsOrWasAwayStartsLevel(t *testing.T) {
	t.Parallel()
	var d fair.Dealer
	all := lanes(&fair.Lane{Tenant: "a"}, &fair.Lane{Tenant: "a"}, &fair.Lane{Tenant: "b"})
	deal(&d, all[:1], 1000, same)
	got := deal(&d, all, 400, same)
	near(t, "the old lane", got[all[0]], 100, 2)
	near(t, "the new tenant", got[all[2]], 200, 2)
	deal(&d, all[:1], 1000, same)
	got = deal(&d, all, 400, same)
	near(t, "the lane that came back", got[all[1]], 100, 2)
	near(t, "the tenant that came back", got[all[2]], 200, 2)
}

// A lane that holds all slots with long jobs has been charged for them ahead:
// who joins is level with what it really had.
func TestWhoJoinsGetsWhatTheOthersAreOwed(t *testing.T) {
	t.Parallel()
	var d fair.Dealer
	all := lanes(&fair.Lane{Tenant: "a"}, &fair.Lane{Tenant: "a"})
	deal(&d, all[:1], 64, same)
	all[0].Owing(32)
	got := deal(&d, all, 32, same)
	near(t, "the new lane", got[all[1]], 32, 0)

	d, all = fair.Dealer{}, lanes(&fair.Lane{Tenant: "a", Weight: 2}, &fair.Lane{Tenant: "b"})
	deal(&d, all[:1], 64, same)
	all[0].Owing(32)
	got = deal(&d, all, 32, same)
	near(t, "the new tenant", got[all[1]], 32, 0)
}

func TestWhoStillHasSomethingWasNotAway(t *testing.T) {
	t.Parallel()
	var d fair.Dealer
	all := lanes(&fair.Lane{Tenant: "a"}, &fair.Lane{Tenant: "a"})
	deal(&d, all, 20, same)
	all[0].Owing(1)
	deal(&d, all[1:], 20, same)
	got := deal(&d, all, 20, same)
	near(t, "whose only piece lasts", got[all[0]], 20, 0)
}

func TestWhoJoinsIsLevelWithWhoHadTheLeast(t *testing.T) {
	t.Parallel()
	for _, tenants := range []string{"aab", "abc"} {
		for dear := range 2 {
			var d fair.Dealer
			all := lanes(&fair.Lane{Tenant: tenants[:1]}, &fair.Lane{Tenant: tenants[1:2]}, &fair.Lane{Tenant: tenants[2:]})
			if tenants == "aab" {
				all[2].Tenant = "a"
			}
			deal(&d, all[:2], 2, func(l *fair.Lane) float64 { return map[bool]float64{true: 100, false: 1}[l == all[dear]] })
			got := deal(&d, all, 100, same)
			near(t, fmt.Sprint("who joins ", tenants, dear), got[all[2]], 50, 2)
		}
	}
}

func TestAmongEqualsTheEarliestDeadlineComesFirstThenTheOldest(t *testing.T) {
	t.Parallel()
	soon := time.Unix(1000, 0)
	all := lanes(&fair.Lane{}, &fair.Lane{}, &fair.Lane{Deadline: soon.Add(time.Hour)}, &fair.Lane{Deadline: soon})
	for range 2 { // in any order
		var d fair.Dealer
		got := ""
		for range all {
			d.Welcome(all)
			got += one(&d, all).Name
		}
		if got != "3201" {
			t.Errorf("dealt to %s", got)
		}
		slices.Reverse(all)
		for _, l := range all {
			*l = fair.Lane{Name: l.Name, Created: l.Created, Deadline: l.Deadline}
		}
	}
}

func TestUrgentLanesComeFirstWithinTheirTenant(t *testing.T) {
	t.Parallel()
	soon := time.Unix(1000, 0)
	all := lanes(&fair.Lane{Tenant: "a"}, &fair.Lane{Tenant: "a", Urgent: true, Deadline: soon.Add(time.Hour)}, &fair.Lane{Tenant: "a", Urgent: true, Deadline: soon}, &fair.Lane{Tenant: "b"})
	var d fair.Dealer
	got := map[*fair.Lane]int{}
	for range 1600 {
		d.Welcome(all)
		got[one(&d, all)]++
	}
	near(t, "the most urgent", got[all[2]], 700, 10)
	near(t, "the others of its tenant", got[all[0]]+got[all[1]], 100, 10)
	near(t, "the other tenant", got[all[3]], 800, 2)
	all[1].Urgent, all[2].Urgent = false, false
	got = deal(&d, all, 600, same)
	near(t, "what it had is not held against it", got[all[2]], 100, 5)
	near(t, "nor against the others", got[all[0]], 100, 5)
}

// A lane that is there for every second piece only gets its part all the same.
func TestWhoIsAwayForAMomentLosesNothing(t *testing.T) {
	t.Parallel()
	d := fair.Dealer{Start: 8}
	all := lanes(&fair.Lane{Tenant: "a"}, &fair.Lane{Tenant: "a", Weight: 3}, &fair.Lane{Tenant: "b", Weight: 2})
	got := map[*fair.Lane]int{}
	for i := range 1600 {
		here := all
		if i%4 < 2 {
			here = all[1:]
		}
		d.Welcome(here)
		got[one(&d, here)]++
	}
	near(t, "the lane that comes and goes", got[all[0]], 200, 10)
	near(t, "the other of its tenant", got[all[1]], 600, 10)
	deal(&d, all[1:], 1000, same)
	got = deal(&d, all, 40, same)
	near(t, "after a long time, with what it may have ahead", got[all[0]], 5+8, 2)
}

func TestWhoGivesAPieceBackWasThereAllAlong(t *testing.T) {
	t.Parallel()
	var d fair.Dealer
	all := lanes(&fair.Lane{Tenant: "a"}, &fair.Lane{Tenant: "b"})
	deal(&d, all[:1], 10, same)
	got := map[*fair.Lane]int{}
	for range 60 { // b can use one piece of two, and is not asked about the next
		d.Welcome(all)
		l := one(&d, all)
		if l == all[1] && got[l]%2 == 1 {
			d.Welcome(all[:1])
			d.Return(l, 1)
		}
		got[l]++
	}
	near(t, "turns of b, of which it uses each second", got[all[1]], 40, 2)
}
