package main

import (
	"bufio"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// echo is a server that repeats each line it gets, and tells of it.
type echo struct {
	net.Listener
	got chan string
}

func newEcho(t *testing.T) *echo {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{Listener: l, got: make(chan string, 100)}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close()
				for r := bufio.NewReader(c); ; {
					line, err := r.ReadString('\n')
					if err != nil {
						return
					}
					e.got <- line
					if _, err := io.WriteString(c, line); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() { _ = l.Close(); serving.Wait() })
	return e
}

// client talks to the echo through a proxy.
type client struct {
	testing.TB
	net.Conn
	lines *bufio.Reader
}

func throughProxy(t *testing.T) (*proxy, *echo, func() *client) {
	t.Helper()
	e := newEcho(t)
	p, err := newProxy(func() (net.Conn, error) { return net.Dial("tcp", e.Addr().String()) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	return p, e, func() *client {
		c, err := net.Dial("tcp", p.addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return &client{t, c, bufio.NewReader(c)}
	}
}

func (c *client) say(line string) {
	c.Helper()
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		c.Fatal(err)
	}
}

// hears waits for a line; "" is the end of the connection.
func (c *client) hears(want string) {
	c.Helper()
	line, _ := c.lines.ReadString('\n')
	if got := strings.TrimSuffix(line, "\n"); got != want {
		c.Errorf("heard %q, want %q", got, want)
	}
}

func TestProxyPassesInFineWeather(t *testing.T) {
	t.Parallel()
	_, _, dial := throughProxy(t)
	c := dial()
	c.say("hello")
	c.hears("hello")
}

func TestCutProxyBreaksOldAndNewConnections(t *testing.T) {
	t.Parallel()
	p, _, dial := throughProxy(t)
	old := dial()
	old.say("hello")
	old.hears("hello")
	p.set(weather{cut: true})
	old.hears("")
	dial().hears("")
	p.set(weather{})
	c := dial()
	c.say("again")
	c.hears("again")
}

func TestDeadProxyHoldsUpAndLosesNothing(t *testing.T) {
	t.Parallel()
	p, e, dial := throughProxy(t)
	c := dial()
	c.say("one")
	c.hears("one")
	<-e.got
	p.set(weather{dead: true})
	c.say("two")
	select {
	case line := <-e.got:
		t.Errorf("%q passed", line)
	case <-time.After(50 * time.Millisecond):
	}
	p.set(weather{})
	c.hears("two")
}

func TestSwallowedReplyBreaksItsConnectionAfterwards(t *testing.T) {
	t.Parallel()
	p, e, dial := throughProxy(t)
	c, idle := dial(), dial()
	for _, each := range []*client{c, idle} {
		each.say("one")
		each.hears("one")
		<-e.got
	}
	p.set(weather{swallow: true})
	c.say("two")
	if line := <-e.got; line != "two\n" {
		t.Errorf("the server got %q", line)
	}
	// The reply is on its way to be swallowed; let it be, in either order.
	p.awaitLoss(t)
	p.set(weather{})
	c.hears("")
	idle.say("three")
	idle.hears("three")
}

// awaitLoss returns once some reply has been swallowed.
func (p *proxy) awaitLoss(t *testing.T) {
	t.Helper()
	for range 1000 {
		p.mu.Lock()
		lost := false
		for c := range p.open {
			lost = lost || c.hasLost()
		}
		p.mu.Unlock()
		if lost {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("no reply was swallowed")
}

func TestSlowProxyDelaysBothWays(t *testing.T) {
	t.Parallel()
	p, _, dial := throughProxy(t)
	p.set(weather{delay: 30 * time.Millisecond})
	c := dial()
	began := time.Now()
	c.say("hello")
	c.hears("hello")
	if took := time.Since(began); took < 60*time.Millisecond {
		t.Errorf("there and back took %v", took)
	}
}

func TestProxyClosesWithConnectionsHeldUp(t *testing.T) {
	t.Parallel()
	p, _, dial := throughProxy(t)
	p.set(weather{dead: true})
	c := dial()
	c.say("hello")
	p.close()
	c.hears("")
}
