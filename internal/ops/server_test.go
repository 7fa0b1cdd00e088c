package ops

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pipes are connections that a server is to accept.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	c, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p pipes) Close() error { close(p); return nil }

func (p pipes) Addr() net.Addr { return &net.TCPAddr{} }

// Whoever reached the worker's port could hold connections for good: one that is
// idle, one whose body never comes, one that never reads the answer.
func TestConnectionsThatSayNothingWereHeldForGood(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]string{
		"idle":    "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
		"slow":    "POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n",
		"no head": "GET /healthz HTTP/1.1\r\n",
		"unread":  "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		synctest.Test(t, func(t *testing.T) {
			s := server(NewMetrics(), func(context.Context) error { return nil })
			closed := make(chan struct{})
			s.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateClosed {
					close(closed)
				}
			}
			l := make(pipes, 1)
			go func() { _ = s.Serve(l) }()
			here, there := net.Pipe()
			l <- there
			if _, err := io.WriteString(here, request); err != nil {
				t.Fatal(err)
			}
			if name != "unread" {
				go func() { _, _ = io.Copy(io.Discard, here) }()
			}
			select {
			case <-closed:
			case <-time.After(time.Hour):
				t.Errorf("%s: held for an hour", name)
			}
			_ = here.Close()
			_ = s.Close()
		})
	}
}

func TestReadinessRepeatedWhatAServerWrote(t *testing.T) {
	t.Parallel()
	s := httptest.NewServer(handler(NewMetrics(), func(context.Context) error {
		return errors.New("redis is away: redis://me:canary@10.0.0.6:6379: \x1b]0;mine\x07\x1b[2Jno" + strings.Repeat("!", 1<<20))
	}))
	defer s.Close()
	resp, err := http.Get(s.URL + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(body); resp.StatusCode != http.StatusServiceUnavailable || len(got) > mostTold+10 || !strings.HasPrefix(got, "redis is away: redis://***@10.0.0.6:6379: no!!!") {
		t.Errorf("%d, %d bytes: %.200q", resp.StatusCode, len(got), got)
	}
	if kind := resp.Header.Get("Content-Type") + resp.Header.Get("X-Content-Type-Options"); kind != "text/plain; charset=utf-8nosniff" {
		t.Errorf("it may be taken for a page: %s", kind)
	}
}

func TestAHeadOfAMegabyteIsRefused(t *testing.T) {
	t.Parallel()
	s, err := Listen("127.0.0.1:0", NewMetrics(), func(context.Context) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	r, err := http.NewRequest(http.MethodGet, "http://"+s.Addr()+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Long", strings.Repeat("a", 64<<10))
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("got %d", resp.StatusCode)
	}
}
