package simulator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

// Server is the provider. It is an http.Handler, for a server of one's own;
// Listen and Client bring theirs.
type Server struct {
	cfg    Config
	limits *limits
	ledger *ledger
	faults *faults
	mux    *http.ServeMux

	http    *http.Server   // behind Listen and Client
	serving sync.WaitGroup // listeners and calls
	closed  chan struct{}

	mu     sync.Mutex
	err    error // of a listener that stopped by itself
	memory *pipes
	over   bool
}

// New returns a server that is not listening yet. An error names what is wrong
// with the configuration.
func New(cfg Config) (*Server, error) {
	if cfg.Keep == 0 {
		cfg.Keep = 100_000
	}
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("configuring the simulator: %w", err)
	}
	s := &Server{
		cfg:    cfg,
		limits: newLimits(cfg.Limits),
		ledger: newLedger(cfg.Keep),
		faults: newFaults(&cfg),
		mux:    http.NewServeMux(),
		closed: make(chan struct{}),
	}
	s.mux.Handle("POST /v1/chat/completions", s.endpoint(&chat{}))
	s.mux.Handle("POST /v1/responses", s.endpoint(&responses{}))
	s.mux.Handle("POST /v1/embeddings", s.endpoint(&embeddings{}))
	s.mux.Handle("POST /v1/messages", s.endpoint(&messages{}))
	s.mux.Handle("POST /v1/models/{call}", s.endpoint(&gemini{}))
	s.mux.Handle("POST /v1beta/models/{call}", s.endpoint(&gemini{}))
	s.mux.Handle("GET /simulator/stats", s.admin(s.getStats))
	s.mux.Handle("GET /simulator/ledger", s.admin(s.getLedger))
	s.mux.Handle("POST /simulator/faults", s.admin(s.postFaults))
	s.http = &http.Server{Handler: s, ReadHeaderTimeout: 30 * time.Second}
	return s, nil
}

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.mux.ServeHTTP(w, r) }

// Listen serves on an address such as 127.0.0.1:0, until Close, and returns
// the base URL for clients.
func (s *Server) Listen(addr string) (string, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return "", fmt.Errorf("listening for the simulator: %w", err)
	}
	s.serve(l)
	return "http://" + l.Addr().String() + "/v1", nil
}

func (s *Server) serve(l net.Listener) {
	s.serving.Go(func() {
		if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.err = errors.Join(s.err, err)
		}
	})
}

// Close breaks all connections and returns when nothing runs any more. Its
// error is that of a listener which had stopped before.
func (s *Server) Close() error {
	s.mu.Lock()
	over := s.over
	s.over = true
	if s.memory != nil {
		s.memory.transport.CloseIdleConnections()
	}
	s.mu.Unlock()
	if !over {
		close(s.closed)
	}
	closing := s.http.Close()
	s.serving.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.err, closing)
}

// wait blocks until d has gone by, the client has gone, or the server closes,
// and reports whether it was the first. A negative d is for ever.
func (s *Server) wait(ctx context.Context, d time.Duration) bool {
	var up <-chan time.Time
	switch {
	case d == 0:
		return ctx.Err() == nil
	case d > 0:
		t := time.NewTimer(d)
		defer t.Stop()
		up = t.C
	}
	select {
	case <-up:
		return true
	case <-ctx.Done():
	case <-s.closed:
	}
	return false
}
