package main

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"time"
)

// weather is what a proxy does to what passes through it: nothing, in fine
// weather, which is the zero value.
type weather struct {
	cut     bool          // connections are broken, and new ones as well
	dead    bool          // nothing passes, in neither direction, and nobody is told
	swallow bool          // requests pass, their replies do not
	delay   time.Duration // of everything, in both directions
}

// proxy passes TCP connections on, in any weather.
type proxy struct {
	listener net.Listener
	dial     func() (net.Conn, error)
	running  sync.WaitGroup

	mu      sync.Mutex
	weather weather
	changed chan struct{} // closed when the weather changes
	open    map[*passage]bool
	closed  bool
}

// passage is a connection through the proxy.
type passage struct {
	near, far net.Conn

	mu   sync.Mutex
	lost bool // of a reply
}

func (p *passage) close() { _ = errors.Join(p.near.Close(), p.far.Close()) }

func (p *passage) hasLost() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lost
}

func (p *passage) lose() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost = true
}

// newProxy listens on loopback, on a port that the system gives it, and passes
// every connection on to one that dial makes.
func newProxy(dial func() (net.Conn, error)) (*proxy, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening for a proxy: %w", err)
	}
	p := &proxy{listener: l, dial: dial, changed: make(chan struct{}), open: map[*passage]bool{}}
	p.running.Go(p.accept)
	return p, nil
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

// close ends all connections and returns when nothing runs any more.
func (p *proxy) close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.listener.Close()
	p.set(weather{cut: true})
	p.running.Wait()
}

// set changes the weather. A connection whose reply was swallowed is broken
// when others pass again: it would go on in the middle of something.
func (p *proxy) set(w weather) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.weather = w
	close(p.changed)
	p.changed = make(chan struct{})
	for c := range p.open {
		if w.cut || !w.swallow && c.hasLost() {
			c.close()
		}
	}
}

func (p *proxy) now() (weather, <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.weather, p.changed
}

func (p *proxy) accept() {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.running.Go(func() { p.pass(near) })
	}
}

// pass connects both ends until one of them has enough.
func (p *proxy) pass(near net.Conn) {
	if w, _ := p.now(); w.cut {
		_ = near.Close()
		return
	}
	far, err := p.dial()
	if err != nil {
		_ = near.Close()
		return
	}
	c := &passage{near: near, far: far}
	defer c.close()
	if !p.enter(c) {
		return
	}
	defer p.leave(c)
	var replies sync.WaitGroup
	replies.Go(func() { p.pump(c, far, near, true) })
	p.pump(c, near, far, false)
	replies.Wait()
}

func (p *proxy) enter(c *passage) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.weather.cut {
		return false
	}
	p.open[c] = true
	return true
}

func (p *proxy) leave(c *passage) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, c)
}

// pump passes on what arrives in one direction, and breaks the connection when
// there is no more.
func (p *proxy) pump(c *passage, from, to net.Conn, replies bool) {
	defer c.close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if !p.brave(c, replies) {
				continue
			}
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// brave waits as long as the weather wants, and reports whether what arrived
// is passed on at all.
func (p *proxy) brave(c *passage, reply bool) bool {
	for waited := false; ; {
		w, changed := p.now()
		switch {
		case w.cut:
			return false // and the connection is broken
		case w.dead:
			<-changed
		case reply && (w.swallow || c.hasLost()):
			c.lose()
			return false
		case w.delay > 0 && !waited:
			waited = true
			select {
			case <-changed:
			case <-time.After(w.delay):
			}
		default:
			return true
		}
	}
}
