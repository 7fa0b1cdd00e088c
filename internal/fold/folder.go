package fold

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// folder goes through a text once.
type folder struct {
	*Text
	blank, line bool // white space is pending, and has a line break in it
	dash        int  // where the hyphens began that are pending, plus one
	soft        bool // the pending hyphen is a soft one
	blankAt     int
	previous    rune
}

func (f *folder) run() *Text {
	f.text = make([]byte, 0, len(f.source))
	for i := 0; i < len(f.source); {
		if f.source[i] == '\f' { // whose number is no part of the text
			f.rune('\f', i)
			i += len(PageMark.FindString(f.source[i:min(i+24, len(f.source))]))
			continue
		}
		if end := f.ordinaryUntil(i); end > i {
			f.settle(rune(f.source[i]))
			f.copy(i, end)
			i = end
			continue
		}
		end := f.segmentEnd(i)
		f.segment(i, end)
		i = end
	}
	f.settle(0)
	return f.Text
}

// ordinaryUntil is where characters end that nothing is to be decided about.
func (f *folder) ordinaryUntil(from int) int {
	to := from
	for to < len(f.source) && ordinary(f.source[to]) {
		to++
	}
	if to > from && !plainASCII(f.source, to-1) {
		to--
	}
	return to
}

// segment folds what cannot be taken apart: a letter with its accents.
func (f *folder) segment(from, to int) {
	if to == from+1 && f.source[from] < utf8.RuneSelf {
		f.rune(rune(f.source[from]), from)
		return
	}
	at := from
	for _, r := range f.composed(f.source[from:to]) {
		f.rune(r, at)
		if r == utf8.RuneError || len(f.source[at:to]) <= utf8.RuneLen(r) {
			continue
		}
		at += same(f.source[at:to], r)
	}
}

// composed puts accents on their letters. Some fit on the small letter only:
// ǰ is one character, its capital two.
func (f *folder) composed(segment string) string {
	letters := norm.NFC.String(segment)
	if _, n := utf8.DecodeRuneInString(letters); !f.small || n == len(letters) {
		return letters
	}
	return norm.NFC.String(strings.ToLower(letters))
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
	kind := plain
	switch {
	case f.line:
		kind = broken
	case blank:
		kind = spaced
	}
	soft, line := f.soft, f.line
	f.dash, f.blank, f.line, f.soft = 0, false, false, false
	switch {
	case dash > 0 && soft && !line: // shown only where a line ends
	case dash > 0 && wordy(f.previous) && wordy(next):
		f.joins = append(f.joins, join{len(f.text), kind, unicode.IsLetter(f.previous) && unicode.IsLower(next)})
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
	f.emit(plainMark(r), from)
}

// emit adds a character to the text. A small letter may be longer or shorter
// than its capital, which changes the distance to the source as anything does.
func (f *folder) emit(r rune, from int) {
	if r == '-' || r == ' ' {
		f.previous = r
	}
	f.mark(from)
	if f.small {
		r = unicode.ToLower(r)
	}
	f.text = utf8.AppendRune(f.text, r)
}

// copy adds ordinary characters to the text.
func (f *folder) copy(from, to int) {
	f.mark(from)
	begin := len(f.text)
	f.text = append(f.text, f.source[from:to]...)
	f.previous = rune(f.source[to-1])
	for i, b := range f.text[begin:] {
		if f.small && b >= 'A' && b <= 'Z' {
			f.text[begin+i] = b + 'a' - 'A'
		}
	}
}

// mark notes where in the source the next character of the text comes from, if
// it does not follow on.
func (f *folder) mark(from int) {
	if n := len(f.places); n == 0 || from-len(f.text) != f.places[n-1].source-f.places[n-1].text {
		f.places = append(f.places, place{len(f.text), from})
	}
}
