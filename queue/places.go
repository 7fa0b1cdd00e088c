package queue

import "time"

// mostConsumers is how many consumers the broker is told to allow for the
// jobs. It takes a thousand for enough unless a stream says otherwise.
// MaxLiveBatches is what counts; this leaves room for paused batches, and for
// cancelled ones whose jobs are still to be settled.
const mostConsumers = 100_000

// fullFor is how long no batch begins after the broker would not have another.
const fullFor = time.Second

// places are how many batches may still begin. One that has begun has a
// consumer, which takes the broker memory until the batch is over; so it keeps
// its place, and goes on whatever comes. A quarter of the places are kept for
// those that should not wait for another's end: the first batch of a tenant,
// and batches that would miss their deadline.
type places struct {
	left, kept int
	begun      map[string]bool // tenants of which a batch has
}

// places counts what the live batches leave.
func (s *Source) places(now time.Time) *places {
	most := s.q.cfg.MaxLiveBatches
	p := &places{left: most, kept: most / 4, begun: map[string]bool{}}
	for _, l := range s.live {
		if l.m.Dealt && !l.draining(now) {
			p.left--
			p.begun[l.Tenant] = true
		}
	}
	if s.fullUntil.After(now) {
		p.left = 0
	}
	return p
}

// open reports whether a batch has begun or may do so.
func (p *places) open(l *live) bool {
	return l.m.Dealt || p.left > p.kept || p.left > 0 && (l.Urgent || !p.begun[l.Tenant])
}

// take is open for a batch that does begin now.
func (p *places) take(l *live) bool {
	if !p.open(l) {
		return false
	}
	if !l.m.Dealt {
		p.left--
		p.begun[l.Tenant] = true
	}
	return true
}

// seat keeps those of the chosen batches that have a place, and refunds the
// others: they keep their turn.
func (s *Source) seat(chosen []*live) []*live {
	p := s.places(time.Now())
	seated := chosen[:0]
	for _, l := range chosen {
		if p.take(l) {
			seated = append(seated, l)
		} else {
			l.refund(l.want)
		}
	}
	return seated
}
