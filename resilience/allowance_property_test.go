package resilience

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// spending is what two replicas with allowances really spend of a limit,
// whatever the till thinks of it.
type spending struct {
	*store
	t      *testing.T
	dice   *rand.Rand
	limit  jobs.USD
	savers []*saver
	flying [][]*jobs.Call
	dead   []bool
	paid   jobs.USD
}

func TestAllowancesOverdrawNothingWhateverHappens(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, func(t *testing.T, s *store) {
				s.open(t)
				p := &spending{store: s, t: t, dice: rand.New(rand.NewPCG(seed, 0))}
				p.limit = jobs.USD(40+p.dice.IntN(30)) * worst
				amount := jobs.USD(1+p.dice.IntN(12)) * worst
				for i := range 2 {
					p.savers = append(p.savers, s.saver(t, fmt.Sprint("worker", i), p.limit, amount))
				}
				for _, v := range p.savers {
					v.warmUp(t, 20)
				}
				p.flying, p.dead = make([][]*jobs.Call, 2), make([]bool, 2)
				for range 150 {
					p.step(p.dice.IntN(2))
					p.check()
				}
				p.end()
			})
		})
	}
}

// step is something that happens to a replica.
func (p *spending) step(i int) {
	v := p.savers[i]
	switch what := p.dice.IntN(40); {
	case what == 0:
		time.Sleep(time.Duration(p.dice.IntN(80)) * time.Second)
	case what < 4:
		time.Sleep(time.Second)
	case p.dead[i]:
	case what == 4 && p.dice.IntN(4) == 0: // it dies, and what it has sent is paid for
		for len(p.flying[i]) > 0 {
			p.take(i)
		}
		p.dead[i] = true
		v.away.Store(true)
	case what < 7:
		v.away.Store(!v.away.Load())
	case what < 27:
		c := v.priced()
		if pass, err := v.allowance.Enter(p.t.Context(), c); err == nil && pass.Refusal == nil {
			p.flying[i] = append(p.flying[i], c)
		}
	case len(p.flying[i]) > 0:
		c, cost := p.take(i)
		v.leaves(p.t, c, cost, "")
	}
}

// take ends a call in flight.
func (p *spending) take(i int) (*jobs.Call, jobs.USD) {
	n := p.dice.IntN(len(p.flying[i]))
	c, cost := p.flying[i][n], jobs.USD(p.dice.IntN(worst+1))
	p.flying[i] = append(p.flying[i][:n:n], p.flying[i][n+1:]...)
	p.paid += cost
	return c, cost
}

// check holds what may have been spent against the limit and the till.
func (p *spending) check() {
	p.t.Helper()
	most := p.paid + worst*jobs.USD(len(p.flying[0])+len(p.flying[1]))
	spent, held := p.sums(p.t)
	if most > p.limit || spent+held < most {
		p.t.Fatalf("up to %v are spent of %v; the till says %v, and %v held", most, p.limit, spent, held)
	}
}

// end brings everything to rest.
func (p *spending) end() {
	for i, v := range p.savers {
		if p.dead[i] {
			continue
		}
		v.away.Store(false)
		for len(p.flying[i]) > 0 {
			c, cost := p.take(i)
			v.leaves(p.t, c, cost, "")
		}
	}
	time.Sleep(3 * time.Second)
	p.check()
	for _, v := range p.savers {
		v.stop()
	}
	time.Sleep(2 * lease)
	spent, held := p.sums(p.t)
	switch {
	case p.dead[0] && p.dead[1]: // and nobody is left to see what lapsed
	case spent < p.paid, held != 0, !p.dead[0] && !p.dead[1] && spent != p.paid:
		p.t.Errorf("at rest %v are spent of %v, and %v held; %v were paid", spent, p.limit, held, p.paid)
	}
}
