package process

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/drover-batch/drover/internal/audit"
	"github.com/drover-batch/drover/llm/simulator"
)

// Provider is the simulator, with a door for each worker: who comes through it
// is known.
type Provider struct {
	*simulator.Server

	mu    sync.Mutex
	sent  []audit.Sent
	doors []*http.Server
	open  sync.WaitGroup
}

// NewProvider starts a simulator without any door.
func NewProvider(c simulator.Config) (*Provider, error) {
	s, err := simulator.New(c)
	if err != nil {
		return nil, err
	}
	return &Provider{Server: s}, nil
}

// mark is in every document, as @batch/id@, and tells whose it is.
var mark = regexp.MustCompile(`@([\w-]+)/([\w-]+)@`)

// Door listens for one worker and returns where.
func (p *Provider) Door(worker string) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client broke off
		}
		if m := mark.FindSubmatch(body); m != nil {
			p.note(audit.Sent{
				At: time.Now(), Worker: worker, Job: audit.Job{Batch: string(m[1]), ID: string(m[2])}, Prompt: simulator.Prompt(body),
			})
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		p.ServeHTTP(w, r)
	})}
	p.doors = append(p.doors, s)
	p.open.Go(func() { _ = s.Serve(l) })
	return l.Addr().String(), nil
}

func (p *Provider) note(s audit.Sent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent = append(p.sent, s)
}

// Sent are the calls that came through the doors so far.
func (p *Provider) Sent() []audit.Sent {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.sent)
}

// Close shuts the doors, waits for those in them and ends the simulator.
func (p *Provider) Close() error {
	for _, s := range p.doors {
		_ = s.Close()
	}
	p.open.Wait()
	return p.Server.Close()
}
