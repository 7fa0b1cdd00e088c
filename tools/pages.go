package tools

import (
	"maps"
	"slices"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/drover-batch/drover/jobs"
)

// pages is a document as the tools see it.
type pages struct {
	doc    *jobs.Document
	text   string // all of it
	pages  []string
	starts []int // where in the text they do
	size   int   // characters
}

// pageSize is how long a page is, in bytes, of a document that has none of its
// own. It ends with a paragraph or a line where it can.
const pageSize = 3000

// paged splits a document at its form feeds, which is how readers mark pages,
// or else, if there are none or a page is longer than what can be read at once,
// into pages of about the same size.
func paged(d *jobs.Document) *pages {
	text := strings.TrimRight(d.Text(), "\f\r\n")
	p := &pages{doc: d, text: text, size: utf8.RuneCountInString(text)}
	at, longest := 0, 0
	for page := range strings.SplitSeq(text, "\f") {
		p.add(page, at)
		at += len(page) + len("\f")
		longest = max(longest, len(page))
	}
	if len(p.pages) > 1 && longest <= ownSize-heading {
		return p
	}
	p.pages, p.starts, at = nil, nil, 0
	for len(text)-at > pageSize {
		end := at + breakOf(text[at:])
		p.add(text[at:end], at)
		at = end
	}
	p.add(text[at:], at)
	return p
}

func (p *pages) add(page string, start int) {
	p.pages, p.starts = append(p.pages, page), append(p.starts, start)
}

// breakOf is where the first page of a text ends: in its last quarter, if
// there is a paragraph, a line or a word that does.
func breakOf(text string) int {
	end := pageSize
	for end > pageSize-utf8.UTFMax && !utf8.RuneStart(text[end]) { // if it is UTF-8
		end--
	}
	least := pageSize * 3 / 4
	for _, mark := range []string{"\n\n", "\n", " "} {
		if i := strings.LastIndex(text[least:end], mark); i >= 0 {
			return least + i + len(mark)
		}
	}
	return end
}

func (p *pages) fields() string {
	return clip(strings.Join(slices.Sorted(maps.Keys(p.doc.Fields)), ", "))
}

// isHeading reports whether a line is one: of Markdown, numbered, or all in
// capitals.
func isHeading(line string) bool {
	line = strings.TrimSpace(line)
	if rest := strings.TrimLeft(line, "#"); rest != line {
		return len(line)-len(rest) <= 6 && strings.HasPrefix(rest, " ")
	}
	if len(line) > 80 || strings.HasSuffix(line, ".") || strings.HasSuffix(line, ",") || strings.HasSuffix(line, ";") {
		return false
	}
	if number := strings.TrimLeft(line, "0123456789."); number != line && line[0] != '.' {
		first, _ := utf8.DecodeRuneInString(strings.TrimSpace(number))
		return strings.HasPrefix(number, " ") && unicode.IsUpper(first)
	}
	letters := 0
	for _, r := range line {
		if unicode.IsLower(r) {
			return false
		}
		if unicode.IsLetter(r) {
			letters++
		}
	}
	return letters >= 4
}

func firstLine(page string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(page), "\n")
	return line
}

// at is the index of the page that a byte of the text is on.
func (p *pages) at(offset int) int {
	return sort.Search(len(p.starts), func(i int) bool { return p.starts[i] > offset }) - 1
}

// surroundings is a stretch of the text with what stands around it on its
// pages, on one line.
func (p *pages) surroundings(from, to int) string {
	first, last := p.at(from), p.at(to-1)
	start, end := max(p.starts[first], from-around), min(p.starts[last]+len(p.pages[last]), to+around)
	for start > 0 && !utf8.RuneStart(p.text[start]) {
		start--
	}
	for end < len(p.text) && !utf8.RuneStart(p.text[end]) {
		end++
	}
	return strings.Join(strings.Fields(p.text[start:end]), " ")
}
