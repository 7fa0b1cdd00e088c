package tools

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"testing"
)

// manyTools is one page of 80,000 tools, in 4 MB.
var manyTools = `{"tools":[` + strings.Repeat(`{"name":"a","inputSchema":{"type":"object"}},`, 79_999) + `{"name":"a","inputSchema":{"type":"object"}}]}`

// listMany answers a request as a server with too many tools does.
func listMany(request []byte) (answer string) {
	var asked struct {
		ID     json.RawMessage
		Method string
	}
	if json.Unmarshal(request, &asked) != nil || asked.ID == nil {
		return ""
	}
	result := `{"protocolVersion":"2025-06-18","capabilities":{"tools":{}},"serverInfo":{"name":"x","version":"1"}}`
	if asked.Method != "initialize" {
		result = manyTools
	}
	if strings.HasPrefix(asked.Method, "server/") {
		return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"no such method"}}`, asked.ID)
	}
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%s,"result":%s}`, asked.ID, result)
}

// serveMany is a command that does so.
func serveMany() {
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		if answer := listMany(in.Bytes()); answer != "" {
			fmt.Println(answer)
		}
	}
}

// A page of 80,000 tools took five seconds and gigabytes to be taken apart, before
// they were counted.
func TestOnePageOfManyToolsCostGigabytes(t *testing.T) { //nolint:paralleltest // it measures what this process takes
	over := func(kind string, write func(w http.ResponseWriter, answer string)) Server {
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body := make([]byte, max(0, r.ContentLength))
			_, _ = r.Body.Read(body)
			answer := listMany(body)
			if answer == "" {
				w.WriteHeader(http.StatusAccepted)
				return
			}
			w.Header().Set("Content-Type", kind)
			write(w, answer)
		}))
		t.Cleanup(web.Close)
		return Server{URL: web.URL}
	}
	for name, s := range map[string]Server{
		"command": {Command: []string{os.Args[0]}, Env: []string{asServer + "=many"}},
		"address": over("application/json", func(w http.ResponseWriter, answer string) { _, _ = w.Write([]byte(answer)) }),
		"events": over("text/event-stream; charset=utf-8", func(w http.ResponseWriter, answer string) {
			_, _ = fmt.Fprintf(w, ": hello\n\nevent: message\ndata: %s\n\n", answer)
		}),
		"event in lines": over("text/event-stream", func(w http.ResponseWriter, answer string) {
			_, _ = fmt.Fprintf(w, "data: %s\n\n", strings.ReplaceAll(answer, "[", "\ndata:["))
		}),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := boxOf(t, s).Kit(t.Context(), []string{"s.*"}, nil)
		runtime.ReadMemStats(&after)
		if err == nil || !strings.Contains(err.Error(), "the tool server s is away") || !strings.Contains(err.Error(), "80000 tools on one page") {
			t.Errorf("%s: %v", name, err)
		}
		if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 200 {
			t.Errorf("%s: it took %d MiB", name, took)
		}
	}
}
