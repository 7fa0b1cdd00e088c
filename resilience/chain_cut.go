package resilience

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/drover-batch/drover/jobs"
)

// pageMark begins a page in a document's text, or stands between two.
const pageMark = "\f"

// cutUp cuts a text into pieces that fit, each as long as it can be that ends
// with a page, a paragraph, a line, a sentence or at least a word. Together
// they are the text. ok is false if that takes more than most pieces, or if
// nothing fits.
func cutUp(text string, most int, fits func(string) bool) (pieces []string, ok bool) {
	for near := len(text); len(text) > 0; {
		if len(pieces) == most {
			return nil, false
		}
		n := longest(text, near, fits)
		if n == 0 {
			return nil, false
		}
		pieces, text = append(pieces, text[:n]), text[n:]
		near = 2 * n // pieces are much alike
	}
	return pieces, true
}

// exact is how near to the longest piece is near enough: a part of its length.
const exact = 32

// longest is the length of the longest beginning of a text, of near bytes at
// the most, that fits and ends well; 0 if none does.
func longest(text string, near int, fits func(string) bool) int {
	if len(text) <= near && fits(text) {
		return len(text)
	}
	fit, over := 0, min(near, len(text))+1
	for over-fit > max(1, over/exact) {
		n := fit + (over-fit)/2
		end := border(text, n)
		switch {
		case end > fit && fits(text[:end]):
			fit = max(end, n)
			if end < n && !fits(text[:n]) {
				return end
			}
		default:
			over = n
		}
	}
	if fit = border(text, fit); fit > 0 && fits(text[:fit]) {
		return fit
	}
	if end := border(text, 1); fits(text[:end]) {
		return end
	}
	return 0
}

// border is where to cut a text of which at most n bytes are wanted. It may be
// beyond that only if the first character is.
func border(text string, n int) int {
	if n >= len(text) {
		return len(text)
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	if n == 0 {
		_, n = utf8.DecodeRuneInString(text)
		return n
	}
	if i := strings.LastIndex(text[n/2:n], pageMark); n/2+i > 0 && i >= 0 {
		return n/2 + i
	}
	for _, end := range []struct {
		mark  string
		after int // a mark that is earlier leaves the piece too short
	}{
		{"\n\n", n / 2}, {"\n", n * 3 / 4}, {". ", n * 3 / 4},
	} {
		if i := strings.LastIndex(text[end.after:n], end.mark); i >= 0 {
			return end.after + i + len(end.mark)
		}
	}
	if i := strings.LastIndexFunc(text[:n], unicode.IsSpace); i > n/2 {
		_, size := utf8.DecodeRuneInString(text[i:])
		return i + size
	}
	return n
}

// abridgement is a text without its middle.
type abridgement struct {
	text    string
	of, out int // bytes, of the whole and left out
}

// Of what is kept of a text, four fifths are its beginning.
const beginning = 0.8

// abridge leaves out as much of the middle of a text as it must for the rest to
// fit, at paragraphs if it can.
func abridge(text string, fits func(string) bool) (*abridgement, bool) {
	var best *abridgement
	for fit, over := 0, len(text); over-fit > max(1, over/exact); {
		n := fit + (over-fit)/2
		if a := without(text, n); fits(a.text) {
			best, fit = a, n
		} else {
			over = n
		}
	}
	return best, best != nil
}

// without keeps about n bytes of a text.
func without(text string, n int) *abridgement {
	head := border(text, max(1, int(float64(n)*beginning)))
	tail := len(text) - (n - int(float64(n)*beginning))
	if i := strings.Index(text[tail:], "\n\n"); i >= 0 && i < (len(text)-tail)/2 {
		tail += i + len("\n\n")
	} else if i := strings.IndexFunc(text[tail:], unicode.IsSpace); i >= 0 && i < (len(text)-tail)/2 {
		tail += i
	}
	for tail < len(text) && !utf8.RuneStart(text[tail]) {
		tail++
	}
	tail = max(tail, head)
	out := tail - head
	return &abridgement{
		text: strings.TrimRight(text[:head], " \n") + "\n\n[" + jobs.Grouped(int64(out)) + " bytes of the document are left out here]\n\n" + strings.TrimLeft(text[tail:], " \n"),
		of:   len(text), out: out,
	}
}
