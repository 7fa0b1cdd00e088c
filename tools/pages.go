package tools

import (
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/drover-batch/drover/jobs"
)

// pages is a document as the tools see it.
type pages struct {
	doc   *jobs.Document
	pages []string
	size  int // characters
}

// pageSize is how long a page is, in bytes, of a document that has none of its
// own. It ends with a paragraph or a line where it can.
const pageSize = 3000

// paged splits a document at its form feeds, which is how readers mark pages,
// or else into pages of about the same size.
func paged(d *jobs.Document) *pages {
	text := strings.TrimRight(d.Text(), "\f\r\n")
	p := &pages{doc: d, size: utf8.RuneCountInString(text)}
	if strings.Contains(text, "\f") {
		p.pages = strings.Split(text, "\f")
		return p
	}
	for len(text) > pageSize {
		end := breakOf(text)
		p.pages = append(p.pages, text[:end])
		text = text[end:]
	}
	p.pages = append(p.pages, text)
	return p
}

// breakOf is where the first page of a text ends: in its last quarter, if
// there is a paragraph, a line or a word that does.
func breakOf(text string) int {
	end := pageSize
	for !utf8.RuneStart(text[end]) {
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

// folded is a text in small letters with each stretch of white space as one
// space, and where each byte of it stands in the original.
type folded struct {
	text  string
	place []int
}

func fold(page string) folded {
	var b strings.Builder
	place := make([]int, 0, len(page)+1)
	space := true
	for i, r := range page {
		if unicode.IsSpace(r) {
			if !space {
				b.WriteByte(' ')
				place = append(place, i)
			}
			space = true
			continue
		}
		space = false
		before := b.Len()
		b.WriteRune(unicode.ToLower(r))
		for range b.Len() - before {
			place = append(place, i)
		}
	}
	return folded{b.String(), append(place, len(page))}
}

// surroundings is a stretch of the folded text with what stands around it in
// the original, on one line.
func (f folded) surroundings(page string, from, to int) string {
	start, end := max(0, f.place[from]-around), min(len(page), f.place[to]+around)
	for start > 0 && !utf8.RuneStart(page[start]) {
		start--
	}
	for end < len(page) && !utf8.RuneStart(page[end]) {
		end++
	}
	return strings.Join(strings.Fields(page[start:end]), " ")
}
