package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"sync/atomic"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/drover-batch/drover/jobs"
)

const (
	endWithin  = 2 * time.Second // for a command to end by itself, before it is told to
	mostTools  = 256             // of one server
	mostSchema = 32 << 10
)

// Connect starts a server's command, or connects to its address. The command
// gets no other environment than Server.Env. What it writes to its standard
// error is counted, not kept.
func Connect(ctx context.Context, _ string, s Server, note func(string)) (Session, error) {
	client := mcp.NewClient(&mcp.Implementation{Name: "drover", Version: "1"}, &mcp.ClientOptions{
		Capabilities: &mcp.ClientCapabilities{}, // nothing a server may ask of us
	})
	var transport mcp.Transport
	if len(s.Command) > 0 {
		transport = counted{command(s, note)}
	} else {
		transport = &mcp.StreamableClientTransport{Endpoint: s.URL, HTTPClient: httpClient(s), DisableStandaloneSSE: true, MaxRetries: -1}
	}
	living, end := context.WithCancel(context.WithoutCancel(ctx)) // a connection outlives the wish for it
	stop := context.AfterFunc(ctx, end)
	defer stop()
	session, err := client.Connect(living, transport, nil)
	if err != nil {
		end()
		return nil, fmt.Errorf("connecting: %w", err)
	}
	c := &connection{session: session, done: make(chan struct{}), end: end}
	go c.watch()
	return c, nil
}

// command prepares a server's process. A panic of its own is the child's.
func command(s Server, note func(string)) *mcp.CommandTransport {
	cmd := exec.Command(s.Command[0], s.Command[1:]...)
	cmd.Env = append([]string{}, s.Env...) // nil would hand on ours
	cmd.Stderr = &counter{note: note}
	cmd.WaitDelay = endWithin // grandchildren may hold its standard error
	return &mcp.CommandTransport{Command: cmd, TerminateDuration: endWithin}
}

// counter swallows what a server writes to its standard error, which may hold
// what documents say, and tells how much it was, less and less often.
type counter struct {
	note func(string)
	n    atomic.Int64
}

func (c *counter) Write(p []byte) (int, error) {
	before := c.n.Load()
	after := c.n.Add(int64(len(p)))
	if before == 0 || before>>16 != after>>16 {
		c.note(fmt.Sprintf("has written %d bytes to its standard error", after))
	}
	return len(p), nil
}

// httpClient sends the token to the server's own address and nowhere else.
func httpClient(s Server) *http.Client {
	return &http.Client{
		Transport: &bearer{s, &http.Transport{
			DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			MaxIdleConnsPerHost: 8, IdleConnTimeout: 90 * time.Second, ForceAttemptHTTP2: true,
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

type bearer struct {
	server Server
	next   *http.Transport
}

// RoundTrip bounds what is read of an answer, beyond what is kept of it.
func (b *bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	traceparent := jobs.Traceparent(r.Context())
	if !b.server.Token.Empty() || traceparent != "" {
		r = r.Clone(r.Context())
	}
	if !b.server.Token.Empty() {
		r.Header.Set("Authorization", "Bearer "+b.server.Token.Reveal())
	}
	if traceparent != "" {
		r.Header.Set("Traceparent", traceparent)
	}
	res, err := b.next.RoundTrip(r)
	if err == nil {
		res.Body = &bounded{res.Body, int64(8*b.server.MaxResult) + 4<<20}
		res.Body = countBody(res)
	}
	return res, err
}

// bounded is a body that fails once too much of it was read.
type bounded struct {
	io.ReadCloser
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errors.New("the answer is too long")
	}
	n, err := b.ReadCloser.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// connection implements Session with the official client.
type connection struct {
	session *mcp.ClientSession
	done    chan struct{}
	end     context.CancelFunc
}

// watch sees the end of the connection and lets go of what it held: a command
// that has ended is waited for.
func (c *connection) watch() {
	defer close(c.done)
	_ = c.session.Wait()
	_ = c.session.Close()
	c.end()
}

func (c *connection) Done() <-chan struct{} { return c.done }

func (c *connection) Close() {
	_ = c.session.Close()
	c.end()
	<-c.done
}

// List asks page by page, of which there are no more than tools.
func (c *connection) List(ctx context.Context) ([]Spec, error) {
	var specs []Spec
	page := &mcp.ListToolsParams{}
	for range mostTools {
		list, err := c.session.ListTools(ctx, page)
		if err != nil {
			return nil, err
		}
		if len(specs)+len(list.Tools) > mostTools {
			break
		}
		for _, t := range list.Tools {
			specs = append(specs, specOf(t))
		}
		if page.Cursor = list.NextCursor; page.Cursor == "" {
			return specs, nil
		}
	}
	return nil, fmt.Errorf("it has more than %d tools, or pages of them", mostTools)
}

func specOf(t *mcp.Tool) Spec {
	schema, err := json.Marshal(t.InputSchema)
	if err != nil || !isObject(schema) || len(schema) > mostSchema {
		schema = json.RawMessage(`{"type":"object"}`)
	}
	return Spec{t.Name, t.Description, schema}
}

func (c *connection) Call(ctx context.Context, tool string, arguments json.RawMessage) (string, error) {
	result, err := c.session.CallTool(ctx, &mcp.CallToolParams{Name: tool, Arguments: arguments})
	if _, answered := errors.AsType[*jsonrpc.Error](err); err != nil && !answered && ctx.Err() == nil {
		c.Close() // it is broken, and whoever asks next is to know
	}
	if err != nil {
		return "", err
	}
	text := textOf(result)
	if result.IsError {
		return "", &Refused{text}
	}
	return text, nil
}

// textOf is the part of a result that a model can read. The rest is named.
func textOf(r *mcp.CallToolResult) string {
	var parts []string
	for _, c := range r.Content {
		switch c := c.(type) {
		case *mcp.TextContent:
			parts = append(parts, c.Text)
		case *mcp.EmbeddedResource:
			if c.Resource != nil && c.Resource.Text != "" {
				parts = append(parts, c.Resource.Text)
			} else {
				parts = append(parts, "[a resource that is no text: left out]")
			}
		case *mcp.ResourceLink:
			parts = append(parts, "["+c.Name+": "+c.URI+"]")
		default:
			parts = append(parts, fmt.Sprintf("[%s: left out]", strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%T", c), "*mcp."), "Content")))
		}
	}
	if len(parts) == 0 && r.StructuredContent != nil {
		if data, err := json.Marshal(r.StructuredContent); err == nil {
			parts = append(parts, string(data))
		}
	}
	if len(parts) == 0 {
		return "[no result]"
	}
	return strings.Join(parts, "\n")
}
