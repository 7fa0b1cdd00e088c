package resilience

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/drover-batch/drover/jobs"
)

const (
	mostAsking = 1 << 16               // calls of a line at once; no limit in practice
	moreRate   = 1.2                   // of the quota: the pacer must never be what holds it back
	soonFree   = 50 * time.Millisecond // a refusal for lack of places asks again by then
)

// line is this replica's queue for one quota. While the fleet's limiter admits
// whoever asks it does nothing. Once somebody is refused, all calls of the
// quota wait here: tenants take turns, and the batches of each by weight; those
// of one batch are served as they came. One at a time asks again when the
// limiter said that it may; so a crowd of waiting slots costs Redis next to
// nothing. With every admission twice as many may ask at once.
type line struct {
	patience, horizon, gap time.Duration
	concurrent             bool

	mu      sync.Mutex
	rate    *rate.Limiter
	waiting []*place // by due and arrived
	shares  shares
	arrived int                  // calls so far
	booked  map[string]time.Time // jobs whose calls were sent away, and when their turn is
	sweep   int                  // size of booked at which those who stayed away are forgotten
	asking  int
	window  int           // most of asking
	until   time.Time     // nobody asks before
	last    time.Time     // the last admission
	pace    time.Duration // between admissions while there is a line
	timer   *time.Timer
}

// place is a call in the line. Whose turn it is asks at once, in the line's
// order, before anybody has to be woken for it.
type place struct {
	whose   string
	due     time.Time
	share   *share
	charged bool // to its share
	arrived int  // decides between those due at the same moment
	ask     inquiry
	turn    chan *turn // nil: it takes too long, come back when due
}

// turn is a call's turn to ask.
type turn struct {
	answer pending
	again  bool // with the answer: the call waits for another turn
}

// inquiry asks without blocking. heard is told the answer once, before whoever
// waits for it and never from within: so the next in the line have asked before
// the answers are all handed out, and go along with the next group.
type inquiry func(heard func(Pass, error)) pending

// pending blocks for the answer to what was asked.
type pending func() (Pass, error)

func newLine(q Quota, patience, horizon time.Duration) *line {
	l := &line{
		patience: patience, horizon: horizon, concurrent: q.Concurrent > 0,
		rate: rate.NewLimiter(rate.Inf, 0), window: mostAsking,
		booked: make(map[string]time.Time), sweep: 64,
	}
	if q.RequestsPerMinute > 0 {
		second := float64(q.RequestsPerMinute) / 60
		l.gap = time.Duration(float64(time.Second) / second)
		l.rate = rate.NewLimiter(rate.Limit(moreRate*second), 1+int(second*horizon.Seconds()))
	}
	l.pace = l.gap
	l.timer = time.AfterFunc(time.Hour, l.wake)
	l.timer.Stop()
	return l
}

// enter asks when it is this call's turn. It blocks as long as that is within
// the limiter's patience; otherwise it refuses and keeps the call's turn.
func (l *line) enter(ctx context.Context, call *jobs.Call, ask inquiry) (Pass, error) {
	p, no := l.join(call, ask)
	for p != nil {
		var t *turn
		select {
		case t = <-p.turn:
		case <-ctx.Done():
			if l.quit(p) {
				return Pass{}, fmt.Errorf("waiting for the quota: %w", context.Cause(ctx))
			}
			t = <-p.turn // it came at the same moment
		}
		if t == nil {
			return Pass{Refusal: l.sendAway(p)}, nil
		}
		pass, err := t.answer()
		if !t.again {
			return pass, err
		}
	}
	return Pass{Refusal: no}, nil
}

// join gives the call a place, or a refusal if its turn is too far off.
func (l *line) join(call *jobs.Call, ask inquiry) (*place, *Refusal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	due, returning := l.booked[whose(call)]
	delete(l.booked, whose(call))
	if !l.crowded(now) {
		l.shares.idle(l.asking == 0)
		due = now
	}
	s := l.shares.of(call)
	if l.crowded(now) && !returning {
		due = latest(l.shares.after(s), l.until, now)
		l.shares.follow(s, due, l.pace)
	}
	if due.Sub(now) > l.patience {
		return nil, l.book(whose(call), due)
	}
	l.arrived++
	p := &place{whose: whose(call), due: due, share: s, arrived: l.arrived, ask: ask, turn: make(chan *turn, 1)}
	l.queue(p)
	l.serve()
	return p, nil
}

// crowded reports whether who comes now has to wait. Callers hold mu.
func (l *line) crowded(now time.Time) bool { return len(l.waiting) > 0 || now.Before(l.until) }

// ahead is how long a call would wait if it came now.
func (l *line) ahead(call *jobs.Call) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	due, returning := l.booked[whose(call)]
	switch {
	case !l.crowded(now):
		return 0
	case !returning:
		due = latest(l.shares.after(l.shares.known[call.Batch]), l.until)
	}
	return max(0, due.Sub(now))
}

// whose is whom a turn is kept for: a call that was sent away comes back under
// another id, for the same job.
func whose(call *jobs.Call) string { return cmp.Or(string(call.Job), call.ID) }

// queue puts a place where its turn is. Callers hold mu.
func (l *line) queue(p *place) {
	at, _ := slices.BinarySearchFunc(l.waiting, p, func(a, b *place) int {
		return cmp.Or(a.due.Compare(b.due), cmp.Compare(a.arrived, b.arrived))
	})
	l.waiting = slices.Insert(l.waiting, at, p)
}

// book sends a call away and keeps its turn for when it comes back. Callers
// hold mu.
func (l *line) book(call string, due time.Time) *Refusal {
	now := time.Now()
	if len(l.booked) >= l.sweep {
		for id, at := range l.booked {
			if now.Sub(at) > time.Minute {
				delete(l.booked, id)
			}
		}
		l.sweep = 2*len(l.booked) + 64
	}
	l.booked[call] = due
	return &Refusal{
		Guard:  LimiterGuard,
		Reason: "the quota is used up and other calls are ahead in the line",
		Wait:   max(due.Sub(now), time.Millisecond),
	}
}

func (l *line) sendAway(p *place) *Refusal {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.book(p.whose, p.due)
}

// heard takes in the answer to the call whose turn it was, and reports whether
// it waits for another.
func (l *line) heard(p *place, pass Pass, err error) (again bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.serve()
	l.asking--
	p.share.asked(-1)
	no := pass.Refusal
	switch {
	case err != nil:
	case no == nil:
		l.admitted(pass.Wait)
	case no.Guard == LimiterGuard && !no.Final:
		l.window = 1
		l.until = latest(l.until, time.Now().Add(no.Wait))
		if no.Wait <= l.patience {
			l.shares.refund(p)
			l.queue(p)
			return true
		}
		l.booked[p.whose] = l.until
		l.shares.follow(p.share, latest(l.shares.after(p.share), l.until), l.pace)
		l.disperse()
	}
	return false
}

func (l *line) admitted(wait time.Duration) {
	now := time.Now()
	l.window = min(2*l.window, mostAsking)
	// A pause or an idle time before is no measure of the pace.
	if most := max(l.horizon, 2*l.gap); len(l.waiting) > 0 && now.Sub(l.last) <= most {
		l.pace += (now.Sub(l.last) - l.pace) / 8
	}
	l.last = now
	// Whoever comes next is likely to be refused before then.
	if l.gap > 0 && wait+l.gap > l.horizon {
		l.until = latest(l.until, now.Add(wait+l.gap-l.horizon))
	}
}

// disperse sends those away who would wait too long, now that the quota is
// paused. Callers hold mu.
func (l *line) disperse() {
	for _, p := range l.waiting {
		p.due = latest(l.until, l.shares.after(p.share))
		l.shares.follow(p.share, p.due, l.pace)
		p.turn <- nil
	}
	l.waiting = nil
}

// quit takes a call out of the line whose caller does not want to wait. It
// reports false for one that is not in the line any more.
func (l *line) quit(p *place) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	i := slices.Index(l.waiting, p)
	if i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	}
	return i >= 0
}

// freed is told that a call of the quota has left: if there were no places,
// there may be one now.
func (l *line) freed() {
	if !l.concurrent {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); len(l.waiting) > 0 && l.until.Sub(now) <= soonFree {
		l.until = now
		l.serve()
	}
}

func (l *line) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.serve()
}

// serve asks for those whose turn it is, and sets the alarm for the next.
// Callers hold mu.
func (l *line) serve() {
	for now := time.Now(); len(l.waiting) > 0 && l.asking < l.window; {
		wait := l.until.Sub(now)
		if wait <= 0 {
			start := l.rate.ReserveN(now, 1)
			if wait = start.DelayFrom(now); wait > 0 {
				start.CancelAt(now)
			}
		}
		if wait > 0 {
			l.timer.Reset(wait)
			return
		}
		first := l.shares.first(l.waiting)
		p := l.waiting[first]
		p.share.asked(1)
		t := &turn{}
		t.answer = p.ask(func(pass Pass, err error) { t.again = l.heard(p, pass, err) })
		p.turn <- t
		l.waiting = slices.Delete(l.waiting, first, first+1)
		l.asking++
	}
}

func latest(times ...time.Time) time.Time {
	return slices.MaxFunc(times, time.Time.Compare)
}

// lines holds the line of every quota that was asked for.
type lines struct {
	mu     sync.Mutex
	quotas map[string]*line
}

// quotaOf names the quota that a model draws on.
func quotaOf(m *jobs.Model) string { return cmp.Or(m.Quota, m.Name) }
