package resilience

import (
	"time"

	"github.com/drover-batch/drover/internal/fair"
	"github.com/drover-batch/drover/jobs"
)

// shares are the batches that share a line. The zero value is ready to use.
type shares struct {
	dealer fair.Dealer
	known  map[string]*share
	crowd  int // crowds so far: what was planned in one says nothing in the next
	round  int
	lanes  []*fair.Lane // kept for its memory
}

// share is a batch's part of a line.
type share struct {
	fair.Lane
	tail  time.Time // the turn of whoever comes next
	crowd int       // of tail
	round int       // of first, when it was last seen waiting
	at    int       // where the first of its calls stands

	planned int // calls so far, up to headStart

	asking int // calls asked for and not answered yet
}

// headStart is how many calls a batch that joins a line may have ahead of the
// others: a few jobs are soon done.
const headStart = 8

// mostShares is how many batches are remembered that nobody asks for.
const mostShares = 1024

// idle is told that nobody waits any more, and whether nobody asks either.
func (s *shares) idle(gone bool) {
	s.crowd++
	if gone && len(s.known) > mostShares {
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

// after is when the turn of the share's next call would be, if it waited.
func (s *shares) after(one *share) time.Time {
	if one == nil || one.crowd != s.crowd {
		return time.Time{}
	}
	return one.tail
}

// follow plans the share's next turn behind one at that time, in a line that
// serves one call each pace.
func (s *shares) follow(one *share, at time.Time, pace time.Duration) {
	one.crowd, one.tail = s.crowd, at
	if one.planned < headStart {
		one.planned++
		one.tail = at.Add(pace)
		return
	}
	tenants, siblings := map[string]struct{}{}, 0
	now := time.Now()
	for _, other := range s.known {
		if other != one && s.after(other).Before(now) {
			continue // none of it waits
		}
		tenants[other.Tenant] = struct{}{}
		if other.Tenant == one.Tenant {
			siblings += max(other.Weight, 1)
		}
	}
	one.tail = at.Add(pace * time.Duration(len(tenants)*siblings) / time.Duration(max(one.Weight, 1)))
}

// first is which of the waiting calls comes next: the first of the batch whose
// turn it is, which is charged for it.
func (s *shares) first(waiting []*place) int {
	s.round++
	s.lanes = s.lanes[:0]
	for i, p := range waiting {
		if p.share.round != s.round {
			p.share.round, p.share.at = s.round, i
			s.lanes = append(s.lanes, &p.share.Lane)
		}
	}
	s.dealer.Start = headStart
	s.dealer.Welcome(s.lanes) // one alone as well, so that whoever joins it is known to be new
	if len(s.lanes) == 1 {
		return 0
	}
	at := s.known[s.dealer.Deal(s.lanes, 1).Name].at
	waiting[at].charged = true
	return at
}

// refund is for a call that was asked for and has to wait on.
func (s *shares) refund(p *place) {
	cost := 0.0
	if p.charged {
		p.charged, cost = false, 1
	}
	s.dealer.Return(&p.share.Lane, cost)
}

// asked counts the calls that are asked for and not answered yet.
func (one *share) asked(n int) {
	one.asking += n
	one.Owing(float64(one.asking))
}
