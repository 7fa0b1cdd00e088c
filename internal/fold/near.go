package fold

import (
	"bytes"
	"strings"
)

// fewestWords of a phrase for which a passage is looked for.
const fewestWords = 3

// Near returns the passage of the source that has most of a phrase's words, in
// whatever order. There is none unless one has half of them, nor for a phrase
// of fewer than three words.
func (t *Text) Near(p *Phrase) (passage Span, found bool) {
	want := words(p.text)
	if len(want) < fewestWords {
		return Span{}, false
	}
	missing := bag{}
	for _, w := range want {
		missing[string(p.text[w.From:w.To])]++
	}
	all, have, best, bestAt := words(t.text), 0, 0, 0
	for i, w := range all {
		if gone := i - len(want); gone >= 0 {
			have -= missing.put(string(t.text[all[gone].From:all[gone].To]))
		}
		have += missing.take(string(t.text[w.From:w.To]))
		if have > best {
			best, bestAt = have, max(0, i-len(want)+1)
		}
	}
	if 2*best < len(want) {
		return Span{}, false
	}
	until := all[min(len(all), bestAt+len(want))-1]
	return t.origin(Span{all[bestAt].From, until.To}), true
}

// bag is words and how often each is wanted; less than 0 for those there are
// more of than that.
type bag map[string]int

// take returns 1 if the word was still wanted.
func (b bag) take(word string) int {
	n, known := b[word]
	if known {
		b[word] = n - 1
	}
	return min(1, max(0, n))
}

// put takes back what take did, and returns what that had returned.
func (b bag) put(word string) int {
	n, known := b[word]
	if !known {
		return 0
	}
	b[word] = n + 1
	return min(1, max(0, n+1))
}

// words are those of a folded text, without the punctuation around them.
func words(text []byte) (all []Span) {
	for i := 0; i < len(text); {
		next := bytes.IndexByte(text[i:], ' ')
		if next < 0 {
			next = len(text) - i
		}
		w := Span{i, i + next}
		for w.From < w.To && strings.IndexByte(around, text[w.From]) >= 0 {
			w.From++
		}
		for w.From < w.To && strings.IndexByte(around, text[w.To-1]) >= 0 {
			w.To--
		}
		if w.From < w.To {
			all = append(all, w)
		}
		i += next + 1
	}
	return all
}

// around is the punctuation that may stand around a word.
const around = ".,;:!?()[]\"'"
