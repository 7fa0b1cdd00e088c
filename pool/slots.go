package pool

import (
	"context"
	"slices"
	"sync"
	"time"
)

const (
	linger   = 5 * time.Millisecond   // for more slots to become free
	lookout  = 50 * time.Millisecond  // for newcomers while no slot is free
	patience = time.Second            // of a job that was fetched ahead; then others may have it
	longest  = 100 * time.Millisecond // that asking for jobs is taken to last
)

// slots counts the free ones, and knows what is fetched ahead: as many jobs as
// slots will be free by the time they arrive. So few of long calls are, and
// none for fewer than eight slots.
type slots struct {
	all  int
	more int // jobs at the most that wait for a slot
	rest int // jobs at the most that rest

	mu      sync.Mutex
	free    int
	extra   int     // jobs beyond the slots
	again   []*turn // had a slot, rested, and want one again; the oldest first
	waiting []*turn // those that never had one
	resting int
	asking  time.Duration // how long it takes to get jobs
	held    time.Duration // how long a slot is taken, on average
	freed   chan struct{} // holds a token when a slot was given back
}

func newSlots(n int) *slots {
	return &slots{all: n, more: n / 8, rest: n / 2, free: n, freed: make(chan struct{}, 1)}
}

// await blocks until jobs are wanted and returns how many are. It lingers for
// a moment until there are enough of them, since asking for jobs one by one is
// dear. While none are wanted it returns now and then how many may be worked on
// beyond the slots, of extra ones. It returns 0 when the context is done.
func (s *slots) await(ctx context.Context, enough, extra int) (n int, beyond bool) {
	var lingered, lookedOut <-chan time.Time
	for {
		if ctx.Err() != nil {
			return 0, false
		}
		if n = s.wanted(); n >= enough {
			return n, false
		}
		if n > 0 && lingered == nil {
			t := time.NewTimer(linger)
			defer t.Stop()
			lingered = t.C
		}
		if n == 0 && extra > 0 && lookedOut == nil {
			t := time.NewTimer(lookout)
			defer t.Stop()
			lookedOut = t.C
		}
		select {
		case <-s.freed:
		case <-lingered:
			return s.wanted(), false
		case <-lookedOut:
			if n = s.wanted(); n > 0 {
				return n, false
			}
			if n = extra - s.beyond(); n > 0 {
				return n, true
			}
			lookedOut = nil
		case <-ctx.Done():
		}
	}
}

func (s *slots) wanted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return max(0, s.free+s.ahead()-len(s.waiting)-len(s.again))
}

// beyond is how many jobs are worked on beyond the slots.
func (s *slots) beyond() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.extra
}

// ahead is how many slots are given back, twice over, while jobs are on their
// way.
func (s *slots) ahead() int {
	if s.held == 0 {
		return 0
	}
	return min(s.more, int(2*time.Duration(s.all)*(linger+s.asking)/s.held))
}

// asked takes note of how long it took to get jobs.
func (s *slots) asked(took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asking += (min(took, longest) - s.asking) / 8
}

// turn is a delivery's slot, or its place in the queue for one.
type turn struct {
	s     *slots
	come  chan struct{} // closed when the slot is there; nil if it was at once
	since time.Time
	extra bool // it is beyond the slots
	left  bool
	rests bool // it is one of those that are counted
}

// take is the turn of a job that has just been lent; an extra one need not wait
// for a slot.
func (s *slots) take(extra bool) *turn {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := &turn{s: s, since: time.Now()}
	switch {
	case s.free > 0:
		s.free--
		return t
	case extra:
		s.extra++
		t.extra = true
		return t
	}
	t.come = make(chan struct{})
	s.waiting = append(s.waiting, t)
	return t
}

// await blocks until the slot is there, and reports whether it is: not if the
// worker stops, the job is lost, or it has waited in vain.
func (t *turn) await(taking, job context.Context) bool {
	if t.come == nil {
		if taking.Err() != nil {
			t.leave()
		}
		return !t.left
	}
	long := time.NewTimer(patience)
	defer long.Stop()
	select {
	case <-t.come:
		return true
	case <-taking.Done():
	case <-job.Done():
	case <-long.C:
	}
	t.s.mu.Lock()
	i := slices.Index(t.s.waiting, t)
	if i >= 0 {
		t.s.waiting = slices.Delete(t.s.waiting, i, i+1)
	}
	t.s.mu.Unlock()
	if i < 0 { // it came in this very moment
		t.leave()
	}
	return false
}

// leave gives the slot back, once.
func (t *turn) leave() {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.giveBack()
}

// giveBack is leave for who holds the lock.
func (t *turn) giveBack() {
	s := t.s
	if t.left {
		return
	}
	t.left = true
	if held := time.Since(t.since); s.held == 0 {
		s.held = held
	} else {
		s.held += (held - s.held) / 64
	}
	switch {
	case t.extra:
		s.extra--
		t.extra = false
	case len(s.again) > 0:
		s.again = hand(s.again)
	case len(s.waiting) > 0:
		s.waiting = hand(s.waiting)
	default:
		s.free++
	}
	select {
	case s.freed <- struct{}{}:
	default:
	}
}

// hand gives a slot to the first of those who wait.
func hand(line []*turn) []*turn {
	next := line[0]
	next.left, next.since = false, time.Now()
	close(next.come)
	return line[1:]
}

// restNow gives the slot back to a job that makes no call, unless too many rest
// already. It reports whether the job has just left its slot.
func (t *turn) restNow() bool {
	s := t.s
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.left || s.resting >= s.rest {
		return false
	}
	t.rests = true
	s.resting++
	t.giveBack()
	return true
}

// wake takes a slot for a job that rests, before those that never had one. It
// blocks until there is one or ctx ends, and reports whether the job took it.
func (t *turn) wake(ctx context.Context) bool {
	s := t.s
	s.mu.Lock()
	if !t.left {
		s.mu.Unlock()
		return false
	}
	t.unrest()
	if s.free > 0 {
		s.free--
		t.left, t.since = false, time.Now()
		s.mu.Unlock()
		return true
	}
	t.come = make(chan struct{})
	s.again = append(s.again, t)
	s.mu.Unlock()
	select {
	case <-t.come:
		return true
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.again = slices.DeleteFunc(s.again, func(w *turn) bool { return w == t })
	return !t.left // it came in this very moment
}

// unrest counts the job no more among those that rest. The caller has the lock.
func (t *turn) unrest() {
	if t.rests {
		t.rests = false
		t.s.resting--
	}
}

// end is for a job that is over. It reports whether it had a slot until now.
func (t *turn) end() bool {
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	t.unrest()
	had := !t.left
	t.giveBack()
	return had
}
