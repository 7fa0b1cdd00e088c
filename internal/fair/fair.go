// Package fair deals what is scarce, one piece after another: among tenants
// evenly, and among the lanes of a tenant by weight. It remembers who had how
// much, so the shares come out right even one piece at a time, and whatever a
// piece costs. Whoever was away saves nothing up.
package fair

import (
	"cmp"
	"maps"
	"math"
	"time"
)

// Lane is one of those who share: a batch.
type Lane struct {
	Name     string
	Tenant   string
	Weight   int // among the tenant's lanes; 0 means 1
	Deadline time.Time
	Created  time.Time

	// Urgent puts it before the tenant's other lanes, but for one piece in
	// eight. Among several urgent ones the earliest Deadline comes first.
	Urgent bool

	account
	group *tenant
}

// account is what somebody was dealt.
type account struct {
	turn  float64 // virtual time: grows with what was dealt, the slower the heavier
	owing float64 // of that, what is not used up yet
	round int     // when it was last there
}

// had is how far it is with what it really had.
func (a *account) had() float64 { return a.turn - a.owing }

// Owing says how much of what the lane was dealt it has not used up yet: who
// joins starts level with what the others really had.
func (l *Lane) Owing(cost float64) { l.owing = max(0, cost) / l.weight() }

// Dealer remembers the tenants. The zero value is ready to use, by one
// goroutine at a time.
type Dealer struct {
	// Start is what whoever is new may have ahead of the others, so that a few
	// pieces are soon had; default nothing. Whoever comes back may have as much
	// of what it missed.
	Start float64

	tenants map[string]*tenant
	round   int
}

type tenant struct {
	account
	floor float64 // the least that its lanes had
	dealt int     // pieces, for those that are not the urgent lanes'
}

const (
	usual   = 8    // pieces until one goes by weight alone though a lane is urgent
	forgets = 1024 // rounds after which a tenant that stays away is forgotten
)

// Welcome makes the lanes known from which Next chooses, until the next
// Welcome. Whoever is new or was away saves nothing up but Start: it begins
// level with those who stayed.
func (d *Dealer) Welcome(lanes []*Lane) {
	if d.tenants == nil {
		d.tenants = map[string]*tenant{}
	}
	d.round++
	for _, l := range lanes {
		d.join(l)
	}
	floor := d.floors(lanes)
	for _, l := range lanes {
		t := l.group
		if t.round != d.round {
			t.turn = d.level(&t.account, floor, 1)
		}
		t.round = d.round
		l.turn = d.level(&l.account, t.floor, l.weight())
		if l.Urgent {
			l.turn = max(l.turn, t.floor) // it was not charged for what it got
		}
		l.round = d.round
	}
	if d.round%forgets == 0 {
		maps.DeleteFunc(d.tenants, func(_ string, t *tenant) bool { return d.round-t.round > forgets })
	}
}

// join finds the lane's tenant.
func (d *Dealer) join(l *Lane) {
	t := d.tenants[l.Tenant]
	if t == nil {
		t = &tenant{}
		d.tenants[l.Tenant] = t
	}
	l.group, t.owing, t.floor = t, 0, none
}

// none is the floor where nobody stayed.
const none = -math.MaxFloat64

// floors finds out how little anybody had who stayed, or still has something:
// of the tenants, and of the lanes of each.
func (d *Dealer) floors(lanes []*Lane) float64 {
	for _, l := range lanes {
		t := l.group
		t.owing += l.owing * l.weight()
		if !l.Urgent && d.stayed(&l.account) && (t.floor == none || l.had() < t.floor) {
			t.floor = l.had()
		}
	}
	floor := none
	for _, l := range lanes {
		if t := l.group; d.stayed(&t.account) && (floor == none || t.had() < floor) {
			floor = t.had()
		}
	}
	return floor
}

// stayed reports whether somebody was there a round ago, or still has
// something.
func (d *Dealer) stayed(a *account) bool { return a.owing > 0 || a.round > 0 && a.round == d.round-1 }

// level is where somebody goes on: as far as it is if it stayed, since the floor
// is no further then.
func (d *Dealer) level(a *account, floor, weight float64) float64 {
	switch {
	case floor == none:
		return a.turn
	case a.round == 0:
		return floor - d.Start/weight
	}
	return max(a.turn, floor-d.Start/weight)
}

// Next is the lane whose turn it is, nil if there are none.
func (d *Dealer) Next(lanes []*Lane) *Lane {
	var best *Lane
	for _, l := range lanes {
		if best == nil || before(l, best) {
			best = l
		}
	}
	return best
}

func before(a, b *Lane) bool {
	if a.group != b.group {
		return cmp.Or(cmp.Compare(a.group.turn, b.group.turn), cmp.Compare(a.Tenant, b.Tenant)) < 0
	}
	switch c := a.Deadline.Compare(b.Deadline); {
	case a.Urgent != b.Urgent:
		return a.Urgent == (a.group.dealt%usual != usual-1)
	case a.Urgent && c != 0:
		return c < 0
	}
	if a.turn != b.turn {
		return a.turn < b.turn
	}
	if !a.Deadline.Equal(b.Deadline) {
		return b.Deadline.IsZero() || !a.Deadline.IsZero() && a.Deadline.Before(b.Deadline)
	}
	return Older(a, b) < 0
}

// Older orders lanes by age.
func Older(a, b *Lane) int {
	return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name))
}

// Take counts a piece of that cost that a lane gets.
func (d *Dealer) Take(l *Lane, cost float64) {
	l.group.dealt++
	Charge(l, cost)
}

// Charge corrects what a lane was charged. What an urgent lane gets counts for
// its tenant alone: it is not held against it later.
func Charge(l *Lane, cost float64) {
	if l.group == nil {
		return
	}
	l.group.turn += cost
	if !l.Urgent {
		l.turn += cost / l.weight()
	}
}

// Return takes back what a lane was charged for a piece that it could not use:
// it counts as having been there all along.
func (d *Dealer) Return(l *Lane, cost float64) {
	Charge(l, -cost)
	if l.group != nil {
		l.round, l.group.round = d.round, d.round
	}
}

func (l *Lane) weight() float64 { return float64(max(l.Weight, 1)) }
