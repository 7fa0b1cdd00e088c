package wire

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// wireConn is a process's connection to the broker: two wires, each of which
// carries one message after the other. What a frozen process writes waits on
// the wire, and never makes the writer wait: it would with locks held, and the
// bubble's time with it. For the same reason the greeting takes no time.
// Deadlines mean nothing here.
type wireConn struct {
	net.Conn
	link    *link
	out, in *wire
	greeted atomic.Bool // up to the broker's first pong the client has its lock
	ready   []byte      // of a message that has arrived and is not read yet

	order sync.Map // of requests: a number by the subject of the reply

	mu     sync.Mutex
	part   []byte          // of a message that is not written yet
	asked  map[string]step // whose reply is still to come, by its subject
	closed bool
}

func newWireConn(l *link, conn net.Conn) *wireConn {
	c := &wireConn{Conn: conn, link: l, asked: map[string]step{}}
	c.out, c.in = newWire(c, 0), newWire(c, 1)
	go c.carry()
	go c.listen()
	return c
}

// Write implements net.Conn.
func (c *wireConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return 0, net.ErrClosed
	}
	c.part = c.out.putAll(append(c.part, p...))
	return len(p), nil
}

// carry takes what was written to the broker, up to a Close.
func (c *wireConn) carry() {
	defer func() { _ = c.Conn.Close() }()
	n := 0
	for {
		f, ok := c.out.take()
		if !ok || c.pass() != nil {
			return
		}
		if f.reply != "" {
			n++
			c.order.Store(f.reply, n)
		}
		s := f.asks(c.link.w.config.Queue.Prefix)
		if c.link.meet(before, s) {
			continue
		}
		if f.reply != "" && s != elsewhere {
			c.mu.Lock()
			c.asked[f.reply] = s
			c.mu.Unlock()
		}
		if c.link.isCut() {
			return
		}
		if _, err := c.Conn.Write(f.data); err != nil {
			return
		}
		if f.reply == "" && s != elsewhere {
			time.Sleep(time.Nanosecond) // by then the broker has taken it in
			c.link.meet(after, s)
		}
	}
}

// listen takes what the broker writes off its hands at once.
func (c *wireConn) listen() {
	defer c.in.end()
	var part []byte
	buf := make([]byte, 32<<10)
	for {
		n, err := c.Conn.Read(buf)
		part = c.in.putAll(append(part, buf[:n]...))
		if err != nil {
			return
		}
	}
}

// asker is which of the requests a frame is the reply to.
func (c *wireConn) asker(f *frame) int {
	n, _ := c.order.Load(f.subject)
	number, _ := n.(int)
	return number
}

// Read implements net.Conn.
func (c *wireConn) Read(p []byte) (int, error) {
	for len(c.ready) == 0 {
		f, ok := c.in.take()
		if dead := c.pass(); dead != nil {
			return 0, dead
		}
		if !ok {
			return 0, io.EOF
		}
		if f.verb == "PONG" {
			c.greeted.Store(true)
		}
		if !c.link.meet(after, c.answers(&f)) {
			c.ready = f.data
		}
	}
	if dead := c.pass(); dead != nil {
		return 0, dead
	}
	n := copy(p, c.ready)
	c.ready = c.ready[n:]
	return n, nil
}

// pass is the link's, but nobody is frozen in the middle of the greeting.
func (c *wireConn) pass() error {
	if c.greeted.Load() {
		return c.link.pass()
	}
	if c.link.isCut() {
		return errSevered
	}
	return nil
}

// takes is how long a message is on its way; the greeting takes no time.
func (c *wireConn) takes() time.Duration {
	if c.greeted.Load() {
		return c.link.takes()
	}
	return 0
}

// answers is the step that a frame from the broker completes.
func (c *wireConn) answers(f *frame) step {
	if f.lends(c.link.w.config.Queue.Prefix) {
		return pulled
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.asked[f.subject]
	delete(c.asked, f.subject)
	if s == pulled { // there was none
		return elsewhere
	}
	return s
}

// Close implements net.Conn: what was written still goes out.
func (c *wireConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.out.end()
	c.in.cut()
	return nil
}

// tear breaks the connection, with what is on it.
func (c *wireConn) tear() {
	_ = c.Close()
	c.out.cut()
	_ = c.Conn.Close()
}
