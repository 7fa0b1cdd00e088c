package wire

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// wire carries messages in one direction, each of which takes its time.
type wire struct {
	conn *wireConn
	lane time.Duration // nothing else in the world arrives at this many ns after a full µs
	last time.Time     // when a message arrived
	done time.Time     // what was sent then is in order

	mu    sync.Mutex
	some  sync.Cond
	over  bool
	queue []sentFrame
}

type sentFrame struct {
	frame
	at time.Time
}

func newWire(c *wireConn, direction int) *wire {
	w := &wire{conn: c, lane: c.link.lane(direction)}
	w.some.L = &w.mu
	return w
}

// putAll sends the whole messages on their way and returns the rest.
func (w *wire) putAll(buf []byte) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		f, rest, ok := cutFrame(buf)
		if !ok {
			return buf
		}
		w.queue = append(w.queue, sentFrame{f, time.Now()})
		w.some.Signal()
		buf = rest
	}
}

// take waits for the next message to arrive; ok is false when there will be
// none.
func (w *wire) take() (f frame, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queue) == 0 && !w.over {
		w.some.Wait()
	}
	if len(w.queue) == 0 {
		return frame{}, false
	}
	at := w.queue[0].at
	takes := w.conn.takes()
	w.sleepUntil(at.Add(takes))
	if len(w.queue) == 0 { // lost on the way
		return frame{}, false
	}
	if takes > 0 {
		w.sort()
	}
	f = w.queue[0].frame
	w.queue = w.queue[1:]
	if takes > 0 {
		w.sleepUntil(w.slot(at.Add(takes)))
	}
	return f, true
}

// slot is when a message arrives that could at a given time: no two arrive at
// the same moment anywhere.
func (w *wire) slot(due time.Time) time.Time {
	if soonest := w.last.Add(time.Nanosecond); due.Before(soonest) {
		due = soonest
	}
	at := due.Truncate(time.Microsecond).Add(time.Microsecond)
	moment := number(strconv.FormatInt(at.UnixMicro(), 10)) % 5
	w.last = at.Add(w.lane + time.Duration(2*moment))
	return w.last
}

func (w *wire) sleepUntil(t time.Time) {
	w.mu.Unlock()
	defer w.mu.Lock()
	time.Sleep(time.Until(t))
}

// sort brings what was sent at one moment, in an order that nobody decided,
// into one that is always the same.
func (w *wire) sort() {
	at := w.queue[0].at
	if at.Equal(w.done) {
		return
	}
	w.done = at
	n := slices.IndexFunc(w.queue, func(f sentFrame) bool { return !f.at.Equal(at) })
	if n < 0 {
		n = len(w.queue)
	}
	slices.SortStableFunc(w.queue[:n], func(a, b sentFrame) int {
		return cmp.Or(cmp.Compare(a.rank(), b.rank()), cmp.Compare(w.conn.asker(&a.frame), w.conn.asker(&b.frame)))
	})
}

// rank orders messages of one moment without changing what they mean: a
// subscription comes before the request that uses it, and what belongs to a
// group or comes from one consumer stays as it is.
func (f *frame) rank() string {
	text := string(f.payload)
	if strings.HasPrefix(f.verb, "H") { // headers come in any order
		text, _, _ = strings.Cut(text, "\r\n")
	}
	switch source := strings.Split(f.reply, "."); {
	case f.verb == "SUB":
		return "0"
	case f.subject == "":
		return "9"
	case len(source) > 3 && strings.HasPrefix(f.reply, "$JS.ACK."):
		return "1" + source[2] + "." + source[3]
	case strings.HasPrefix(f.subject, "_INBOX."):
		return "3" + f.verb + text
	case bytes.Contains(f.data, []byte("Nats-Batch-Id")):
		return "4"
	}
	if name := f.consumer(); name != "" {
		return "2" + strings.ReplaceAll(f.subject+" "+text, name, "")
	}
	return "2" + f.subject + " " + text
}

// consumer is the name that a request gives to the consumer it is about, where
// that is drawn at random: requests for those stay in order.
func (f *frame) consumer() string {
	about, ok := strings.CutPrefix(f.subject, "$JS.API.CONSUMER.")
	about = strings.TrimPrefix(about, "MSG.") // .NEXT
	if parts := strings.Split(about, "."); ok && len(parts) > 2 && !strings.HasSuffix(parts[1], "_JOBS") {
		return parts[2]
	}
	return ""
}

// end lets what is on the wire arrive, and no more.
func (w *wire) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	w.some.Broadcast()
}

// cut loses what is on the wire.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over, w.queue = true, nil
	w.some.Broadcast()
}
