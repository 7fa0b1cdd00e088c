package answers

import (
	"bytes"
	"sort"
	"strings"
	"unicode/utf8"
)

// find returns where a quote stands first, in bytes of the source.
func (f *folded) find(q *folded) (offset, length int, ok bool) {
	for from := 0; ; {
		i := bytes.Index(f.text[from:], q.text)
		if i < 0 || len(q.text) == 0 {
			return 0, 0, false
		}
		at := from + i
		if f.agrees(q, at) {
			from, to := f.origin(at), f.end(at+lastStart(q.text))
			from, to = f.withHyphens(q, from, to)
			return from, to - from, true
		}
		from = at + 1
	}
}

// withHyphens widens a place in the source by the hyphens that the quote begins
// or ends with.
func (f *folded) withHyphens(q *folded, from, to int) (int, int) {
	if r, n := utf8.DecodeLastRuneInString(f.source[:from]); q.head && isHyphen(r) {
		from -= n
	}
	if r, n := utf8.DecodeRuneInString(f.source[to:]); q.tail && isHyphen(r) {
		to += n
	}
	return from, to
}

// lastStart is where the last character begins.
func lastStart(b []byte) int {
	_, n := utf8.DecodeLastRune(b)
	return len(b) - n
}

// agrees reports whether the hyphens that were left out are the same, where
// the letters of a quote were found.
func (f *folded) agrees(q *folded, at int) bool {
	end := at + len(q.text)
	if q.head && !f.hyphenBefore(at) || q.tail && !f.hyphenAfter(end) {
		return false
	}
	i := sort.Search(len(f.joins), func(i int) bool { return f.joins[i].at > at })
	j := 0
	for {
		for j < len(q.joins) && q.joins[j].at <= 0 {
			j++
		}
		hasOurs := i < len(f.joins) && f.joins[i].at < end
		hasTheirs := j < len(q.joins)
		switch {
		case !hasOurs && !hasTheirs:
			return true
		case hasOurs && (!hasTheirs || f.joins[i].at < at+q.joins[j].at):
			if !f.joins[i].dividesWord() {
				return false
			}
			i++
		case !hasOurs || at+q.joins[j].at < f.joins[i].at:
			if !q.joins[j].dividesWord() {
				return false
			}
			j++
		default:
			if x, y := f.joins[i].sort, q.joins[j].sort; x != y && x != broken && y != broken {
				return false
			}
			i, j = i+1, j+1
		}
	}
}

// dividesWord reports whether the hyphen may be there only because the line
// ends.
func (j join) dividesWord() bool { return j.sort == broken && j.letter }

func (f *folded) hyphenBefore(at int) bool {
	return at > 0 && f.text[at-1] == '-' || f.joined(at)
}

func (f *folded) hyphenAfter(at int) bool {
	return at < len(f.text) && f.text[at] == '-' || f.joined(at)
}

func (f *folded) joined(at int) bool {
	i := sort.Search(len(f.joins), func(i int) bool { return f.joins[i].at >= at })
	return i < len(f.joins) && f.joins[i].at == at
}

const (
	fewestWords = 3   // of a quote for which a passage is looked for
	mostNear    = 400 // bytes of a passage that is told
)

// near returns the passage of the source that has most of a quote's words, or
// nothing if none has half of them.
func (f *folded) near(q *folded) string {
	var want []string
	for _, w := range fields(q.text) {
		want = append(want, string(q.text[w.from:w.to]))
	}
	if len(want) < fewestWords {
		return ""
	}
	missing := bag{}
	for _, w := range want {
		missing[w]++
	}
	words, have, best, bestAt := fields(f.text), 0, 0, 0
	for i, w := range words {
		if gone := i - len(want); gone >= 0 {
			have -= missing.put(string(f.text[words[gone].from:words[gone].to]))
		}
		have += missing.take(string(f.text[w.from:w.to]))
		if have > best {
			best, bestAt = have, max(0, i-len(want)+1)
		}
	}
	if 2*best < len(want) {
		return ""
	}
	until := words[min(len(words), bestAt+len(want))-1]
	from, to := f.origin(words[bestAt].from), f.end(until.from+lastStart(f.text[until.from:until.to]))
	return cut(f.source[from:to], mostNear)
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

type span struct{ from, to int }

// fields are the words of a folded text, without the punctuation around them.
func fields(text []byte) (words []span) {
	for i := 0; i < len(text); {
		next := bytes.IndexByte(text[i:], ' ')
		if next < 0 {
			next = len(text) - i
		}
		w := span{i, i + next}
		for w.from < w.to && strings.IndexByte(around, text[w.from]) >= 0 {
			w.from++
		}
		for w.from < w.to && strings.IndexByte(around, text[w.to-1]) >= 0 {
			w.to--
		}
		if w.from < w.to {
			words = append(words, w)
		}
		i += next + 1
	}
	return words
}

// around is the punctuation that may stand around a word.
const around = ".,;:!?()[]\"'"

// clip shortens a text for a message.
func clip(s string) string {
	if short := cut(s, 200); len(short) < len(s) {
		return short + "…"
	}
	return s
}

// cut is at most n bytes of a text, of whole characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
