package resilience

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/drover-batch/drover/jobs"
)

// piece is a part of a document that is asked about by itself. Pieces that
// were combined are one piece.
type piece struct {
	First  int    `json:"first"` // its number, or the first of those combined
	Last   int    `json:"last"`
	From   int    `json:"from"` // bytes of the document's text
	To     int    `json:"to"`
	Done   bool   `json:"done,omitempty"`
	Answer string `json:"answer,omitempty"`
	Depth  int    `json:"depth,omitempty"` // how often it was combined
}

// answer asks one model about the whole document or, where that is too long
// and the batch wants it, about what it has room for.
func (r *run) answer(ctx context.Context, link *Link) (*jobs.Answer, *obstacle) {
	if u := r.Unruled; u != nil && u.Model != link.Model.Name && r.has(u.Model) {
		return nil, &obstacle{sort: barred, model: link.Model.Name, why: u.Model + " had answered already"}
	}
	if r.Cut > 0 {
		return r.inPieces(ctx, link)
	}
	answer, stuck := r.converse(ctx, link)
	if stuck == nil || stuck.sort != unfit || stuck.unruled { // there is an answer, and the judge has no room
		return answer, stuck
	}
	switch policy := r.task.Batch.Overflow; {
	case policy == jobs.BuryOverlong:
		stuck.sort, stuck.failure = hopeless, jobs.Failf(jobs.Overflow, "%s", stuck.clause())
	case r.task.Part == nil || r.meter != nil || policy.Larger() && !r.desperate:
	case policy.Resort() == jobs.Split:
		return r.split(ctx, link, stuck)
	case policy.Resort() == jobs.Shorten:
		return r.shorten(ctx, link, stuck)
	}
	return nil, stuck
}

func (r *run) has(model string) bool {
	return slices.ContainsFunc(r.chain.Links, func(l Link) bool { return l.Model.Name == model })
}

// lastResort returns the links once more if none has room for the document,
// and the batch has something that is done only then.
func (r *run) lastResort() []Link {
	policy := r.task.Batch.Overflow
	if !policy.Larger() || policy.Resort() == "" || r.task.Part == nil || r.desperate ||
		slices.ContainsFunc(r.obstacles, func(o *obstacle) bool { return o.sort != unfit }) {
		return nil
	}
	r.desperate, r.obstacles = true, nil
	return r.chain.Links
}

// fits reports whether a model has room for a request and an answer that is
// not cut short: a quarter of its context, or the longest it gives.
func (r *run) fits(link *Link, req *jobs.Request) bool {
	m := link.Model
	if m.Context == 0 {
		return true
	}
	output := int64(m.MaxOutput)
	if own := int64(req.MaxOutput); own > 0 {
		output = min(output, own)
	}
	reserve := max(min(output, int64(m.Context)/4), min(output, jobs.LeastAnswer))
	return link.Asker.Tokens(req)+reserve <= int64(m.Context)
}

// part is the batch's request about a part of the document, without what is
// demanded of the answer to the whole.
func (r *run) part(text, note string) *jobs.Request {
	req, err := r.task.Part(text)
	if err != nil || len(req.Messages) == 0 {
		return nil // which the whole document's would have been too
	}
	own := *req
	own.Schema, own.Messages = nil, slices.Clone(req.Messages)
	own.Messages[len(own.Messages)-1].Text += note
	return &own
}

// shorten asks about the document without its middle.
func (r *run) shorten(ctx context.Context, link *Link, stuck *obstacle) (*jobs.Answer, *obstacle) {
	request := func(text string) *jobs.Request {
		req := r.part(text, "")
		if req != nil {
			req.Schema = r.request.Schema
		}
		return req
	}
	short, ok := abridge(r.text(), func(text string) bool {
		req := request(text)
		return req != nil && r.fits(link, req)
	})
	if !ok {
		stuck.why += ", and no part of it does"
		return nil, stuck
	}
	answer, other := r.ask(ctx, link, step{request: request(short.text), examine: r.examine})
	if other != nil {
		return nil, other
	}
	r.abridged, r.overlong = short, stuck.clause()
	return answer, nil
}

func (r *run) text() string { return r.task.Job.Document.Text() }

// split cuts the document up for a model and asks about each piece.
func (r *run) split(ctx context.Context, link *Link, stuck *obstacle) (*jobs.Answer, *obstacle) {
	most := r.limits().Pieces
	texts, ok := cutUp(r.text(), most, func(text string) bool {
		req := r.part(text, r.nth(most, most))
		return req != nil && r.fits(link, req)
	})
	if !ok || len(texts) == 0 {
		stuck.why += fmt.Sprintf(", and it cannot be cut into %d pieces that do; guardrails.pieces allows no more", most)
		return nil, stuck
	}
	r.overlong = stuck.clause()
	at := 0
	for i, text := range texts {
		r.Pieces = append(r.Pieces, piece{First: i + 1, Last: i + 1, From: at, To: at + len(text)})
		at += len(text)
	}
	r.Cut = len(texts)
	return r.inPieces(ctx, link)
}

// nth tells a model what it reads.
func (r *run) nth(n, of int) string {
	return fmt.Sprintf("\n\nThe document above is part %d of %d of a longer one. Answer for this part alone. Where it does not say, say so: other parts may.", n, of)
}

// inPieces asks about the pieces that have no answer yet and combines the
// answers. Each is on record before the next is asked for.
func (r *run) inPieces(ctx context.Context, link *Link) (*jobs.Answer, *obstacle) {
	for i := range r.Pieces {
		p := &r.Pieces[i]
		if p.Done {
			continue
		}
		text := r.text()
		if p.To > len(text) {
			return nil, &obstacle{sort: hopeless, model: link.Model.Name, failure: jobs.Failf(jobs.Internal, "the pieces on record are not of this document")}
		}
		name := fmt.Sprintf("piece %d of %d", p.First, r.Cut)
		answer, stuck := r.ask(ctx, link, step{name: name, request: r.part(text[p.From:p.To], r.nth(p.First, r.Cut))})
		if stuck != nil {
			return nil, stuck
		}
		p.Answer, p.Done = answer.Text, true
		if stuck := r.keep(ctx); stuck != nil {
			return nil, stuck
		}
	}
	return r.combine(ctx, link)
}

// combine makes one answer of the pieces', a few at a time if they do not fit
// together.
func (r *run) combine(ctx context.Context, link *Link) (*jobs.Answer, *obstacle) {
	for {
		last := r.combining(r.Pieces)
		if r.fits(link, last) {
			last.Schema = r.request.Schema
			return r.ask(ctx, link, step{name: "combine", request: last, examine: r.examine})
		}
		from, to := r.group(link)
		if to-from < 2 {
			return nil, &obstacle{sort: unfit, model: link.Model.Name, why: "the answers to two of its pieces do not fit together"}
		}
		some := r.Pieces[from:to]
		first, end := some[0], some[len(some)-1]
		answer, stuck := r.ask(ctx, link, step{name: fmt.Sprintf("combine %d to %d", first.First, end.Last), request: r.combining(some)})
		if stuck != nil {
			return nil, stuck
		}
		one := piece{First: first.First, Last: end.Last, From: first.From, To: end.To, Done: true, Answer: answer.Text, Depth: some[0].Depth + 1}
		r.Pieces = slices.Replace(r.Pieces, from, to, one)
		if stuck := r.keep(ctx); stuck != nil {
			return nil, stuck
		}
	}
}

// group finds the pieces to combine next: the first neighbours among those
// combined least that fit together.
func (r *run) group(link *Link) (from, to int) {
	for depth := 0; ; depth++ {
		deeper := false
		for from := range r.Pieces {
			deeper = deeper || r.Pieces[from].Depth > depth
			to := from
			for to < len(r.Pieces) && r.Pieces[to].Depth <= depth && r.fits(link, r.combining(r.Pieces[from:to+1])) {
				to++
			}
			if to-from >= 2 && to-from < len(r.Pieces)+1 {
				return from, to
			}
		}
		if !deeper {
			return 0, 0
		}
	}
}

// DefaultCombine is how the answers to the pieces of a document are put
// together by a batch that does not say.
const DefaultCombine = "The document was too long to be read at once. It was read in parts, and the request above was answered for each part by itself; " +
	"the answers follow in the order of the document. Make one answer to the request of them, as if the whole document had been read: " +
	"leave nothing out that one of them found, say nothing twice, and add nothing. Quotations stay word for word."

// combining asks for one answer made of the pieces'.
func (r *run) combining(pieces []piece) *jobs.Request {
	how := r.task.Batch.Combine
	if strings.TrimSpace(how) == "" {
		how = DefaultCombine
	}
	var note strings.Builder
	note.WriteString("\n\n" + strings.TrimSpace(how))
	for _, p := range pieces {
		name := fmt.Sprintf("part-%d", p.First)
		for strings.Contains(p.Answer, "</"+name) {
			name += "-" // so that it cannot pretend to have ended
		}
		fmt.Fprintf(&note, "\n\n<%s>\n%s\n</%[1]s>", name, strings.TrimSpace(p.Answer))
	}
	return r.part("(The document is not repeated here.)", note.String())
}

// tellLength says of an answer what of the document it is about.
func (r *run) tellLength(o *jobs.Outcome) {
	why := r.overlong
	if why == "" {
		why = "the input is too long for a model"
	}
	switch {
	case r.Cut > 0:
		var cost jobs.USD
		for i := range r.attempts {
			if s := r.attempts[i].Step; strings.HasPrefix(s, "piece") || strings.HasPrefix(s, "combine") {
				cost += r.attempts[i].Cost
			}
		}
		o.Reason = join(o.Reason, fmt.Sprintf("read in %d pieces, whose answers were combined, for %v in all, because %s", r.Cut, cost, why))
	case r.abridged != nil:
		o.Degraded, o.Shortened = jobs.Partial, r.abridged.out
		o.Reason = join(o.Reason, fmt.Sprintf("the middle of the document, %s of its %s bytes (%d %%), was left out because %s",
			jobs.Grouped(int64(r.abridged.out)), jobs.Grouped(int64(r.abridged.of)), 100*r.abridged.out/max(1, r.abridged.of), why))
	}
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + "; " + b
}
