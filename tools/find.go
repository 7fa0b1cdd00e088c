package tools

import (
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"
)

// folded is a text as it counts for searching, which is much as it counts for
// quotes: in small letters, each stretch of white space one blank, a page
// break or not.
//
// A hyphen between letters or digits is left out and stands in joins: whether
// "agree-" at the end of a line is the beginning of "agreement" or of
// "agree-ment" only the comparison can tell.
type folded struct {
	source string
	text   string
	joins  []join
	places []spot // where the distance to the source changes
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
	broken                   // at the end of a line or page
)

// dividesWord reports whether the hyphen may be there only because the line
// ends.
func (j join) dividesWord() bool { return j.sort == broken && j.letter }

func fold(source string) *folded {
	f := &folder{folded: &folded{source: source}, dash: -1, blank: -1}
	f.out.Grow(len(source))
	for i, r := range source {
		f.take(r, i)
	}
	f.settle(0)
	f.text = f.out.String()
	return f.folded
}

// folder goes through a text once.
type folder struct {
	*folded
	out      strings.Builder
	previous rune
	dash     int  // where the hyphen is that is pending, or -1
	blank    int  // where the white space begins that is pending, or -1
	line     bool // which has a line break in it
}

func (f *folder) take(r rune, from int) {
	switch {
	case unicode.IsSpace(r):
		if f.blank < 0 {
			f.blank = from
		}
		f.line = f.line || strings.ContainsRune("\n\r\f\v\u0085\u2028\u2029", r)
	case r == '-' || r == '\u2010' || r == '\u2011':
		f.settle(0)
		f.dash = from
	default:
		f.settle(r)
		f.emit(unicode.ToLower(r), from)
		f.previous = r
	}
}

// settle decides about the hyphen and the white space before a character; 0
// stands for one that is no letter.
func (f *folder) settle(next rune) {
	dash, blank, line := f.dash, f.blank, f.line
	f.dash, f.blank, f.line = -1, -1, false
	if dash >= 0 && wordy(f.previous) && wordy(next) {
		sort := plain
		switch {
		case line:
			sort = broken
		case blank >= 0:
			sort = spaced
		}
		f.joins = append(f.joins, join{f.out.Len(), sort, unicode.IsLetter(f.previous) && unicode.IsLower(next)})
		return
	}
	if dash >= 0 {
		f.emit('-', dash)
		f.previous = '-'
	}
	if blank >= 0 && !(undivided(f.previous) && undivided(next)) {
		f.emit(' ', blank)
		f.previous = ' '
	}
}

func (f *folder) emit(r rune, from int) {
	at := f.out.Len()
	if n := len(f.places); n == 0 || from-at != f.places[n-1].source-f.places[n-1].text {
		f.places = append(f.places, spot{at, from})
	}
	f.out.WriteRune(r)
}

func wordy(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// undivided reports whether words of its script are written without blanks, so
// that a line may break anywhere.
func undivided(r rune) bool {
	return unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana)
}

// origin is the byte of the source that a character of the text came from.
func (f *folded) origin(at int) int {
	i := sort.Search(len(f.places), func(i int) bool { return f.places[i].text > at }) - 1
	return f.places[i].source + at - f.places[i].text
}

// span is where a stretch of the text stands in the source.
func (f *folded) span(from, to int) (start, end int) {
	_, n := utf8.DecodeLastRuneInString(f.text[:to])
	last := f.origin(to - n)
	_, n = utf8.DecodeRuneInString(f.source[last:])
	return f.origin(from), last + n
}

// phrase is what is looked for. Its ends may be hyphens that are left out in
// the text.
type phrase struct {
	*folded
	head, tail bool
}

func newPhrase(text string) phrase {
	p := phrase{folded: fold(strings.TrimSpace(text))}
	if rest, ok := strings.CutSuffix(p.text, "-"); ok && rest != "" {
		last, _ := utf8.DecodeLastRuneInString(rest)
		if p.tail = wordy(last); p.tail {
			p.text = rest
		}
	}
	if rest, ok := strings.CutPrefix(p.text, "-"); ok && rest != "" {
		first, _ := utf8.DecodeRuneInString(rest)
		if p.head = wordy(first); p.head {
			p.text = rest
			for i := range p.joins {
				p.joins[i].at--
			}
		}
	}
	return p
}

// next is where a phrase stands from a byte of the text on, or -1.
func (f *folded) next(p phrase, from int) int {
	for {
		i := strings.Index(f.text[from:], p.text)
		if i < 0 {
			return -1
		}
		if from += i; f.agrees(p, from) {
			return from
		}
		from++
	}
}

// agrees reports whether the hyphens that were left out are the same, where
// the letters of a phrase were found.
func (f *folded) agrees(p phrase, at int) bool {
	end := at + len(p.text)
	if p.head && !f.hyphened(at, at-1) || p.tail && !f.hyphened(end, end) {
		return false
	}
	ours := f.joins[sort.Search(len(f.joins), func(i int) bool { return f.joins[i].at > at }):]
	theirs := p.joins
	for {
		hasOurs, hasTheirs := len(ours) > 0 && ours[0].at < end, len(theirs) > 0
		switch {
		case !hasOurs && !hasTheirs:
			return true
		case hasOurs && (!hasTheirs || ours[0].at < at+theirs[0].at):
			if !ours[0].dividesWord() {
				return false
			}
			ours = ours[1:]
		case !hasOurs || at+theirs[0].at < ours[0].at:
			if !theirs[0].dividesWord() {
				return false
			}
			theirs = theirs[1:]
		default:
			if x, y := ours[0].sort, theirs[0].sort; x != y && x != broken && y != broken {
				return false
			}
			ours, theirs = ours[1:], theirs[1:]
		}
	}
}

// hyphened reports whether a hyphen was left out before a byte of the text, or
// stands at another.
func (f *folded) hyphened(at, or int) bool {
	if or >= 0 && or < len(f.text) && f.text[or] == '-' {
		return true
	}
	i := sort.Search(len(f.joins), func(i int) bool { return f.joins[i].at >= at })
	return i < len(f.joins) && f.joins[i].at == at
}
