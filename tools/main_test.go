package tools

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/drover-batch/drover/jobs"
)

// asServer is the variable that makes the test binary an MCP server.
const asServer = "DROVER_TEST_MCP_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(asServer) == "many" {
		serveMany()
		return
	}
	if os.Getenv(asServer) != "" {
		fmt.Fprintln(os.Stderr, "a whole secret document")
		_ = mcpServer().Run(context.Background(), &mcp.StdioTransport{})
		return
	}
	os.Exit(m.Run())
}

type said struct {
	Text string `json:"text"`
}

func mcpServer() *mcp.Server {
	s := mcp.NewServer(&mcp.Implementation{Name: "test", Version: "1"}, nil)
	add := func(name string, f func(ctx context.Context, text string) (string, error)) {
		mcp.AddTool(s, &mcp.Tool{Name: name, Description: "does " + name}, func(ctx context.Context, _ *mcp.CallToolRequest, in said) (*mcp.CallToolResult, any, error) {
			text, err := f(ctx, in.Text)
			if err != nil {
				return nil, nil, err
			}
			return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}, nil, nil
		})
	}
	add("echo", func(_ context.Context, text string) (string, error) { return text, nil })
	add("env", func(context.Context, string) (string, error) { return strings.Join(os.Environ(), "\n"), nil })
	add("big", func(context.Context, string) (string, error) { return strings.Repeat("é", 100_000), nil })
	add("refuse", func(context.Context, string) (string, error) { return "", errors.New("no such file") })
	add("hang", func(ctx context.Context, _ string) (string, error) { <-ctx.Done(); return "", ctx.Err() })
	add("die", func(context.Context, string) (string, error) { os.Exit(3); return "", nil })
	return s
}

// child is a server that is a process of its own.
func child() Server {
	return Server{Command: []string{os.Args[0]}, Env: []string{asServer + "=1"}}
}

// served is a server at an address on this machine, and what its requests
// were.
func served(t *testing.T) (Server, *atomic.Pointer[http.Header]) {
	seen := new(atomic.Pointer[http.Header])
	s := mcpServer()
	h := mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s }, nil)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen.Store(&r.Header)
		h.ServeHTTP(w, r)
	}))
	t.Cleanup(web.Close)
	return Server{URL: web.URL, Token: jobs.NewSecret("sesame")}, seen
}

// boxOf is a box with one server called s.
func boxOf(t *testing.T, s Server) *Box {
	t.Helper()
	b := New(Config{Servers: map[string]Server{"s": s}})
	t.Cleanup(b.Close)
	return b
}

func (b *Box) kit(t *testing.T, allowed ...string) *Kit {
	t.Helper()
	k, err := b.Kit(t.Context(), allowed, nil)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// calling is the conversation in which a model calls tools, each given as
// NAME or NAME JSON.
func calling(calls ...string) []jobs.Message {
	m := jobs.Message{Role: jobs.Assistant}
	for i, c := range calls {
		name, arguments, _ := strings.Cut(c, " ")
		m.Calls = append(m.Calls, jobs.ToolCall{ID: fmt.Sprint("call-", i), Name: name, Arguments: arguments})
	}
	return []jobs.Message{m}
}

// replies runs the calls and returns what came back.
func (k *Kit) replies(t *testing.T, d *jobs.Document, calls ...string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	talk := calling(calls...)
	var texts []string
	for i, m := range k.Run(ctx, d, talk, nil) {
		if m.Role != jobs.ToolRole || m.Reply != talk[0].Calls[i].ID {
			t.Errorf("reply %d is %+v", i, m)
		}
		texts = append(texts, m.Text)
	}
	return texts
}

func contains(t *testing.T, text, part string) {
	t.Helper()
	if !strings.Contains(text, part) {
		t.Errorf("%q does not say %q", limit(text, 300), part)
	}
}
