package queue

import (
	"context"
	"errors"
	"hash/fnv"
	"time"
)

// The waits between tries of a write, doubling from the first to the last.
const (
	firstWait = 20 * time.Millisecond
	lastWait  = 2 * time.Second
)

// unstored is why a write did not succeed that may if it is tried again.
type unstored struct{ error }

func (u unstored) Unwrap() error { return u.error }

// mayBeStored reports whether a write that failed so may succeed later.
func mayBeStored(err error) bool {
	_, ok := errors.AsType[unstored](err)
	return ok
}

// insist repeats a write until it succeeds, is refused for good or patience is
// over, waiting longer and longer in between, and everybody differently. Without
// patience it tries once.
func (q *Queue) insist(ctx context.Context, whose string, patience time.Duration, write func() error) error {
	began := time.Now()
	for longest := firstWait; ; longest = min(2*longest, lastWait) {
		err := write()
		if err == nil || refused(err) && !conflict(err) && !full(err) && !passing(err) {
			return err
		}
		if !refused(err) {
			q.missed()
		}
		wait := spread(longest, whose)
		if time.Since(began)+wait > patience || sleep(ctx, wait) != nil {
			return unstored{err}
		}
	}
}

// spread is half of a wait and up to half of it more, by the name of who waits:
// many who failed at one moment do not come back at one.
func spread(longest time.Duration, whose string) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(whose))
	half := uint64(longest / 2)
	return time.Duration(half + half*uint64(h.Sum32())>>32)
}

// settleFirst is how long nothing is lent after NATS was away. Leases may have
// ended meanwhile, and the answers of jobs that come back for it are waiting
// to be stored here and in other processes: time for them to reconnect, which
// takes two seconds by the client's default, and to try again, see lastWait.
const settleFirst = 5 * time.Second

// missed notes that NATS is away.
func (q *Queue) missed() {
	now := time.Now()
	q.away.Store(&now)
}

// unsettled reports whether NATS is away, or was a moment ago.
func (q *Queue) unsettled() bool {
	at := q.away.Load()
	return at != nil && time.Since(*at) < settleFirst
}

// sleep waits, or returns the context's cause if it ends first.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
