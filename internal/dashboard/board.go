package dashboard

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"embed"
	"net"
	"net/http"
	"time"

	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/jobs"
)

// Config is what a Board shows, and to whom.
type Config struct {
	Servers *wire.Servers

	// Token is the password that browsers have to be given, with any name. Without
	// one the board answers only those who address it as this machine itself, so
	// that no page from elsewhere can pose as it.
	Token jobs.Secret

	ReadOnly bool          // nothing can be changed
	Every    time.Duration // between two looks, at the least; default 2s
}

// Board is the dashboard of a fleet.
type Board struct {
	config Config
	mux    *http.ServeMux
	guard  *http.CrossOriginProtection

	looks looks
}

//go:embed pages/style.css pages/live.js
var files embed.FS

// New makes the board of a fleet.
func New(c Config) *Board {
	c.Every = cmp.Or(c.Every, 2*time.Second)
	b := &Board{config: c, mux: http.NewServeMux(), guard: http.NewCrossOriginProtection()}
	b.looks = looks{servers: c.Servers, every: c.Every, batches: map[string]*known{}}
	b.mux.HandleFunc("GET /{$}", b.overview)
	b.mux.HandleFunc("GET /batches/{batch}", b.batch)
	b.mux.HandleFunc("GET /dead", b.letters)
	b.mux.HandleFunc("GET /live/overview", b.live("overview-live"))
	b.mux.HandleFunc("GET /live/batches/{batch}", b.live("batch-live"))
	b.mux.Handle("GET /style.css", asset("pages/style.css"))
	b.mux.Handle("GET /live.js", asset("pages/live.js"))
	if !c.ReadOnly {
		b.mux.HandleFunc("POST /batches/{batch}", b.changeBatch)
		b.mux.HandleFunc("POST /dead", b.changeLetters)
		b.mux.HandleFunc("POST /budgets", b.changeBudget)
	}
	return b
}

// ServeHTTP implements http.Handler. A request from another site's page changes
// nothing.
func (b *Board) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	switch {
	case b.config.Token.Empty() && !ownName(r.Host):
		http.Error(w, "without a token the dashboard is for this machine alone: address it as 127.0.0.1 or localhost", http.StatusForbidden)
	case !b.admits(r):
		h.Set("WWW-Authenticate", `Basic realm="Drover", charset="UTF-8"`)
		http.Error(w, "the token of the dashboard is needed, as the password with any name", http.StatusUnauthorized)
	default:
		b.guard.Handler(b.mux).ServeHTTP(w, r)
	}
}

// ownName reports whether a Host names this machine. Another name that leads
// here is a page's from elsewhere, which has its own name resolve to this
// machine.
func ownName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return host == "localhost" || host == "127.0.0.1" || host == "::1" || host == "[::1]"
}

func (b *Board) admits(r *http.Request) bool {
	if b.config.Token.Empty() {
		return true
	}
	_, given, _ := r.BasicAuth()
	is, want := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(b.config.Token.Reveal()))
	return subtle.ConstantTimeCompare(is[:], want[:]) == 1
}

func asset(name string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.ServeFileFS(w, r, files, name) })
}
