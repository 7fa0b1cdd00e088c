package ops

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/drover-batch/drover/documents"
)

// Server answers /healthz, /readyz and /metrics.
type Server struct {
	http *http.Server
	addr net.Addr
	done chan error
}

// Listen starts a server on the address. ready says why the worker cannot
// take jobs, or nil; it is asked with a deadline of two seconds.
func Listen(addr string, m *Metrics, ready func(context.Context) error) (*Server, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listening for health checks and metrics: %w; choose another address with --http, or --http off", err)
	}
	s := &Server{http: server(m, ready), addr: l.Addr(), done: make(chan error, 1)}
	go func() { s.done <- s.http.Serve(l) }()
	return s, nil
}

// Addr is where the server listens.
func (s *Server) Addr() string { return s.addr.String() }

// Close stops the server; requests under way get a second to finish.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if served := <-s.done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}

// Bounds of a request, for whoever may reach the port: a connection, and the
// memory behind it, must not be held by saying nothing.
const (
	headTime  = 5 * time.Second
	readTime  = 10 * time.Second
	writeTime = 30 * time.Second // of an answer that is not streamed
	idleTime  = 2 * time.Minute
	headSize  = 16 << 10
	scrapes   = 8 // at the same time, each of which asks NATS
)

func server(m *Metrics, ready func(context.Context) error) *http.Server {
	return &http.Server{
		Handler: handler(m, ready), ReadHeaderTimeout: headTime, ReadTimeout: readTime, IdleTimeout: idleTime, MaxHeaderBytes: headSize,
	}
}

// soon gives an answer only so much time to be read.
func soon(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTime))
		h.ServeHTTP(w, r)
	})
}

func handler(m *Metrics, ready func(context.Context) error) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		if err := ready(ctx); err != nil {
			http.Error(w, told(err), http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintln(w, "ready")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{MaxRequestsInFlight: scrapes}))
	return soon(mux)
}

// credentials are a user and a password in an address.
var credentials = regexp.MustCompile(`://[^\s/@]*@`)

// mostTold bounds a reason: servers may say anything.
const mostTold = 1 << 10

// told is a reason as whoever asks may see it.
func told(err error) string {
	text := credentials.ReplaceAllString(documents.Terminal(err.Error()), "://***@")
	if len(text) > mostTold {
		text = strings.ToValidUTF8(text[:mostTold], "") + "…"
	}
	return text
}
