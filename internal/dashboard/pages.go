package dashboard

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/http"
	"strings"
	"time"

	"github.com/drover-batch/drover/documents"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/queue"
)

//go:embed pages/*.html
var sources embed.FS

var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"plain": documents.Line, "cents": jobs.USD.Short, "grouped": jobs.Grouped, "chart": chart, "bill": bill, "budgetName": budgetName,
	"spentBar": spentBar, "heldBar": heldBar,
	"clock": func(t time.Time) string { return t.Local().Format(time.TimeOnly) },
	"when":  func(t time.Time) string { return t.Local().Format("2006-01-02 15:04") },
	"speed": func(t track) string { return rateText(t.rate()) },
	"inUse": func(q *quotaView) float64 { return share(float64(q.InFlight), float64(q.Most)) },
}).ParseFS(sources, "pages/*.html"))

// page is what every page is made of.
type page struct {
	*view
	ReadOnly bool
	Title    string
	Told     string // what the last change came to, or why it
	Failed   bool

	One    *batchView // of a batch's page
	Why    []string   // that batch may not come along
	Filter filter     // of the page of dead letters
	List   []*jobs.DeadLetter
	More   bool     // letters than are listed
	Chains []string // that they can be replayed by
}

// May reports whether the page has what does so.
func (p *page) May(deed queue.Deed) bool {
	may, known := p.rights[deed]
	return !p.ReadOnly && (may || !known)
}

// Barred says which of these somebody else has to do; "" if there is none.
func (p *page) Barred(deeds ...queue.Deed) string {
	var not []string
	for _, deed := range deeds {
		if !p.ReadOnly && !p.May(deed) {
			not = append(not, string(deed))
		}
	}
	if len(not) == 0 {
		return ""
	}
	return "NATS does not let the user of this dashboard " + strings.Join(not, ", ") + ": it takes one that may, such as admin of deploy/config/nats.conf."
}

func (b *Board) page(r *http.Request, title string) *page {
	p := &page{view: b.looks.view(r.Context()), ReadOnly: b.config.ReadOnly, Title: title}
	if r.Header.Get("Sec-Fetch-Site") != "cross-site" { // whose links are not to put words into our mouth
		p.Told = r.URL.Query().Get("told")
	}
	return p
}

func (b *Board) overview(w http.ResponseWriter, r *http.Request) {
	b.render(w, "overview", b.page(r, "Fleet"))
}

func (b *Board) batch(w http.ResponseWriter, r *http.Request) {
	p, err := b.batchPage(r)
	if err != nil {
		b.fail(w, err)
		return
	}
	b.render(w, "batch", p)
}

// batchPage is the page of the batch that the path names.
func (b *Board) batchPage(r *http.Request) (*page, error) {
	p := b.page(r, "")
	id := r.PathValue("batch")
	for _, one := range p.Batches {
		if one.Batch.ID == id {
			p.One = one
		}
	}
	if p.One == nil { // one of the many that are not looked at
		one, err := b.looks.single(r.Context(), id)
		if err != nil {
			return nil, err
		}
		p.One = one
	}
	p.Title = documents.Line(p.One.Batch.Name)
	if p.One.State == jobs.Live && p.One.Track.rate() == 0 {
		p.Why, _ = b.config.Servers.Standstill(r.Context(), p.One.Batch) // what it cannot tell is among the troubles
	}
	return p, nil
}

// single looks at one batch.
func (l *looks) single(ctx context.Context, id string) (*batchView, error) {
	batch, err := l.servers.Queue.Batch(ctx, id)
	if err != nil {
		return nil, err
	}
	one := &batchView{Batch: batch}
	if one.Progress, err = l.servers.Queue.Progress(ctx, id); err != nil {
		return nil, err
	}
	one.Spent, one.Ambiguous, err = l.servers.Spent(ctx, id)
	one.Priced = err == nil
	return one, nil
}

// live sends the part of a page that changes, again and again until the browser
// leaves.
func (b *Board) live(part string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		out := http.NewResponseController(w)
		ticker := time.NewTicker(b.config.Every)
		defer ticker.Stop()
		for {
			text, err := b.part(r, part)
			if err != nil {
				return // the browser asks again, and shows what is there until then
			}
			_ = out.SetWriteDeadline(time.Now().Add(10 * time.Second)) // a browser that reads nothing is let go
			if _, err := fmt.Fprintf(w, "data: %s\n\n", strings.ReplaceAll(text, "\n", "\ndata: ")); err != nil || out.Flush() != nil {
				return
			}
			select {
			case <-r.Context().Done():
				return
			case <-ticker.C:
			}
		}
	}
}

// part is the part of a page as it is now.
func (b *Board) part(r *http.Request, name string) (string, error) {
	p := b.page(r, "")
	if r.PathValue("batch") != "" {
		var err error
		if p, err = b.batchPage(r); err != nil {
			return "", err
		}
	}
	var text strings.Builder
	err := templates.ExecuteTemplate(&text, name, p)
	return text.String(), err
}

func (b *Board) render(w http.ResponseWriter, name string, p *page) {
	var text bytes.Buffer
	if err := templates.ExecuteTemplate(&text, name, p); err != nil {
		b.fail(w, fmt.Errorf("writing the page: %w", err))
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(text.Bytes())
}

// fail says why there is no page.
func (b *Board) fail(w http.ResponseWriter, err error) {
	code := http.StatusBadGateway // one of the servers
	if errors.Is(err, queue.ErrNoBatch) || errors.Is(err, queue.ErrNoDeadLetter) {
		code = http.StatusNotFound
	} else if _, denied := errors.AsType[*queue.Denied](err); denied {
		code = http.StatusForbidden
	} else if _, wrong := errors.AsType[misuse](err); wrong {
		code = http.StatusBadRequest
	}
	w.WriteHeader(code)
	b.render(w, "failed", &page{view: &view{At: time.Now()}, Title: "That did not work", Told: documents.Line(err.Error()), Failed: true})
}

// misuse is a wrong request.
type misuse struct{ error }
