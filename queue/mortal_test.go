package queue

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// mortal is a process, as far as it is a connection to the server, that can be
// killed at any of its messages. It counts them, and the bytes it hears.
type mortal struct {
	w   *world
	nc  *nats.Conn
	q   *Queue
	ctx context.Context // ends when it dies

	mu      sync.Mutex
	end     context.CancelFunc
	sent    []string // the subjects of its messages
	heard   int      // bytes
	last    int      // of its messages that go out; -1 for all
	unheard bool     // it hears nothing any more from when the last has gone out
	dead    bool
}

func (w *world) mortal() *mortal {
	w.Helper()
	m := &mortal{w: w, last: -1}
	m.ctx, m.end = context.WithCancel(w.ctx)
	nc, err := nats.Connect("", nats.InProcessServer(m), nats.MaxReconnects(-1), nats.ReconnectJitter(0, 0))
	w.must(err)
	m.nc, m.q = nc, w.open(nc)
	m.count()
	return m
}

// count begins to count anew.
func (m *mortal) count() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sent, m.heard = nil, 0
}

// dies lets it send so many more messages. The next is its death; or the reply
// to the last, if unheard is set.
func (m *mortal) dies(after int, unheard bool) {
	m.count()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last, m.unheard = after, unheard
}

func (m *mortal) died() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.dead
}

// flush has it send what it still has to.
func (m *mortal) flush() {
	ctx, cancel := context.WithTimeout(m.ctx, time.Minute)
	defer cancel()
	_ = m.nc.FlushWithContext(ctx)
}

func (m *mortal) close() {
	m.end()
	m.nc.Close()
}

func (m *mortal) InProcessConn() (net.Conn, error) {
	conn, err := m.w.InProcessConn()
	return &mortalConn{conn, m}, err
}

type mortalConn struct {
	net.Conn
	m *mortal
}

func (c *mortalConn) Write(p []byte) (int, error) {
	out := c.m.let(p)
	if len(out) == 0 {
		return len(p), nil
	}
	if _, err := c.Conn.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// let returns the part of p that goes out.
func (m *mortal) let(p []byte) []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead {
		return nil
	}
	for at := 0; ; {
		i := command(p, at)
		if i < 0 {
			return p
		}
		m.sent = append(m.sent, strings.Fields(string(p[i:]))[1])
		n := len(m.sent)
		if m.last >= 0 && !m.unheard && n > m.last || m.unheard && n == m.last {
			m.dead = true
			m.end()
		}
		if m.dead && !m.unheard {
			return p[:i]
		}
		if at = i + len("PUB "); !m.dead {
			continue
		}
		if i := command(p, at); i >= 0 {
			return p[:i]
		}
		return p
	}
}

// command finds the next message at or behind a place.
func command(p []byte, from int) int {
	first := -1
	for _, verb := range []string{"PUB ", "HPUB "} {
		at := bytes.Index(p[from:], []byte("\r\n"+verb))
		if at >= 0 {
			at += from + len("\r\n")
		}
		if from == 0 && bytes.HasPrefix(p, []byte(verb)) {
			at = 0
		}
		if at >= 0 && (first < 0 || at < first) {
			first = at
		}
	}
	return first
}

func (c *mortalConn) Read(p []byte) (int, error) {
	for {
		n, err := c.Conn.Read(p)
		c.m.mu.Lock()
		c.m.heard += n
		dead := c.m.dead
		c.m.mu.Unlock()
		if err != nil || !dead {
			return n, err
		}
	}
}

// killedAnywhere has a process do something, killed at each of its messages in
// turn: before it goes out, and with the reply on its way. Every time is
// another batch. prepare makes it ready, in whatever time; what others find,
// then is to put right. It returns how many deaths that were.
func killedAnywhere(w *world, prepare func(m *mortal, b string) (act func()), then func(b string)) {
	w.Helper()
	deaths := 0
	for _, unheard := range []bool{false, true} {
		for n := 0; ; n++ {
			if unheard && n == 0 {
				continue
			}
			b := fmt.Sprint("killed-", n, "-", unheard)
			m := w.mortal()
			act := prepare(m, b)
			m.dies(n, unheard)
			act()
			m.flush()
			died := m.died()
			m.close()
			then(b)
			if w.Failed() {
				w.Fatalf("it was killed at message %d of %v (unheard: %v)", n+1, m.sent, unheard)
			}
			if !died {
				break
			}
			deaths++
		}
	}
	w.Logf("killed %d times", deaths)
	if deaths == 0 {
		w.Error("it was never killed")
	}
}
