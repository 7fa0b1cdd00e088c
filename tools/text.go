package tools

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// clean takes out of a text what a terminal, a log or a reader obeys rather
// than shows: control characters but for tabs and line breaks, and the
// invisible ones that turn text around or hide it.
func clean(text string) string {
	text = strings.ToValidUTF8(strings.ReplaceAll(text, "\r\n", "\n"), "\uFFFD")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t', r == '\u200c', r == '\u200d':
			return r
		case r == '\r':
			return '\n'
		case unicode.Is(unicode.Cc, r), unicode.Is(unicode.Cf, r), r == '\u2028', r == '\u2029':
			return -1
		}
		return r
	}, text)
}

// limit cuts a text to so many bytes and says so.
func limit(text string, most int) string {
	if len(text) <= most {
		return text
	}
	kept := head(text, most)
	return fmt.Sprintf("%s\n[%d bytes left out: ask for less at a time]", kept, len(text)-len(kept))
}

// clip shortens what somebody else wrote for a message.
func clip(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return head(s, most) + "…"
}

// head is the beginning of a longer text, of so many bytes at the most, without
// half a character.
func head(text string, most int) string {
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}
