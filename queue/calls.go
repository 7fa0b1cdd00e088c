package queue

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/drover-batch/drover/jobs"
)

// ErrFenced says that the calls in flight were counted after this one was
// admitted and before it was on record: it must be given back unmade, and
// admitted anew.
var ErrFenced = errors.New("the calls in flight were counted meanwhile")

// CallLog is one worker's record, in the broker, of the calls it has in
// flight. A call is on record before it is sent, so that what it may cost is
// known whatever is killed or lost. It is safe for concurrent use.
//
// Calls that begin together share a message: while one is on its way, those
// that arrive wait for the next.
type CallLog struct {
	q       *Queue
	subject string
	onEnded func(calls []string)

	turn  chan struct{} // held by whoever writes, and guards the next seven
	many  bool          // began together lately
	last  uint64        // sequence of the newest message that we know of
	lost  string        // id of a message whose fate is unknown
	since int           // messages since the last trim
	mark  uint64        // newest message at the last trim
	floor uint64        // and at the one before: older calls are written again
	above uint64        // the floor that all calls on record are above

	mu         sync.Mutex
	generation uint64 // how often calls were fenced off
	open       map[string]*flight
	next       *callGroup
	ended      []string // and not on record yet
	ending     bool     // somebody sees to it

	life       context.Context
	end        context.CancelFunc
	background sync.WaitGroup
}

// flight is a call in flight.
type flight struct {
	entry      callEntry
	generation uint64
	seq        uint64 // of the message that has it, 0 if none
}

type callGroup struct {
	flights []*flight
	errs    []error // once done is closed; one for each
	done    chan struct{}
}

const (
	beginPatience = 15 * time.Second       // for putting a call on record while NATS is away
	endsWithin    = 250 * time.Millisecond // and an end, if no call begins meanwhile
	trimEvery     = 256                    // messages
	crowd         = 8                      // calls that begin together and are waited for
	crowdWithin   = time.Millisecond       // by the first of them
	mostBegins    = 500                    // calls in one message
)

// CallLog opens the record of a worker, whose name must be unique for ever.
// onEnded is told, from any goroutine, of ends that are on record; it may be
// nil.
func (q *Queue) CallLog(ctx context.Context, worker string, onEnded func(calls []string)) (*CallLog, error) {
	sum := sha256.Sum256([]byte(worker))
	l := &CallLog{
		q: q, subject: q.subject("calls", hex.EncodeToString(sum[:8])), onEnded: onEnded,
		turn: make(chan struct{}, 1), open: map[string]*flight{},
	}
	l.life, l.end = context.WithCancel(context.Background())
	if err := l.register(ctx); err != nil {
		return nil, fmt.Errorf("opening the record of calls: %w", err)
	}
	return l, nil
}

// register writes an empty message, so that whoever counts calls finds the
// record before the first call is admitted.
func (l *CallLog) register(ctx context.Context) error {
	return l.q.insist(ctx, l.subject, l.q.cfg.StorePatience, func() error {
		there, err := lastOn(ctx, l.q.calls, l.subject)
		if err != nil {
			return err
		}
		if there != nil {
			l.last = there.Sequence
			return nil
		}
		m := newMsg(l.subject, []byte("{}"))
		expect(m, 0)
		l.last, err = publishAll(ctx, l.q.js, []*nats.Msg{m})
		return err
	})
}

// Generation is to be taken before a call is admitted and given to Begin.
func (l *CallLog) Generation() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.generation
}

// Begin records the call's worst case and blocks until the broker has it; for
// fifteen seconds while NATS is away. After an error, ErrFenced among them, the
// call must not be made.
func (l *CallLog) Begin(ctx context.Context, c *jobs.Call, generation uint64) error {
	f := &flight{generation: generation, entry: callEntry{
		Call: c.ID, Job: c.Job, Batch: c.Batch, Tenant: c.Tenant, Model: c.Model.Name,
		At: time.Now().UnixMicro(), Worst: c.Worst,
	}}
	g, place, first := l.join(f)
	if first {
		l.lead(g)
	}
	var err error
	select {
	case <-g.done:
		err = g.errs[place]
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		l.End(c.ID) // it may be on record all the same
		return fmt.Errorf("recording a call of job %s: %w", c.Job, err)
	}
	return nil
}

// End records that the call is in the book, or that it has cost nothing. It
// does not wait for the broker: at worst the call is presumed paid once more
// than needed. Calls that are not in flight are passed over.
func (l *CallLog) End(calls ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, call := range calls {
		if l.open[call] != nil {
			delete(l.open, call)
			l.ended = append(l.ended, call)
		}
	}
	if len(l.ended) > 0 && !l.ending && l.life.Err() == nil {
		l.ending = true
		l.background.Go(l.writeEnds)
	}
}

// join adds the call to the group that is still open, opening one if need be.
func (l *CallLog) join(f *flight) (g *callGroup, place int, first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g = l.next; g == nil || len(g.flights) == mostBegins {
		g, first = &callGroup{done: make(chan struct{})}, true
		l.next = g
	}
	g.flights = append(g.flights, f)
	l.open[f.entry.Call] = f
	return g, len(g.flights) - 1, first
}

// lead waits for the group's turn, closes it to newcomers and writes it. Like
// every group's leader it does not heed its own context. Calls that the gate
// has let in together come one after the other, so where there were many the
// first waits a moment for the rest.
func (l *CallLog) lead(g *callGroup) {
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	if l.many {
		_ = sleep(context.Background(), crowdWithin) // which does not end
	}
	l.mu.Lock()
	if l.next == g {
		l.next = nil
	}
	l.mu.Unlock()
	l.many = len(g.flights) >= crowd
	g.errs = l.write(context.Background(), g.flights)
	close(g.done)
	l.trim()
}

// writeEnds records ends that no group has taken along.
func (l *CallLog) writeEnds() {
	for wait := endsWithin; sleep(l.life, wait) == nil; wait = settleFirst { // later ones if NATS is away
		l.turn <- struct{}{}
		l.write(l.life, nil)
		<-l.turn
		l.mu.Lock()
		if l.ending = len(l.ended) > 0; !l.ending {
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
	}
}

// Close records the last ends. The record goes if no call is in flight; those
// whose answers are not in the book yet stay on it. While NATS is away it is
// left as it is, for others to look into.
func (l *CallLog) Close(ctx context.Context) {
	l.end()
	l.background.Wait()
	l.turn <- struct{}{}
	defer func() { <-l.turn }()
	l.mu.Lock()
	over := len(l.open) == 0
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	if !over || !l.q.nc.IsConnected() {
		l.write(ctx, nil)
		return
	}
	_ = l.q.calls.Purge(ctx, jetstream.WithPurgeSubject(l.subject))
}
