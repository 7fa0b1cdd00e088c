package llm_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/llm"
	"github.com/drover-batch/drover/llm/simulator"
)

// ask asks a provider that is at the other end of dial.
func ask(t *testing.T, ctx context.Context, dial func() (net.Conn, error), text string) *jobs.Failure {
	t.Helper()
	return askAt(t, ctx, "http://provider.test", dial, text)
}

func askAt(t *testing.T, ctx context.Context, base string, dial func() (net.Conn, error), text string) *jobs.Failure {
	t.Helper()
	transport := llm.Transport(1)
	defer transport.CloseIdleConnections()
	transport.DialContext = func(context.Context, string, string) (net.Conn, error) { return dial() }
	m := jobs.Model{Name: "m", Provider: "openai", BaseURL: base, MaxOutput: 10}
	c, err := llm.New(m, &http.Client{Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	req := &jobs.Request{Messages: []jobs.Message{{Role: jobs.User, Text: text}}}
	_, err = c.Ask(ctx, req, 0)
	f, ok := errors.AsType[*jobs.Failure](err)
	if !ok {
		t.Fatalf("got %v, want a failure", err)
	}
	return f
}

// brokenPipe is a connection that takes some bytes and no more.
type brokenPipe struct {
	net.Conn
	room int
}

func (c *brokenPipe) Write(b []byte) (int, error) {
	if c.room -= len(b); c.room < 0 {
		return 0, syscall.EPIPE
	}
	return c.Conn.Write(b)
}

func TestRequestThatWasNotWrittenWholeIsFree(t *testing.T) {
	large := strings.Repeat("a large document ", 10_000) // more than any buffer on the way
	for _, room := range []int{0, 20_000} {
		synctest.Test(t, func(t *testing.T) {
			ours, theirs := net.Pipe()
			read := make(chan struct{})
			go func() {
				defer close(read)
				_, _ = io.Copy(io.Discard, theirs)
			}()
			f := ask(t, t.Context(), func() (net.Conn, error) { return &brokenPipe{ours, room}, nil }, large)
			if f.Kind != jobs.Unreachable || f.Billing != jobs.Free {
				t.Errorf("after %d bytes: %v, %s", room, f, f.Billing)
			}
			<-read
		})
	}
}

// A connection is cut at every stage after that.
func TestWhatWasSentIsPresumedPaid(t *testing.T) {
	large := strings.Repeat("a large document ", 10_000) // more than any buffer on the way
	head := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
	readAll := func(c net.Conn) {
		if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
			_, _ = io.Copy(io.Discard, r.Body)
		}
	}
	for name, row := range map[string]struct {
		text     string
		provider func(c net.Conn)
	}{
		"after the request": {"x", readAll},
		"after a large one": {large, readAll},
		"within the status": {"x", func(c net.Conn) { readAll(c); _, _ = io.WriteString(c, "HTTP/1.1 2") }},
		"after the head":    {"x", func(c net.Conn) { readAll(c); _, _ = io.WriteString(c, head) }},
		"within the answer": {"x", func(c net.Conn) { readAll(c); _, _ = io.WriteString(c, head+`{"choices":`) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := ask(t, t.Context(), func() (net.Conn, error) {
					ours, theirs := net.Pipe()
					go func() {
						row.provider(theirs)
						_ = theirs.Close()
					}()
					return ours, nil
				}, row.text)
				if f.Kind != jobs.Unreachable || f.Billing != jobs.Presumed {
					t.Errorf("got %v, %s", f, f.Billing)
				}
			})
		})
	}
}

func TestNeverConnectedIsFree(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close() // nobody listens there any more
	refused := func() (net.Conn, error) { return net.Dial("tcp", l.Addr().String()) }
	noHost := func() (net.Conn, error) {
		return nil, &net.DNSError{Err: "no such host", Name: "provider.test", IsNotFound: true}
	}
	for _, dial := range []func() (net.Conn, error){refused, noHost} {
		f := ask(t, t.Context(), dial, "x")
		if f.Kind != jobs.Unreachable || f.Billing != jobs.Free || !strings.Contains(f.Message, "provider.test") {
			t.Errorf("got %v, %s", f, f.Billing)
		}
	}
}

func TestFailedHandshakeIsFree(t *testing.T) {
	for name, says := range map[string]string{"closed": "", "not TLS": "HTTP/1.1 400 Bad Request\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := askAt(t, t.Context(), "https://provider.test", func() (net.Conn, error) {
					ours, theirs := net.Pipe()
					go func() {
						_, _ = theirs.Read(make([]byte, 4096)) // the client's hello
						_, _ = io.WriteString(theirs, says)
						_ = theirs.Close()
					}()
					return ours, nil
				}, "x")
				if f.Kind != jobs.Unreachable || f.Billing != jobs.Free {
					t.Errorf("got %v, %s", f, f.Billing)
				}
			})
		})
	}
}

func TestConnectingTooLongIsFree(t *testing.T) {
	late := func() (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
	}
	if f := ask(t, t.Context(), late, "x"); f.Kind != jobs.Timeout || f.Billing != jobs.Free {
		t.Errorf("got %v, %s", f, f.Billing)
	}
}

// The provider may have had it all when our patience ended, or be about to.
func TestTimeoutAfterConnectingIsPresumedPaid(t *testing.T) {
	for name, reads := range map[string]bool{"waiting for the head": true, "still writing": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				f := ask(t, ctx, func() (net.Conn, error) {
					ours, theirs := net.Pipe()
					go func() {
						if reads {
							_, _ = io.Copy(io.Discard, theirs)
						}
						<-ctx.Done()
						_ = theirs.Close()
					}()
					return ours, nil
				}, "x")
				if f.Kind != jobs.Timeout || f.Billing != jobs.Presumed {
					t.Errorf("got %v, %s", f, f.Billing)
				}
			})
		})
	}
}

// net/http buffers a small request and says that it was written before the
// connection has taken any of it. Nobody can tell then, so it counts as paid.
func TestSmallRequestOnABrokenConnectionIsPresumedPaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, theirs := net.Pipe()
		f := ask(t, t.Context(), func() (net.Conn, error) { return &brokenPipe{ours, 0}, nil }, "x")
		if f.Kind != jobs.Unreachable || f.Billing != jobs.Presumed {
			t.Errorf("got %v, %s", f, f.Billing)
		}
		_ = theirs.Close()
	})
}

// inBubble runs a client against a simulator in fake time.
func inBubble(t *testing.T, cfg simulator.Config, m jobs.Model, run func(t *testing.T, s *simulator.Server, c *llm.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s, err := simulator.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		m.Name, m.BaseURL, m.MaxOutput = "m", "http://simulator", 100
		c, err := llm.New(m, s.Client())
		if err != nil {
			t.Fatal(err)
		}
		run(t, s, c)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func document(text string) *jobs.Request {
	return &jobs.Request{Messages: []jobs.Message{{Role: jobs.User, Text: text}}}
}

// Whatever happens, what the provider charged for is Billed or Presumed here.
func TestProvidersLedgerAgrees(t *testing.T) {
	for _, row := range []struct {
		marker  string
		kind    jobs.Kind
		billing jobs.Billing
	}{
		{"400", jobs.InvalidRequest, jobs.Free}, {"401", jobs.NoQuota, jobs.Free}, {"402", jobs.NoQuota, jobs.Free},
		{"403", jobs.NoQuota, jobs.Free}, {"422", jobs.InvalidRequest, jobs.Free}, {"429", jobs.RateLimited, jobs.Free},
		{"500", jobs.ServerError, jobs.Presumed}, {"502", jobs.ServerError, jobs.Presumed}, {"504", jobs.ServerError, jobs.Presumed},
		{"503", jobs.ServerError, jobs.Free}, {"529", jobs.ServerError, jobs.Free}, {"408", jobs.Timeout, jobs.Presumed},
		{"hang", jobs.Timeout, jobs.Presumed}, {"drop", jobs.Unreachable, jobs.Presumed}, {"cut", jobs.Unreachable, jobs.Presumed},
		{"truncate", jobs.Unreachable, jobs.Presumed}, {"garbage", jobs.Unreachable, jobs.Presumed}, {"refuse", jobs.Refused, jobs.Billed},
	} {
		for _, provider := range writers {
			m := jobs.Model{Provider: provider, Timeout: time.Minute}
			inBubble(t, simulator.Config{}, m, func(t *testing.T, s *simulator.Server, c *llm.Client) {
				start := time.Now()
				_, err := c.Ask(t.Context(), document("[[simulate:"+row.marker+"]]"), 0)
				f, ok := errors.AsType[*jobs.Failure](err)
				if !ok || f.Kind != row.kind || f.Billing != row.billing {
					t.Fatalf("%s, %s: %v", provider, row.marker, err)
				}
				if took := time.Since(start); row.kind == jobs.Timeout && row.marker == "hang" && took != time.Minute {
					t.Errorf("%s, %s: took %v", provider, row.marker, took)
				}
				synctest.Wait()
				if e := s.Ledger(0)[0]; e.Billed && f.Billing == jobs.Free {
					t.Errorf("%s, %s: charged for, but held to be free: %+v", provider, row.marker, e)
				}
			})
		}
	}
}

func TestStoppingWhileTheModelThinksIsPresumedPaid(t *testing.T) {
	inBubble(t, simulator.Config{Latency: time.Minute}, jobs.Model{Provider: "openai"}, func(t *testing.T, s *simulator.Server, c *llm.Client) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err := c.Ask(ctx, document("x"), 0)
		if f, ok := errors.AsType[*jobs.Failure](err); !ok || f.Kind != jobs.Interrupted || f.Billing != jobs.Presumed {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		if st := s.Stats(); st.Billed != 1 || st.Undelivered != 1 {
			t.Errorf("the provider says %+v", st)
		}
	})
}

func TestRateLimitsAreUnderstoodInBothProtocols(t *testing.T) {
	for _, provider := range []string{"openai", "anthropic"} {
		cfg := simulator.Config{Limits: map[string]simulator.Limit{"m": {RequestsPerMinute: 2}}}
		inBubble(t, cfg, jobs.Model{Provider: provider}, func(t *testing.T, _ *simulator.Server, c *llm.Client) {
			a, err := c.Ask(t.Context(), document("x"), 0)
			if err != nil || a.Quota.RequestsLimit != 2 || a.Quota.RequestsLeft != 1 || a.Quota.RequestsReset != 30*time.Second {
				t.Fatalf("%s: %+v, %v", provider, a, err)
			}
			_, _ = c.Ask(t.Context(), document("x"), 0)
			_, err = c.Ask(t.Context(), document("x"), 0)
			f, _ := errors.AsType[*jobs.Failure](err)
			if f.Kind != jobs.RateLimited || f.RetryAfter != 30*time.Second || f.Quota.RequestsLeft != 0 {
				t.Fatalf("%s: %+v", provider, f)
			}
			time.Sleep(f.RetryAfter)
			if _, err := c.Ask(t.Context(), document("x"), 0); err != nil {
				t.Errorf("%s: after the wait: %v", provider, err)
			}
		})
	}
}

func TestReadyChatIsAnsweredInKindByAnthropic(t *testing.T) {
	inBubble(t, simulator.Config{}, jobs.Model{Provider: "anthropic"}, func(t *testing.T, _ *simulator.Server, c *llm.Client) {
		req := &jobs.Request{Endpoint: "/v1/chat/completions", Body: []byte(`{"model":"x","stop":"END","temperature":1.5,"messages":[
			{"role":"system","content":"Be brief."},{"role":"user","content":[{"type":"text","text":"It rains in Spain."}]}]}`)}
		a, err := c.Ask(t.Context(), req, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`"object":"chat.completion"`, `"content":"It rains in Spain.`, `"finish_reason":"stop"`, `"prompt_tokens":`} {
			if !strings.Contains(string(a.Body), want) {
				t.Errorf("%s lacks %s", a.Body, want)
			}
		}
	})
}
