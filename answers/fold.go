package answers

import (
	"bytes"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// folded is a text as it counts for comparing: white space is one blank,
// quotation marks and dashes are the plain ones, ligatures their letters,
// accents are on their letters, and what is not to be seen is left out.
//
// A hyphen between letters or digits is left out as well and stands in joins:
// whether "agree-" at the end of a line is the beginning of "agreement" or of
// "agree-ment" only the comparison can tell.
type folded struct {
	source string
	text   []byte
	joins  []join
	places []spot // where the distance to the source changes

	head, tail bool // it began or ended with such a hyphen
}

// spot says where a byte of the text came from; those behind it follow on.
type spot struct{ text, source int }

// join is a hyphen left out before a byte of the text.
type join struct {
	at     int
	sort   hyphen
	letter bool // between a letter and a small letter, as in a divided word
}

type hyphen int

const (
	plain  hyphen = iota + 1 // well-known
	spaced                   // pre- and post-war
	broken                   // at the end of a line
)

// fold folds a document.
func fold(source string) *folded {
	f := &folded{source: source, text: make([]byte, 0, len(source))}
	(&folder{folded: f}).run()
	return f
}

// foldQuote folds what should be a part of a document. Its ends may be hyphens
// that are left out in the document.
func foldQuote(source string) *folded {
	f := fold(source)
	f.text = bytes.TrimRight(f.text, " ")
	if n := len(f.text); n > 1 && f.text[n-1] == '-' && wordy(last(f.text[:n-1])) {
		f.text, f.tail = f.text[:n-1], true
	}
	if n := len(f.text); n > 1 && f.text[0] == '-' && wordy(first(f.text[1:])) {
		f.head = true
		f.shift(1)
	}
	return f
}

// shift takes n bytes off the beginning. A quote's places are not needed.
func (f *folded) shift(n int) {
	f.text = f.text[n:]
	for i := range f.joins {
		f.joins[i].at -= n
	}
}

func first(b []byte) rune { r, _ := utf8.DecodeRune(b); return r }
func last(b []byte) rune  { r, _ := utf8.DecodeLastRune(b); return r }

func wordy(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// folder goes through a text once.
type folder struct {
	*folded
	blank, line bool // white space is pending, and has a line break in it
	dash        int  // where the hyphens began that are pending, plus one
	soft        bool // the pending hyphen is a soft one
	blankAt     int
	previous    rune
}

func (f *folder) run() {
	for i := 0; i < len(f.source); {
		if f.source[i] == '\f' { // whose number is no part of the text
			f.rune('\f', i)
			i += len(pageMark.FindString(f.source[i:min(i+24, len(f.source))]))
			continue
		}
		end := i + 1
		if !plainASCII(f.source, i) {
			end = i + norm.NFC.NextBoundaryInString(f.source[i:], true)
		}
		f.segment(i, end)
		i = end
	}
	f.settle(0)
}

// plainASCII reports whether a byte stands alone: no accent follows it.
func plainASCII(s string, i int) bool {
	return s[i] < utf8.RuneSelf && (i+1 == len(s) || s[i+1] < utf8.RuneSelf)
}

// segment folds what cannot be taken apart: a letter with its accents.
func (f *folder) segment(from, to int) {
	if to == from+1 && f.source[from] < utf8.RuneSelf {
		if r := rune(f.source[from]); f.dash == 0 && !f.blank && ordinary(r) {
			f.previous = r
			f.emit(r, from)
		} else {
			f.rune(r, from)
		}
		return
	}
	at := from
	for _, r := range norm.NFC.String(f.source[from:to]) {
		f.rune(r, at)
		if r == utf8.RuneError || len(f.source[at:to]) <= utf8.RuneLen(r) {
			continue
		}
		at += same(f.source[at:to], r)
	}
}

// ordinary reports whether nothing about a character is folded.
func ordinary(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// same is how long r is at the beginning of s, 0 if it does not stand there.
func same(s string, r rune) int {
	if have, n := utf8.DecodeRuneInString(s); have == r {
		return n
	}
	return 0
}

// rune takes the next character, which came from a byte of the source.
func (f *folder) rune(r rune, from int) {
	switch {
	case unicode.IsSpace(r):
		if !f.blank && f.dash == 0 {
			f.blankAt = from
		}
		f.blank = true
		f.line = f.line || strings.ContainsRune("\n\r\f\v\u0085\u2028\u2029", r)
	case r == '\u00ad':
		if f.dash == 0 && !f.blank {
			f.dash, f.soft = from+1, true
		}
	case unseen(r):
	case isHyphen(r):
		if f.blank || f.dash > 0 && f.soft {
			f.settle(0)
		}
		if f.dash == 0 {
			f.dash = from + 1
		}
	default:
		f.settle(r)
		f.put(r, from)
	}
}

// settle decides about the hyphens and the white space before a character; 0
// is the end.
func (f *folder) settle(next rune) {
	dash, blank := f.dash, f.blank
	sort := plain
	switch {
	case f.line:
		sort = broken
	case blank:
		sort = spaced
	}
	soft, line := f.soft, f.line
	f.dash, f.blank, f.line, f.soft = 0, false, false, false
	between := wordy(f.previous) && wordy(next)
	switch {
	case dash > 0 && soft && !line: // shown only where a line ends
	case dash > 0 && between:
		f.joins = append(f.joins, join{len(f.text), sort, unicode.IsLetter(f.previous) && unicode.IsLower(next)})
		return
	case dash > 0:
		f.emit('-', dash-1)
	}
	if !blank || len(f.text) == 0 || next != 0 && undivided(f.previous) && undivided(next) {
		return
	}
	at := f.blankAt
	if dash > 0 {
		at = dash - 1
	}
	f.emit(' ', at)
}

func (f *folder) put(r rune, from int) {
	f.previous = r
	if r < utf8.RuneSelf && r != '`' {
		f.emit(r, from)
		return
	}
	if letters, ok := ligatures[r]; ok {
		for _, l := range letters {
			f.emit(l, from)
		}
		return
	}
	switch {
	case strings.ContainsRune("‘’‚‛′`´ʼ", r):
		r = '\''
	case strings.ContainsRune("“”„‟″«»‹›＂", r):
		r = '"'
	}
	f.emit(r, from)
}

func (f *folder) emit(r rune, from int) {
	if r == '-' || r == ' ' {
		f.previous = r
	}
	if n := len(f.places); n == 0 || from-len(f.text) != f.places[n-1].source-f.places[n-1].text {
		f.places = append(f.places, spot{len(f.text), from})
	}
	f.text = utf8.AppendRune(f.text, r)
}

// origin is the byte of the source that a byte of the text came from.
func (f *folded) origin(at int) int {
	i := sort.Search(len(f.places), func(i int) bool { return f.places[i].text > at }) - 1
	return f.places[i].source + at - f.places[i].text
}

// end is where the character ends, in the source, that a byte of the text came
// from.
func (f *folded) end(at int) int {
	from := f.origin(at)
	if plainASCII(f.source, from) {
		return from + 1
	}
	return from + norm.NFC.NextBoundaryInString(f.source[from:], true)
}

var ligatures = map[rune]string{
	'ﬀ': "ff", 'ﬁ': "fi", 'ﬂ': "fl", 'ﬃ': "ffi", 'ﬄ': "ffl", 'ﬅ': "st", 'ﬆ': "st", '…': "...",
}

func isHyphen(r rune) bool {
	switch r {
	case '-', '‐', '‑', '‒', '–', '—', '―', '−', '﹣', '－':
		return true
	}
	return false
}

func unseen(r rune) bool {
	switch r {
	case '\u200b', '\u200c', '\u200d', '\u2060', '\ufeff', '\u200e', '\u200f':
		return true
	}
	return false
}

// undivided reports whether words of its script are written without blanks, so
// that a line may break anywhere.
func undivided(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana)
}
