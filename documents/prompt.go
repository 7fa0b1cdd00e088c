package documents

import (
	"errors"
	"fmt"
	"strings"

	"github.com/drover-batch/drover/jobs"
)

// DefaultPrompt is what a batch asks that does not say.
const DefaultPrompt = "Summarise this document in one sentence. " +
	"If it names parties, name them in a second sentence."

// Prompt is a template over a document. It may be used by several goroutines.
//
//	{{.Text}}               the document's text
//	{{.Source}}             where it came from: contracts/a.txt, invoices.csv:12
//	{{.Name}}               the last part of that: a.txt
//	{{.vendor}}             a column of its row, a member of its line
//	{{field "Due date"}}    the same for any name
//	{{if .vendor}} {{else}} {{end}}, with not, and, or, eq, ne
//
// A field that is called Text, Source or Name is what these mean.
// A prompt that does not mention the text has the document appended, between
// marks that its text does not contain. A field that the document lacks is an
// error, unless the prompt asks for it with if. There are no loops, so that a
// prompt is never much longer than its documents.
type Prompt struct {
	user, system *part
	appendText   bool
	tell         bool // say that the document is there to be read
}

// ParsePrompt reads a prompt and a system prompt, which may be empty. An empty
// prompt is DefaultPrompt. Errors name the line and column.
func ParsePrompt(prompt, system string) (*Prompt, error) {
	if strings.TrimSpace(prompt) == "" {
		prompt = DefaultPrompt
	}
	p := &Prompt{}
	var errUser, errSystem error
	p.user, errUser = parsePart("prompt", prompt)
	p.system, errSystem = parsePart("system prompt", system)
	if err := errors.Join(errUser, errSystem); err != nil {
		return nil, err
	}
	p.appendText = !p.user.mentionsText() && !p.system.mentionsText()
	return p, nil
}

// WithoutText is the same prompt for a model that reads the document by itself,
// with tools: its text is not appended, only said to be there.
func (p *Prompt) WithoutText() *Prompt {
	read := *p
	read.appendText, read.tell = false, p.appendText
	return &read
}

// Check reports, as a *jobs.Failure, what the prompt asks for that the
// document does not have. A ready request needs no prompt.
func (p *Prompt) Check(d *jobs.Document) error {
	if d.Ready() {
		return nil
	}
	for _, part := range []*part{p.user, p.system} {
		for _, use := range part.uses {
			if use.ofText() {
				continue // and it need not be copied
			}
			if _, has := value(d, use.name); !has && !part.optional[use.name] {
				return jobs.Failf(jobs.InvalidRequest, "%s, %s: %s has no field %q; it has %s",
					part.what, part.at(use.node), d.Source, use.name, known(d))
			}
		}
	}
	return nil
}

// Render makes the request that asks about the document. A ready request
// passes through untouched, an image goes along behind the text. Errors as for
// Check.
func (p *Prompt) Render(d *jobs.Document) (*jobs.Request, error) {
	if d.Ready() {
		return &jobs.Request{Endpoint: d.Endpoint, Body: d.Body}, nil
	}
	if err := p.Check(d); err != nil {
		return nil, err
	}
	system, err := p.system.render(d)
	if err != nil {
		return nil, err
	}
	user, err := p.user.render(d)
	if err != nil {
		return nil, err
	}
	message := jobs.Message{Role: jobs.User, Text: user}
	switch {
	case d.Type != "":
		message.Images = []jobs.Image{{Type: d.Type, Data: d.Body}}
	case p.appendText:
		message.Text = strings.TrimRight(user, " \t\r\n") + "\n\n" + marked(paged(d.Text()))
	}
	if p.tell {
		message.Text = strings.TrimRight(user, " \t\r\n") + "\n\nThe document is not shown here: read it with the tools whose names begin with doc_."
	}
	return &jobs.Request{System: system, Messages: []jobs.Message{message}}, nil
}

// pageBreak stands between the pages of a document's text.
const pageBreak = "\f"

// mostPages is more than a document has whose pages mean anything: each takes a
// line.
const mostPages = 100_000

// paged writes the breaks between a document's pages as lines that a model can
// cite: [page 2]. To whoever looks for a quote in the document itself, where it
// may cross a page, a break is but white space.
func paged(text string) string {
	if n := strings.Count(text, pageBreak); n == 0 || n > mostPages {
		return text
	}
	var b strings.Builder
	for i, page := range strings.Split(text, pageBreak) {
		if i > 0 && !strings.HasSuffix(b.String(), "\n") {
			b.WriteByte('\n')
		}
		fmt.Fprintf(&b, "[page %d]\n%s", i+1, page)
	}
	return b.String()
}

// marked puts the text between marks that it does not contain itself, so that
// it cannot pretend to have ended.
func marked(text string) string {
	mark := "document"
	for n := 2; strings.Contains(text, "<"+mark+">") || strings.Contains(text, "</"+mark+">"); n++ {
		mark = fmt.Sprintf("document-%d", n)
	}
	return "<" + mark + ">\n" + strings.TrimRight(text, "\r\n") + "\n</" + mark + ">"
}
