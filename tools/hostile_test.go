package tools

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/drover-batch/drover/jobs"
)

// answering is a server that answers each method with what f makes of it: a
// result, or an error if it begins with an exclamation mark.
func answering(t *testing.T, f func(method string) string) Server {
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var asked struct {
			ID     json.RawMessage
			Method string
		}
		if r.Method != http.MethodPost || json.NewDecoder(r.Body).Decode(&asked) != nil {
			w.WriteHeader(http.StatusMethodNotAllowed)
			return
		}
		if asked.ID == nil {
			w.WriteHeader(http.StatusAccepted)
			return
		}
		said := "!no such method"
		if asked.Method == "initialize" {
			said = `{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"x","version":"1"}}`
		} else if strings.HasPrefix(asked.Method, "tools/") {
			said = f(asked.Method)
		}
		w.Header().Set("Content-Type", "application/json")
		if why, refused := strings.CutPrefix(said, "!"); refused {
			told, _ := json.Marshal(why)
			_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":%s}}`, asked.ID, told)
			return
		}
		_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":%s,"result":%s}`, asked.ID, said)
	}))
	t.Cleanup(web.Close)
	return Server{URL: web.URL}
}

// A server whose list has always another page was asked for it for 30 seconds,
// as fast as it answered; and whatever it gave for a reason, megabytes and
// escapes for terminals, was told in the log and kept with each job.
func TestHostileListsOfTools(t *testing.T) {
	t.Parallel()
	deep := strings.Repeat("[", 1<<20)
	for name, row := range map[string]struct{ list, why string }{
		"pages without end": {`{"tools":[],"nextCursor":"more"}`, "it has more than 256 tools, or pages of them"},
		"too many":          {`{"tools":[` + strings.Repeat(`{"name":"a","inputSchema":{"type":"object"}},`, 999) + `{"name":"a","inputSchema":{"type":"object"}}]}`, "it has 1000 tools on one page, and may have 256 in all"},
		"deep":              {`{"tools":` + deep, "failed to decode response"},
		"a long reason":     {"!\x1b[2J" + strings.Repeat("no ", 1<<20), "bytes left out"},
	} {
		var asked atomic.Int64
		b := boxOf(t, answering(t, func(string) string { asked.Add(1); return row.list }))
		_, err := b.Kit(t.Context(), []string{"s.*"}, nil)
		if away, ok := errors.AsType[*Away](err); !ok || !strings.Contains(err.Error(), row.why) || strings.Contains(err.Error(), "\x1b") || len(away.Error()) > 2*mostWhy {
			t.Errorf("%s: %.300v", name, err)
		}
		if asked := asked.Load(); asked > mostTools {
			t.Errorf("%s: asked %d times", name, asked)
		}
	}
}

func TestHostileToolsAreCleanedAndCut(t *testing.T) {
	t.Parallel()
	s := answering(t, func(method string) string {
		if method == "tools/list" {
			return `{"tools":[{"name":"a\u001b[2J\nx","description":"\u001b]0;mine\u0007about","inputSchema":{"type":"object"}}]}`
		}
		return "!\x1b[2J" + strings.Repeat("no ", 1<<20)
	})
	k := boxOf(t, s).kit(t, "s.*")
	tool := k.Tools()[0]
	if tool.Name != "s_a__2J_x" || tool.Description != "]0;mineabout" {
		t.Errorf("%q: %q", tool.Name, tool.Description)
	}
	if got := k.replies(t, &jobs.Document{}, tool.Name+" {}")[0]; len(got) > 66<<10 || strings.Contains(got, "\x1b") {
		t.Errorf("%d bytes: %.100q", len(got), got)
	}
}
