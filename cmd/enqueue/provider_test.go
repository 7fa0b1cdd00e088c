package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/drover-batch/drover/llm/simulator"
)

// provider is a simulator inside the test, which answers at once and remembers
// what it was asked.
type provider struct {
	sim *simulator.Server
	dir string // where requests are kept

	mu    sync.Mutex
	count int
	news  chan struct{} // closed at the next request
	held  chan struct{} // closed when what is held may go on
}

// ServeHTTP implements http.Handler.
func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	held := p.remember(body)
	if bytes.Contains(body, []byte("[[hold]]")) {
		select {
		case <-held:
		case <-r.Context().Done():
			return
		}
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	p.sim.ServeHTTP(w, r)
}

// remember keeps a request and returns what it waits for if it is to be held.
func (p *provider) remember(body []byte) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count++
	_ = os.WriteFile(filepath.Join(p.dir, strconv.Itoa(p.count)+".json"), body, 0o600)
	close(p.news)
	p.news = make(chan struct{})
	return p.held
}

// hold keeps requests from being answered from now on, or no more.
func (p *provider) hold(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if on {
		p.held = make(chan struct{})
		return
	}
	select {
	case <-p.held:
	default:
		close(p.held)
	}
}

func (p *provider) seen() (n int, news <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.count, p.news
}

func serveModels(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, len(args) == 0, "provider")
	sim, err := simulator.New(simulator.Config{Seed: 1})
	ts.Check(err)
	p := &provider{sim: sim, dir: ts.MkAbs("asked"), news: make(chan struct{}), held: make(chan struct{})}
	ts.Check(os.Mkdir(p.dir, 0o700))
	server := httptest.NewServer(p)
	ts.Defer(func() {
		p.hold(false)
		ts.Check(sim.Close())
		server.CloseClientConnections()
		server.Close()
	})
	worldOf(ts).provider = p
	ts.Setenv("PROVIDER", server.URL+"/v1")
}

func asked(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, len(args) == 1, "asked N")
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	p, late := worldOf(ts).provider, time.After(patience)
	for {
		n, news := p.seen()
		if n > want {
			ts.Fatalf("asked %d times, not %d", n, want)
		}
		if n == want {
			return
		}
		select {
		case <-news:
		case <-late:
			ts.Fatalf("asked %d times, not %d", n, want)
		}
	}
}

func release(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, len(args) == 0, "release")
	worldOf(ts).provider.hold(false)
}

func hold(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, len(args) == 0, "hold")
	worldOf(ts).provider.hold(true)
}

func fault(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, len(args) == 1, "fault ODDS")
	var odds simulator.Odds
	ts.Check(json.Unmarshal([]byte(args[0]), &odds))
	ts.Check(worldOf(ts).provider.sim.SetFaults(odds, nil))
}

func get(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, len(args) == 1, "get URL")
	fetch(ts, http.MethodGet, args[0], "")
}

// documented fails unless the documents name every metric that was got just now.
func documented(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, len(args) == 0, "documented")
	page, err := os.ReadFile("../../docs/settings.md")
	ts.Check(err)
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (drover_\w+)`).FindAllStringSubmatch(ts.ReadFile("stdout"), -1) {
		if !strings.Contains(string(page), "`"+m[1]+"`") {
			ts.Fatalf("docs/settings.md lacks %s", m[1])
		}
	}
}

func post(ts *testscript.TestScript, neg bool, args []string) {
	use(ts, neg, len(args) == 2, "post URL BODY")
	fetch(ts, http.MethodPost, args[0], args[1])
}

func fetch(ts *testscript.TestScript, method, url, body string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	ts.Check(err)
	if !strings.HasPrefix(body, "{") {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer func() { _ = resp.Body.Close() }()
	_, err = io.Copy(ts.Stdout(), resp.Body)
	ts.Check(err)
	_, _ = fmt.Fprintln(ts.Stderr(), resp.Status)
}
