package resilience

import (
	"cmp"
	"slices"

	"github.com/drover-batch/drover/internal/fair"
	"github.com/drover-batch/drover/jobs"
)

// shares are the batches that share a line. The zero value is ready to use.
type shares struct {
	dealer  fair.Dealer
	known   map[string]*share
	lanes   []*fair.Lane // of those with calls that wait
	waiting int          // calls, of all of them
	size    float64      // of a call of late
}

// share is a batch's part of a line.
type share struct {
	fair.Lane
	waiting []*place // as they came
	size    float64  // of those
	planned int      // calls that had to wait so far, up to headStart
	asking  float64  // size of the calls asked for and not answered yet
}

// headStart is how many calls a batch that joins a line, or comes back to it,
// may have ahead of the others: a few jobs are soon done, and a batch with few
// slots has none that waits whenever its turn comes.
const headStart = 8

// mostShares is how many batches are remembered that nobody asks for.
const mostShares = 1024

// forget is for when nobody waits nor asks.
func (s *shares) forget() {
	if len(s.known) > mostShares {
		clear(s.known)
	}
}

// of is the share of the batch that makes the call.
func (s *shares) of(call *jobs.Call) *share {
	one := s.known[call.Batch]
	if one == nil {
		if s.known == nil {
			s.known = map[string]*share{}
		}
		one = &share{Lane: fair.Lane{Name: call.Batch, Tenant: call.Tenant}}
		s.known[call.Batch] = one
	}
	one.Weight, one.Urgent = call.Weight, call.Urgent
	return one
}

// queue has a call wait behind those of its batch that came before it.
func (s *shares) queue(p *place) {
	one := p.share
	if len(one.waiting) == 0 {
		s.lanes = append(s.lanes, &one.Lane)
	}
	at, _ := slices.BinarySearchFunc(one.waiting, p, func(a, b *place) int { return a.arrived - b.arrived })
	one.waiting = slices.Insert(one.waiting, at, p)
	s.waiting++
	one.size += p.size
	s.size = cmp.Or(s.size, p.size)
}

// drop takes a call out and reports whether it was there.
func (s *shares) drop(p *place) bool {
	one := p.share
	at := slices.Index(one.waiting, p)
	if at < 0 {
		return false
	}
	one.waiting = slices.Delete(one.waiting, at, at+1)
	s.waiting--
	one.size -= p.size
	if len(one.waiting) == 0 {
		one.size = 0
		at = slices.Index(s.lanes, &one.Lane)
		s.lanes = slices.Delete(s.lanes, at, at+1)
	}
	return true
}

// next takes out the call that comes next: the first of the batch whose turn it
// is, which is charged for it.
func (s *shares) next() *place {
	s.dealer.Start = headStart * s.size
	s.dealer.Welcome(s.lanes)
	p := s.known[s.dealer.Next(s.lanes).Name].waiting[0]
	s.dealer.Take(&p.share.Lane, p.size)
	s.drop(p)
	p.share.asked(p.size)
	return p
}

// answered is told of every call that next has given out.
func (s *shares) answered(p *place) { p.share.asked(-p.size) }

// refund is for a call that was asked for and has to wait on, or go.
func (s *shares) refund(p *place) { s.dealer.Return(&p.share.Lane, p.size) }

// served is told the size of a call that was admitted.
func (s *shares) served(size float64) { s.size += (size - s.size) / 8 }

// ahead is how many calls of the usual size are served before the next of the
// share.
func (s *shares) ahead(one *share) float64 {
	if one == nil || one.size <= 0 {
		return 0
	}
	size := one.size / s.size
	if one.planned < headStart {
		return size
	}
	tenants, siblings := map[string]struct{}{}, 0
	for _, l := range s.lanes {
		tenants[l.Tenant] = struct{}{}
		if l.Tenant == one.Tenant {
			siblings += max(l.Weight, 1)
		}
	}
	return size * float64(len(tenants)*siblings) / float64(max(one.Weight, 1))
}

// asked counts what is asked for and not answered yet.
func (one *share) asked(size float64) {
	one.asking += size
	one.Owing(one.asking)
}

// unit is in what a quota's shares are counted: by the requests or tokens that
// it has a minute, whichever a call takes more of.
type unit struct{ requests, tokens int64 }

// size is how much of the quota that is. Where nobody said what there is, it is
// the number of requests.
func (u unit) size(requests, tokens int64) float64 {
	if u == (unit{}) {
		return float64(requests)
	}
	return max(part(requests, u.requests), part(tokens, u.tokens))
}

func part(n, of int64) float64 {
	if of <= 0 {
		return 0
	}
	return float64(n) / float64(of)
}
