package documents

import (
	"regexp"
	"strings"
	"unicode"
)

// escapes are the sequences that move a terminal's cursor, set its title or
// colour it: whole, so that nothing of them is left to read.
var escapes = regexp.MustCompile("\x1b\\[[0-?]*[ -/]*[@-~]" + // CSI
	"|\x1b[\\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\\\)?" + // OSC and other strings
	"|\x1b[ -/]*[0-~]?")

// Terminal makes text from outside safe to show: control characters, ANSI
// sequences and marks that reorder or hide text are gone, invalid bytes are
// replaced. Line breaks and tabs stay.
func Terminal(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if strings.IndexByte(s, 0x1b) >= 0 {
		s = escapes.ReplaceAllString(s, "")
	}
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t', r == '\u200c', r == '\u200d': // joiners spell words and emoji
			return r
		case unicode.Is(unicode.Zl, r), unicode.Is(unicode.Zp, r):
			return '\n'
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, s)
}

// Line is the same of a text in one line, with single spaces.
func Line(s string) string { return strings.Join(strings.Fields(Terminal(s)), " ") }
