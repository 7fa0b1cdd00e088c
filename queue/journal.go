package queue

import (
	"context"
	"errors"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// journal stores records in groups: while one commit is on its way, the
// records that arrive wait for the next, which takes them all. A record alone
// goes at once. There is no timer and no goroutine of its own: whoever opens a
// group commits it when its turn comes.
type journal struct {
	jetstream.Stream
	js   jetstream.JetStream
	room *room
	turn chan struct{} // held by whoever commits

	mu   sync.Mutex
	next *group // still open to join
}

// entry is a record and what became of it. Most are one message; those of
// several are stored whole or not at all.
type entry struct {
	msgs []*nats.Msg
	err  error
}

func (e *entry) size() (bytes int) {
	for _, m := range e.msgs {
		bytes += len(m.Data) + len(m.Subject)
	}
	return bytes
}

type group struct {
	entries []*entry
	msgs    int
	bytes   int
	done    chan struct{}
}

func newJournal(js jetstream.JetStream, s jetstream.Stream, r *room) *journal {
	return &journal{Stream: s, js: js, room: r, turn: make(chan struct{}, 1)}
}

// put stores one record and returns when the broker has it. Errors are those
// of publishAll. When ctx ends first the record may still be stored.
func (j *journal) put(ctx context.Context, msgs ...*nats.Msg) error {
	e := &entry{msgs: msgs}
	g, first := j.join(e)
	if first {
		j.lead(ctx, g)
		return e.err
	}
	select {
	case <-g.done:
		return e.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// join adds the entry to the open group, opening one if need be.
func (j *journal) join(e *entry) (g *group, first bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	size := e.size()
	g = j.next
	if g == nil || g.msgs+len(e.msgs) > groupMessages || g.bytes+size > groupBytes {
		g, first = &group{done: make(chan struct{})}, true
		j.next = g
	}
	g.entries = append(g.entries, e)
	g.msgs += len(e.msgs)
	g.bytes += size
	return g, first
}

// lead waits for the group's turn, closes it to newcomers and commits it. It
// does not heed the end of the leader's context, since the others rely on it,
// unless NATS denies what all of them ask for; the commit's own timeout bounds it.
func (j *journal) lead(ctx context.Context, g *group) {
	ctx, done := whileAllowed(ctx)
	defer done()
	j.turn <- struct{}{}
	defer func() { <-j.turn }()
	j.mu.Lock()
	if j.next == g {
		j.next = nil
	}
	j.mu.Unlock()
	j.commit(ctx, g.entries)
	close(g.done)
}

// fewEntries are stored faster side by side than in an atomic batch, which
// costs the broker a temporary store of its own (measured with every write
// fsynced: 2 records 3 ms against 12, 16 about even, 64 110 ms against 18).
const fewEntries = 16

// commit stores the entries together. One conflict refuses them all, so then
// each is tried alone.
func (j *journal) commit(ctx context.Context, entries []*entry) {
	msgs := make([]*nats.Msg, 0, len(entries))
	for _, e := range entries {
		msgs = append(msgs, e.msgs...)
	}
	if len(entries) == 1 || len(msgs) < fewEntries && len(msgs) == len(entries) { // otherwise each is a batch of its own
		j.each(ctx, entries)
		return
	}
	err := j.publish(ctx, msgs)
	if refused(err) {
		j.each(ctx, entries)
		return
	}
	for _, e := range entries {
		e.err = err
	}
}

// each stores the entries independently, those of several messages one after the
// other: the broker has only so many atomic batches at a time.
func (j *journal) each(ctx context.Context, entries []*entry) {
	var wg sync.WaitGroup
	for _, e := range entries {
		if len(e.msgs) > 1 {
			e.err = j.publish(ctx, e.msgs)
			continue
		}
		wg.Go(func() { e.err = j.publish(ctx, e.msgs) })
	}
	wg.Wait()
}

// publish stores messages as publishAll does and learns from it whether there
// is room.
func (j *journal) publish(ctx context.Context, msgs []*nats.Msg) error {
	nc, size := j.js.Conn(), 0
	for _, m := range msgs {
		size += len(m.Data)
	}
	reconnects := nc.Stats().Reconnects
	ctx, done := whileConnected(ctx, nc)
	defer done()
	_, err := publishAll(ctx, j.js, msgs)
	j.room.learn(nc, reconnects, size, err)
	return err
}

// whileAllowed ends with ctx if that ends with a Denied, and else not.
func whileAllowed(ctx context.Context) (_ context.Context, done func()) {
	allowed, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() {
		if denied, ok := errors.AsType[*Denied](context.Cause(ctx)); ok {
			cancel(denied)
		}
	})
	return allowed, func() {
		stop()
		cancel(nil)
	}
}

// whileConnected ends when the connection is lost: the answer to what was sent
// over it never comes, and others wait for their turn.
func whileConnected(ctx context.Context, nc *nats.Conn) (_ context.Context, done func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	lost := nc.StatusChanged(nats.RECONNECTING, nats.CLOSED)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-lost:
			cancel(nats.ErrDisconnected)
		case <-ctx.Done():
		}
	}()
	return ctx, func() {
		cancel(nil)
		<-watched
		nc.RemoveStatusListener(lost)
	}
}
