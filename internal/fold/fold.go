// Package fold finds in a text what another says in the same words, however
// either is set.
//
// A text is folded once: white space is one blank, quotation marks and dashes
// are the plain ones, ligatures their letters, accents are on their letters,
// and what is not to be seen is left out. What is looked for is folded the
// same way and found by its letters alone, never by likeness:
//
//	text := fold.Of(document)
//	place, found := text.Find(text.Phrase("the agreement ends"))
//
// A hyphen between letters or digits is compared as what it may be: whether
// "agree-" at the end of a line is the beginning of "agreement" or of
// "agree-ment" only the comparison can tell. Upper and lower case differ in a
// text that was folded by [Of], and do not in one folded by [Small].
//
// Places are told in bytes of the source, on whole characters. A folded text
// may be used from any goroutine.
package fold

import (
	"regexp"
	"sort"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// PageMark begins a page in a document's text, with its number in the first
// group, if there is one: "\f[page 3]\n". It is no part of what the text says.
var PageMark = regexp.MustCompile(`\f(?:\[page (\d{1,9})\]\r?\n)?`)

// Text is a text as it counts for comparing.
type Text struct {
	source string
	small  bool // it is in small letters
	text   []byte
	joins  []join
	places []place // where the distance to the source changes
}

// Of folds a text.
func Of(source string) *Text { return (&folder{Text: &Text{source: source}}).run() }

// Small folds a text into small letters, so that case makes no difference.
func Small(source string) *Text { return (&folder{Text: &Text{source: source, small: true}}).run() }

// Span is a stretch of a text, in bytes.
type Span struct{ From, To int }

// At is what the source says at a place.
func (t *Text) At(place Span) string { return t.source[place.From:place.To] }

// place says where a byte of the text came from; those behind it follow on.
type place struct{ text, source int }

// join is a hyphen left out before a byte of the text.
type join struct {
	at     int
	kind   hyphen
	letter bool // between a letter and a small letter, as in a divided word
}

type hyphen int

const (
	plain  hyphen = iota + 1 // well-known
	spaced                   // pre- and post-war
	broken                   // at the end of a line or page
)

// dividesWord reports whether the hyphen may be there only because the line
// ends.
func (j join) dividesWord() bool { return j.kind == broken && j.letter }

// joined reports whether a hyphen was left out before a byte of the text.
func (t *Text) joined(at int) bool {
	i := sort.Search(len(t.joins), func(i int) bool { return t.joins[i].at >= at })
	return i < len(t.joins) && t.joins[i].at == at
}

// origin is where in the source a stretch of the text came from.
func (t *Text) origin(s Span) Span {
	_, n := utf8.DecodeLastRune(t.text[:s.To])
	return Span{t.start(s.From), t.segmentEnd(t.start(s.To - n))}
}

// segmentEnd is where in the source a character ends, with its accents.
func (t *Text) segmentEnd(from int) int {
	if plainASCII(t.source, from) {
		return from + 1
	}
	return from + norm.NFC.NextBoundaryInString(t.source[from:], true)
}

// start is the byte of the source that a character of the text came from.
func (t *Text) start(at int) int {
	i := sort.Search(len(t.places), func(i int) bool { return t.places[i].text > at }) - 1
	return t.places[i].source + at - t.places[i].text
}
