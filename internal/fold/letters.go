package fold

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// plainASCII reports whether a byte stands alone: no accent follows it.
func plainASCII(s string, i int) bool {
	return s[i] < utf8.RuneSelf && (i+1 == len(s) || s[i+1] < utf8.RuneSelf)
}

// ordinary reports whether nothing about a character is folded but its case.
func ordinary(b byte) bool { return b > ' ' && b < '\x7f' && b != '-' && b != '`' }

// wordy reports whether a hyphen beside a character may be a part of a word.
func wordy(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

var ligatures = map[rune]string{
	'ﬀ': "ff", 'ﬁ': "fi", 'ﬂ': "fl", 'ﬃ': "ffi", 'ﬄ': "ffl", 'ﬅ': "st", 'ﬆ': "st", '…': "...",
}

// plainMark is the plain one of a quotation mark, and any other character
// itself.
func plainMark(r rune) rune {
	switch {
	case strings.ContainsRune("‘’‚‛′`´ʼ", r):
		return '\''
	case strings.ContainsRune("“”„‟″«»‹›＂", r):
		return '"'
	}
	return r
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
	return r >= '\u2e80' && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana)
}
