package fold

import (
	"bytes"
	"iter"
	"sort"
	"unicode/utf8"
)

// Phrase is what is looked for in a text.
type Phrase struct {
	text  []byte
	joins []join

	head, tail bool // it begins or ends with a hyphen, which a text may have in its joins
}

// Phrase folds what is looked for as the text was folded.
func (t *Text) Phrase(source string) *Phrase {
	f := (&folder{Text: &Text{source: source, small: t.small}}).run()
	p := &Phrase{text: bytes.TrimRight(f.text, " "), joins: f.joins}
	if rest, ok := bytes.CutSuffix(p.text, []byte("-")); ok {
		if r, _ := utf8.DecodeLastRune(rest); wordy(r) {
			p.text, p.tail = rest, true
		}
	}
	if rest, ok := bytes.CutPrefix(p.text, []byte("-")); ok {
		if r, _ := utf8.DecodeRune(rest); wordy(r) {
			p.text, p.head = rest, true
			for i := range p.joins {
				p.joins[i].at--
			}
		}
	}
	return p
}

// Empty reports whether there is nothing to look for. An empty phrase is found
// nowhere.
func (p *Phrase) Empty() bool { return len(p.text) == 0 }

// Find returns where in the source a phrase stands first.
func (t *Text) Find(p *Phrase) (first Span, found bool) {
	for s := range t.All(p) {
		return s, true
	}
	return Span{}, false
}

// All yields where in the source a phrase stands, in order. No place overlaps
// the one before.
func (t *Text) All(p *Phrase) iter.Seq[Span] {
	return func(yield func(Span) bool) {
		end := 0
		for at := t.next(p, 0); at >= 0; {
			s := t.withHyphens(p, t.origin(Span{at, at + len(p.text)}))
			if s.From < end { // in the same ligature
				at = t.next(p, at+1)
				continue
			}
			if !yield(s) {
				return
			}
			end = s.To
			at = t.next(p, at+len(p.text))
		}
	}
}

// next is where a phrase stands in the text from a byte on, or -1.
func (t *Text) next(p *Phrase, from int) int {
	for !p.Empty() {
		i := bytes.Index(t.text[from:], p.text)
		if i < 0 {
			break
		}
		if from += i; t.agrees(p, from) {
			return from
		}
		from++
	}
	return -1
}

// withHyphens widens a place in the source by the hyphens that the phrase
// begins or ends with.
func (t *Text) withHyphens(p *Phrase, s Span) Span {
	if r, n := utf8.DecodeLastRuneInString(t.source[:s.From]); p.head && isHyphen(r) {
		s.From -= n
	}
	if r, n := utf8.DecodeRuneInString(t.source[s.To:]); p.tail && isHyphen(r) {
		s.To += n
	}
	return s
}

// agrees reports whether the hyphens that were left out are the same, where
// the letters of a phrase were found.
func (t *Text) agrees(p *Phrase, at int) bool {
	end := at + len(p.text)
	if p.head && !t.hyphenBefore(at) || p.tail && !t.hyphenAfter(end) {
		return false
	}
	ours := t.joins[sort.Search(len(t.joins), func(i int) bool { return t.joins[i].at > at }):]
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
			if x, y := ours[0].kind, theirs[0].kind; x != y && x != broken && y != broken {
				return false
			}
			ours, theirs = ours[1:], theirs[1:]
		}
	}
}

func (t *Text) hyphenBefore(at int) bool {
	return at > 0 && t.text[at-1] == '-' || t.joined(at)
}

func (t *Text) hyphenAfter(at int) bool {
	return at < len(t.text) && t.text[at] == '-' || t.joined(at)
}
