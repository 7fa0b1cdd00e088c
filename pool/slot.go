package pool

import "context"

// Slot is a handler's place among those that are at work at once. It belongs to
// the handler's goroutine.
type Slot struct {
	p *Pool
	t *turn
}

// Rest gives the place to another job while this one makes no calls, which is
// what slots are there to bound: between its last call and the end of the
// handler, at best. The slot is kept if as many as half of the slots rest
// already, so that a worker does not go on paying for answers that it cannot
// store. It does not block.
func (s *Slot) Rest() {
	if s.t.restNow() {
		s.p.stats.finish()
	}
}

// Take takes a slot again after a Rest, and changes nothing without one. It
// blocks until another job gives its slot back, or until ctx ends: the handler
// then goes on without.
func (s *Slot) Take(ctx context.Context) {
	if s.t.wake(ctx) {
		s.p.stats.begin()
	}
}

func (s *Slot) end() {
	if s.t.end() {
		s.p.stats.finish()
	}
}
