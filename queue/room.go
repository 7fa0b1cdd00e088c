package queue

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ErrNoRoom says that NATS refuses what it is given for want of room.
var ErrNoRoom = errors.New("NATS has no room: its disk, or a limit set for it, is full")

// ErrStalled says that NATS is connected and does not store what it is given.
// So does a server whose disk is full: it lets writes time out or, until it is
// started again, takes none.
var ErrStalled = errors.New("NATS is connected and stores nothing: its disk may be full")

// stalledAfter is how long a stream may be without a leader before it counts
// as stalled: an election takes a moment. A write that the broker never
// answers counts at once, since commitTimeout is longer.
const stalledAfter = 5 * time.Second

// leastRoom is how much must be free for there to be room again: not the last
// few bytes, which the first outcome would take.
const leastRoom = 64 << 10

// room knows whether outcomes can be stored, from what became of the latest
// writes.
type room struct {
	mu      sync.Mutex
	why     error         // nil while there is room
	freed   chan struct{} // closed when there is again
	filled  chan struct{} // holds a token when it has become full
	doubted time.Time     // when a stream first had no leader; zero if it has
	failed  time.Time     // the latest failure
	most    int           // bytes of the largest write that failed
	binding bool          // only batches find no room, and finding some is theirs
}

func newRoom() *room { return &room{filled: make(chan struct{}, 1)} }

// learn hears what became of a write of so many bytes, begun when the
// connection had been made anew so many times.
func (r *room) learn(nc *nats.Conn, reconnects uint64, size int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	steady := nc.IsConnected() && nc.Stats().Reconnects == reconnects
	switch {
	case err == nil:
		r.doubted, r.most = time.Time{}, 0
		if !r.binding {
			r.free()
		}
	case full(err):
		r.fill(ErrNoRoom, now, size)
	case steady && unanswered(err):
		r.fill(ErrStalled, now, size)
	case steady && leaderless(err):
		if r.doubted.IsZero() {
			r.doubted = now
		}
		if now.Sub(r.doubted) >= stalledAfter {
			r.fill(ErrStalled, now, size)
		}
	}
}

// unanswered reports whether the broker took a write and said nothing for
// commitTimeout.
func unanswered(err error) bool { return errors.Is(err, context.DeadlineExceeded) }

// leaderless reports whether no server looks after the stream just now.
func leaderless(err error) bool {
	return errors.Is(err, jetstream.ErrNoStreamResponse) || errors.Is(err, nats.ErrNoResponders)
}

// learnOfBinding hears what became of binding to a batch, which takes a little
// room too, if only of what keeps track of its deliveries.
func (r *room) learnOfBinding(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case err == nil && r.binding:
		r.free()
	case (full(err) || storeless(err)) && r.why == nil:
		r.fill(ErrNoRoom, time.Now(), 0)
		r.binding = true
	}
}

// storeless reports whether the broker could not write the files of a new
// consumer. It has no code of its own for that, only words.
func storeless(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && api.ErrorCode == 10012 && api.Description == "error creating store for consumer"
}

// refuses tells why nothing should be lent, or is nil.
func (r *room) refuses() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.binding { // whoever lends finds out when there is room
		return nil
	}
	return r.why
}

func (r *room) free() {
	if r.why != nil {
		close(r.freed)
		r.why, r.freed, r.binding = nil, nil, false
	}
}

func (r *room) fill(why error, now time.Time, size int) {
	r.failed, r.most, r.binding = now, max(r.most, size), false
	if r.why == nil {
		r.freed = make(chan struct{})
		select {
		case r.filled <- struct{}{}:
		default:
		}
	}
	r.why = why
}

// Full tells why nothing can be stored, ErrNoRoom or ErrStalled, or is nil.
// While it is not, nothing is lent.
func (q *Queue) Full() error {
	q.room.mu.Lock()
	defer q.room.mu.Unlock()
	return q.room.why
}

// Freed returns nil or, while there is no room, a channel that is closed when
// there is. Whoever waits for it relies on KeepRoom.
func (q *Queue) Freed() <-chan struct{} {
	q.room.mu.Lock()
	defer q.room.mu.Unlock()
	return q.room.freed
}

// KeepRoom tells when there is no more room, with the reason, and when there is
// again, with nil. Meanwhile it tries every two seconds, unless somebody else
// does. It returns when ctx ends.
func (q *Queue) KeepRoom(ctx context.Context, told func(why error)) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-q.room.filled:
		}
		why, freed := q.Full(), q.Freed()
		if freed == nil {
			continue // it was over before anybody looked
		}
		told(why)
		for waiting := true; waiting; {
			t := time.NewTimer(lastWait)
			select {
			case <-ctx.Done():
				t.Stop()
				return
			case <-freed:
				t.Stop()
				waiting = false
			case <-t.C:
				q.tryRoom(ctx)
			}
		}
		told(nil)
	}
}

// tryRoom writes as much as was last refused, and takes it away again. Outcomes
// that wait to be stored are better at finding out, so it leaves it to them.
func (q *Queue) tryRoom(ctx context.Context) {
	q.room.mu.Lock()
	busy, size := q.room.binding || time.Since(q.room.failed) < 2*lastWait, max(q.room.most, leastRoom)
	q.room.mu.Unlock()
	if busy || !q.nc.IsConnected() {
		return
	}
	subject := q.handed("_room", "_room")
	err := q.returns.put(ctx, newMsg(subject, make([]byte, min(size, q.mostBody))))
	if err != nil && ctx.Err() == nil { // else it may be there all the same
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTimeout)
	defer cancel()
	_ = q.returns.Purge(ctx, jetstream.WithPurgeSubject(subject)) // or the next one replaces it
}
