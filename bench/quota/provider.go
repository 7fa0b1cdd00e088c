package main

import (
	"context"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/drover-batch/drover/internal/audit"
	"github.com/drover-batch/drover/llm/simulator"
)

// provider is the simulator, with a door for each replica: who comes through
// it is known.
type provider struct {
	*simulator.Server

	mu    sync.Mutex
	came  map[string]string // who made a call, by its id
	doors []*http.Server
	open  sync.WaitGroup
}

func newProvider(s *scene) (*provider, error) {
	server, err := simulator.New(simulator.Config{
		Latency: s.lasts(), Spread: 0.3, Keep: 1 << 20, Limits: map[string]simulator.Limit{model: s.limit},
	})
	if err != nil {
		return nil, err
	}
	return &provider{Server: server, came: map[string]string{}}, nil
}

// door listens for one replica and returns where.
func (p *provider) door(who string) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	s := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			id := strings.TrimPrefix(w.Header().Get("X-Request-Id"), "req-")
			p.mu.Lock()
			defer p.mu.Unlock()
			p.came[id] = who
		}()
		p.ServeHTTP(w, r)
	})}
	p.mu.Lock()
	p.doors = append(p.doors, s)
	p.mu.Unlock()
	p.open.Go(func() { _ = s.Serve(l) })
	return l.Addr().String(), nil
}

// others is somebody else with the same key: they ask so many times a second,
// whatever they are told.
func (p *provider) others(ctx context.Context, perSecond float64) error {
	door, err := p.door(audit.Stranger)
	if err != nil {
		return err
	}
	const body = `{"model":"` + model + `","messages":[{"role":"user","content":"And what of this?"}]}`
	t := time.NewTicker(time.Duration(float64(time.Second) / perSecond))
	defer t.Stop()
	var asking sync.WaitGroup
	defer asking.Wait()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
		}
		asking.Go(func() {
			res, err := http.Post("http://"+door+"/v1/chat/completions", "application/json", strings.NewReader(body))
			if err == nil {
				_ = res.Body.Close()
			}
		})
	}
}

func (p *provider) close() error {
	for _, s := range p.doors {
		_ = s.Close()
	}
	p.open.Wait()
	return p.Close()
}
