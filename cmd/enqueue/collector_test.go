package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"

	"github.com/rogpeppe/go-internal/testscript"
)

// collect serves what takes traces, and keeps those that it is given, the JSON
// of an export a line, in the file spans.json.
func collect(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, len(args) == 0, "collector")
	file, err := os.OpenFile(ts.MkAbs("spans.json"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	var mu sync.Mutex
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/v1/traces" {
			http.Error(w, r.URL.Path, http.StatusNotFound)
			return
		}
		mu.Lock()
		defer mu.Unlock()
		_, _ = file.Write(append(body, '\n'))
	}))
	ts.Defer(func() {
		server.Close()
		_ = file.Close()
	})
	ts.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	ts.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
}
