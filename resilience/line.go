package resilience

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/drover-batch/drover/internal/fair"
	"github.com/drover-batch/drover/jobs"
)

const (
	mostAsking = 1 << 16               // calls of a line at once; no limit in practice
	moreRate   = 1.2                   // of the quota: this must never be what holds it back
	soonFree   = 50 * time.Millisecond // a refusal for lack of places asks again by then
)

// line is this replica's queue for one quota. While the fleet's limiter admits
// whoever asks it does nothing. Once somebody is refused, all calls of the
// quota wait here: tenants take turns, and the batches of each by weight; those
// of one batch are served as they came. One at a time asks again when the
// limiter said that it may; so a crowd of waiting slots costs Redis next to
// nothing. With every admission twice as many may ask at once.
type line struct {
	patience, gap time.Duration
	concurrent    bool
	unit          unit

	mu      sync.Mutex
	rate    *rate.Limiter
	shares  shares
	charged map[string]*place // calls that were admitted and have not left
	arrived int               // calls so far
	asking  int
	window  int           // most of asking
	until   time.Time     // nobody asks before
	swept   time.Time     // when those who wait too long were last sent away
	last    time.Time     // the last admission
	pace    time.Duration // between admissions while there is a line
	timer   *time.Timer
}

// place is a call in the line. Whose turn it is asks at once, in the line's
// order, before anybody has to be woken for it.
type place struct {
	call    string
	share   *share
	size    float64
	arrived int // decides among those of one batch
	ask     inquiry
	turn    chan *turn
}

// turn is a call's turn to ask, or to go.
type turn struct {
	answer pending
	again  bool     // with the answer: the call waits for another turn
	no     *Refusal // there is no answer: it takes too long
}

// inquiry asks without blocking. heard is told the answer once, before whoever
// waits for it and never from within: so the next in the line have asked before
// the answers are all handed out, and go along with the next group.
type inquiry func(heard func(Pass, error)) pending

// pending blocks for the answer to what was asked.
type pending func() (Pass, error)

func newLine(q Quota, patience time.Duration) *line {
	l := &line{
		patience: patience, concurrent: q.Concurrent > 0,
		unit: unit{q.RequestsPerMinute, q.TokensPerMinute},
		rate: rate.NewLimiter(rate.Inf, 0), window: mostAsking,
		charged: make(map[string]*place),
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

// enter asks when it is this call's turn, which is likely to take so many
// tokens. It blocks as long as that is within the line's patience, and refuses
// otherwise.
func (l *line) enter(ctx context.Context, call *jobs.Call, tokens int64, ask inquiry) (Pass, error) {
	p, no := l.join(call, tokens, ask)
	if p == nil {
		return Pass{Refusal: no}, nil
	}
	for {
		var t *turn
		select {
		case t = <-p.turn:
		case <-ctx.Done():
			if l.quit(p) {
				return Pass{}, fmt.Errorf("waiting for the quota: %w", context.Cause(ctx))
			}
			t = <-p.turn // it came at the same moment
		}
		if t.no != nil {
			return Pass{Refusal: t.no}, nil
		}
		pass, err := t.answer()
		if !t.again {
			return pass, err
		}
	}
}

// join gives the call a place, or a refusal if its turn is too far off.
func (l *line) join(call *jobs.Call, tokens int64, ask inquiry) (*place, *Refusal) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	crowded := l.crowded(now)
	if !crowded && l.asking == 0 {
		l.shares.forget()
	}
	s := l.shares.of(call)
	if crowded {
		if no := l.usedUp(s, now); no.Wait > l.patience {
			return nil, no
		}
		s.planned = min(s.planned+1, headStart)
	}
	l.arrived++
	p := &place{call: call.ID, share: s, size: l.unit.size(1, tokens), arrived: l.arrived, ask: ask, turn: make(chan *turn, 1)}
	l.shares.queue(p)
	l.serve()
	return p, nil
}

// crowded reports whether who comes now has to wait. Callers hold mu.
func (l *line) crowded(now time.Time) bool { return l.shares.waiting > 0 || now.Before(l.until) }

// usedUp tells how long the share's next call is likely to wait. Callers hold mu.
func (l *line) usedUp(one *share, now time.Time) *Refusal {
	behind := time.Duration(l.shares.ahead(one) * float64(l.pace))
	return &Refusal{
		Guard:  LimiterGuard,
		Reason: "the quota is used up and other calls are ahead in the line",
		Wait:   max(0, l.until.Sub(now)) + behind, Behind: behind,
	}
}

// ahead is how long a call would wait if it came now.
func (l *line) ahead(call *jobs.Call) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.usedUp(l.shares.known[call.Batch], time.Now()).Wait
}

// heard takes in the answer to the call whose turn it was, and reports whether
// it waits for another.
func (l *line) heard(p *place, pass Pass, err error) (again bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.serve()
	l.asking--
	l.shares.answered(p)
	no := pass.Refusal
	if err == nil && no == nil {
		l.admitted(p, pass.Wait)
		return false
	}
	l.shares.refund(p)
	if no == nil || no.Guard != LimiterGuard || no.Final {
		return false
	}
	l.window = 1
	l.until = latest(l.until, time.Now().Add(no.Wait))
	again = no.Wait <= l.patience
	if again {
		l.shares.queue(p)
	}
	l.disperse()
	return again
}

func (l *line) admitted(p *place, wait time.Duration) {
	now := time.Now()
	l.charged[p.call] = p
	l.shares.served(p.size)
	l.window = min(2*l.window, mostAsking)
	// The time since the line was empty is no measure of the pace, and that of a
	// pause a poor one.
	if l.shares.waiting > 0 && !l.last.IsZero() {
		most := max(horizon, 2*l.gap) + l.pace
		l.pace += (min(now.Sub(l.last), most) - l.pace) / 8
	}
	l.last = now
	if l.shares.waiting == 0 {
		l.last = time.Time{}
	}
	// Whoever comes next is likely to be refused before then.
	if l.gap > 0 && wait+l.gap > horizon {
		l.until = latest(l.until, now.Add(wait+l.gap-horizon))
	}
}

// left is told what an admitted call took in the end: its batch is charged for
// that, rather than for what was expected.
func (l *line) left(call string, requests, tokens int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.charged[call]
	if p == nil {
		return
	}
	delete(l.charged, call)
	fair.Charge(&p.share.Lane, l.unit.size(requests, tokens)-p.size)
}

// disperse sends those away, the last of each batch first, who would now wait
// much longer than they were meant to; unless there is a pause, it looks once a
// second. Callers hold mu.
func (l *line) disperse() {
	now := time.Now()
	paused := l.until.Sub(now) > l.patience
	if !paused && now.Sub(l.swept) < time.Second {
		return
	}
	l.swept = now
	for _, lane := range slices.Backward(slices.Clone(l.shares.lanes)) {
		s := l.shares.known[lane.Name]
		for n := len(s.waiting); n > 0; n = len(s.waiting) {
			no := l.usedUp(s, now)
			if !paused && no.Wait <= 2*l.patience {
				break
			}
			p := s.waiting[n-1]
			l.shares.drop(p)
			p.turn <- &turn{no: no}
		}
	}
}

// quit takes a call out of the line whose caller does not want to wait. It
// reports false for one that is not in the line any more.
func (l *line) quit(p *place) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.shares.drop(p)
}

// freed is told that a call of the quota has left: if there were no places,
// there may be one now.
func (l *line) freed() {
	if !l.concurrent {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); l.shares.waiting > 0 && l.until.Sub(now) <= soonFree {
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
	for now := time.Now(); l.shares.waiting > 0 && l.asking < l.window; {
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
		p := l.shares.next()
		t := &turn{}
		t.answer = p.ask(func(pass Pass, err error) { t.again = l.heard(p, pass, err) })
		p.turn <- t
		l.asking++
	}
}

func latest(times ...time.Time) time.Time {
	return slices.MaxFunc(times, time.Time.Compare)
}
