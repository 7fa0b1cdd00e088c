package queue

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"
)

// write puts calls on record, with the ends that are due, and returns an error
// for each of the calls that is not.
func (l *CallLog) write(ctx context.Context, flights []*flight) []error {
	errs := make([]error, len(flights))
	began := time.Now()
	for wait := firstWait; ; wait = min(2*wait, lastWait) {
		p := l.page(flights, errs)
		if p == nil {
			return errs
		}
		err := l.send(ctx, p.msg)
		switch {
		case err == nil:
			l.written(p)
			return errs
		case errors.Is(err, ErrFenced):
			continue // the next page leaves out who was admitted before
		}
		for i := range errs {
			errs[i] = cmp.Or(errs[i], err)
		}
		l.lost = p.msg.Header.Get(idHeader)
		if refused(err) && !conflict(err) || len(flights) == 0 || time.Since(began)+wait > beginPatience || sleep(ctx, wait) != nil {
			return errs
		}
		clear(errs)
	}
}

// page is one message of the record, and what it says.
type page struct {
	msg   *nats.Msg
	begin []*flight
	ends  []string
	floor uint64 // that all calls on record are above with it
}

// page collects what there is to write now: the calls that were not fenced
// off, older ones that are about to be trimmed, and ends. It is nil if there is
// nothing.
func (l *CallLog) page(flights []*flight, errs []error) *page {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &page{ends: l.ended[:len(l.ended):len(l.ended)]}
	for i, f := range flights {
		if f.generation != l.generation {
			errs[i] = ErrFenced
			continue
		}
		p.begin = append(p.begin, f)
	}
	p.floor = l.floor
	if l.above < l.floor { // some may be older
		for _, f := range l.open {
			if f.seq == 0 || f.seq >= l.floor {
				continue
			}
			if len(p.begin) >= 2*mostBegins {
				p.floor = l.above // the others with the next
				break
			}
			p.begin = append(p.begin, f)
		}
	}
	if len(p.begin)+len(p.ends) == 0 {
		l.above = p.floor
		return nil
	}
	e := callEntries{Begin: make([]callEntry, len(p.begin)), End: p.ends}
	for i, f := range p.begin {
		e.Begin[i] = f.entry
	}
	data, _ := json.Marshal(e) // strings and numbers: cannot fail
	p.msg = newMsg(l.subject, data)
	p.msg.Header.Set(idHeader, nuid.Next())
	return p
}

// written takes note of a page that the broker has.
func (l *CallLog) written(p *page) {
	l.mu.Lock()
	for _, f := range p.begin {
		f.seq = l.last
	}
	l.ended = l.ended[len(p.ends):]
	l.above = p.floor
	l.mu.Unlock()
	l.since++
	if l.onEnded != nil && len(p.ends) > 0 {
		l.onEnded(p.ends)
	}
}

// send stores one message behind the newest that we know of. Another one
// there, unless it is our own whose reply was lost, fences us off.
func (l *CallLog) send(ctx context.Context, m *nats.Msg) error {
	expect(m, l.last)
	short, cancel := context.WithTimeout(ctx, settleTimeout)
	seq, err := publishAll(short, l.q.js, []*nats.Msg{m})
	cancel()
	if err == nil {
		l.last = seq
	}
	if !conflict(err) {
		return err
	}
	there, lookup := lastOn(ctx, l.q.calls, l.subject)
	switch {
	case lookup != nil:
		return lookup
	case newest(there) == l.last:
		return err // a write that is still on its way
	case there != nil && there.Header.Get(idHeader) == m.Header.Get(idHeader):
		l.last = there.Sequence
		return nil
	case there != nil && l.lost != "" && there.Header.Get(idHeader) == l.lost:
		l.last = there.Sequence
		return err
	}
	return l.fenced(ctx, there)
}

// fenced makes all calls stale that were admitted and are not on record.
func (l *CallLog) fenced(ctx context.Context, there *jetstream.RawStreamMsg) error {
	if there == nil { // taken for a dead worker's, and removed
		if err := l.register(ctx); err != nil {
			return err
		}
	} else {
		l.last = there.Sequence
	}
	l.mu.Lock()
	l.generation++
	l.mu.Unlock()
	return ErrFenced
}

// trim removes messages that hold no call in flight any more, but for those
// that were begun long ago: they are written again with the next message, and
// it is trimmed after that. The caller has the turn.
func (l *CallLog) trim() {
	if l.since < trimEvery || !l.q.nc.IsConnected() {
		return
	}
	l.since = 0
	l.mu.Lock()
	oldest := l.last
	for _, f := range l.open {
		if f.seq > 0 {
			oldest = min(oldest, f.seq)
		}
	}
	l.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), settleTimeout)
	defer cancel()
	_ = l.q.calls.Purge(ctx, jetstream.WithPurgeSubject(l.subject), jetstream.WithPurgeSequence(oldest)) // or the next time
	l.floor, l.mark = l.mark, l.last
}
