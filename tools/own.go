package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/drover-batch/drover/internal/fold"
	"github.com/drover-batch/drover/jobs"
)

// own are the tools over the job's own document. They see nothing else.
var own = map[string]struct {
	about, schema string
	run           func(doc *pages, arguments json.RawMessage) (string, error)
}{
	"outline": {
		"Lists the headings of the document with their pages, and how many pages and characters it has.",
		`{"type":"object","properties":{},"additionalProperties":false}`,
		outline,
	},
	"read": {
		"Reads pages of the document, from one page to another, both included. Without a range: the first page.",
		`{"type":"object","properties":{"from":{"type":"integer","minimum":1},"to":{"type":"integer","minimum":1}},"additionalProperties":false}`,
		read,
	},
	"search": {
		"Finds where the document says a text, whatever its case, white space, quotation marks and line or page breaks, with the page it begins on and its surroundings.",
		`{"type":"object","properties":{"text":{"type":"string","minLength":1}},"required":["text"],"additionalProperties":false}`,
		search,
	},
}

// ownTools are those that an entry of an allow-list means, by path.
func ownTools(wanted string) map[string]*tool {
	found := map[string]*tool{}
	for name, o := range own {
		if wanted != "*" && wanted != name {
			continue
		}
		found[jobs.DocumentTools+"."+name] = &tool{
			Tool: jobs.Tool{Description: o.about, Schema: []byte(o.schema)}, size: ownSize,
			run: func(_ context.Context, d *jobs.Document, arguments json.RawMessage) (string, error) {
				if d.Type != "" {
					return "", fmt.Errorf("the document is a picture (%s), not text", d.Type)
				}
				return o.run(paged(d), arguments)
			},
		}
	}
	return found
}

const mostHeadings = 300

func outline(doc *pages, _ json.RawMessage) (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %s\n", jobs.Counted(len(doc.pages), "page"), jobs.Counted(doc.size, "character"))
	if list := doc.fields(); list != "" {
		fmt.Fprintf(&b, "fields: %s\n", list)
	}
	n := 0
	for i, page := range doc.pages {
		for line := range strings.Lines(page) {
			if !isHeading(line) {
				continue
			}
			if n++; n > mostHeadings {
				return b.String() + "[further headings left out]\n", nil
			}
			fmt.Fprintf(&b, "page %d: %s\n", i+1, clip(strings.TrimSpace(line)))
		}
	}
	if n > 0 {
		return b.String(), nil
	}
	for i, page := range doc.pages { // of plain text: how its pages begin
		if i == mostHeadings {
			break
		}
		fmt.Fprintf(&b, "page %d begins: %s\n", i+1, clip(firstLine(page)))
	}
	return b.String(), nil
}

// heading is at most what is written around a page.
const heading = 100

func read(doc *pages, arguments json.RawMessage) (string, error) {
	var a struct{ From, To *int }
	if err := json.Unmarshal(arguments, &a); err != nil {
		return "", errors.New("from and to are page numbers such as 3")
	}
	from := 1
	if a.From != nil {
		from = *a.From
	}
	to := from
	if a.To != nil {
		to = *a.To
	}
	last := len(doc.pages)
	switch {
	case from < 1 || from > last:
		return "", fmt.Errorf("there is no page %d: the document has pages 1 to %d", from, last)
	case to < from:
		return "", fmt.Errorf("from %d to %d is no range of pages", from, to)
	}
	to = min(to, last)
	var b strings.Builder
	for i := from; i <= to; i++ {
		page := fmt.Sprintf("[page %d of %d]\n%s\n", i, last, strings.TrimRight(doc.pages[i-1], "\n"))
		if i > from && b.Len()+len(page) > ownSize-heading {
			fmt.Fprintf(&b, "[pages %d to %d left out: read them by themselves]\n", i, to)
			break
		}
		b.WriteString(page)
	}
	return b.String(), nil
}

const (
	mostHits = 20
	around   = 120 // characters before and behind a hit
)

func search(doc *pages, arguments json.RawMessage) (string, error) {
	var a struct{ Text string }
	if err := json.Unmarshal(arguments, &a); err != nil {
		return "", errors.New("text is what to look for")
	}
	text := fold.Small(doc.text)
	wanted := text.Phrase(a.Text)
	if wanted.Empty() {
		return "", errors.New("text is empty")
	}
	var b strings.Builder
	hits := 0
	for hit := range text.All(wanted) {
		if hits++; hits <= mostHits {
			fmt.Fprintf(&b, "page %d: %s\n", doc.at(hit.From)+1, doc.surroundings(hit.From, hit.To))
		}
	}
	switch {
	case hits == 0:
		return fmt.Sprintf("the document does not say %q", clip(a.Text)), nil
	case hits > mostHits:
		fmt.Fprintf(&b, "[%d further places left out]\n", hits-mostHits)
	}
	return b.String(), nil
}
