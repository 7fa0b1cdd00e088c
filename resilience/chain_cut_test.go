package resilience

import (
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestPiecesEndWell(t *testing.T) {
	t.Parallel()
	sentence := "The parties agree on this. "
	if pieces, _ := cutUp(strings.Repeat(sentence, 6)+"\f[page 2]\n"+strings.Repeat(sentence+"\n\n", 5), 10, func(s string) bool { return len(s) <= 200 }); len(pieces) < 2 || !strings.HasPrefix(pieces[1], "\f[page 2]") {
		t.Errorf("page: %q", pieces)
	}
	for _, test := range []struct{ name, text, end string }{
		{"paragraph", strings.Repeat(sentence, 6) + "\n\n" + strings.Repeat(sentence, 6), "\n\n"},
		{"line", strings.Repeat(sentence, 7) + "\n" + strings.Repeat(sentence, 7), "\n"},
		{"sentence", strings.Repeat(sentence, 12), ". "},
		{"word", strings.Repeat("word ", 60), " "},
	} {
		pieces, ok := cutUp(test.text, 10, func(s string) bool { return len(s) <= 200 })
		if !ok || len(pieces) < 2 || !strings.HasSuffix(pieces[0], test.end) {
			t.Errorf("%s: %q", test.name, pieces)
		}
	}
	if pieces, ok := cutUp(strings.Repeat("x", 1000), 9, func(s string) bool { return len(s) <= 100 }); ok {
		t.Errorf("a thousand bytes are in %d pieces of a hundred", len(pieces))
	}
	if _, ok := cutUp("abc", 9, func(string) bool { return false }); ok {
		t.Error("what never fits was cut")
	}
}

// TestPiecesAreTheDocument: put together they are what was cut, each fits, and
// none is inside a character.
func TestPiecesAreTheDocument(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOf(rapid.StringMatching(`([a-zé¢]{1,12}|[.] |\n\n|\n|\f| ){1,9}`)).Draw(t, "text"), "")
		room := rapid.IntRange(4, 200).Draw(t, "room")
		fits := func(s string) bool { return len(s) <= room }
		pieces, ok := cutUp(text, 1+len(text), fits)
		if !ok {
			t.Fatalf("%q cannot be cut", text)
		}
		if strings.Join(pieces, "") != text {
			t.Fatalf("%q was cut into %q", text, pieces)
		}
		for _, p := range pieces {
			if !fits(p) || p == "" || !utf8.ValidString(p) {
				t.Fatalf("%q is a piece of %d", p, room)
			}
		}
		if most := 4*len(text)/room + 2; len(pieces) > most {
			t.Fatalf("%d bytes are in %d pieces of %d", len(text), len(pieces), room)
		}
	})
}

func TestMiddleIsLeftOut(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(rapid.StringMatching(`([a-zé]{1,12}|\n\n| ){1,9}`), 60, 90).Draw(t, "text"), "")
		room := rapid.IntRange(150, 300).Draw(t, "room")
		if len(text) <= room {
			t.Skip("it fits")
		}
		a, ok := abridge(text, func(s string) bool { return len(s) <= room })
		if !ok || len(a.text) > room || !utf8.ValidString(a.text) {
			t.Fatalf("%v: %d bytes of %d, %q", ok, len(a.text), room, a.text)
		}
		head, tail, _ := strings.Cut(a.text, "\n\n[")
		_, tail, _ = strings.Cut(tail, "]\n\n")
		if !strings.HasPrefix(text, head) || !strings.HasSuffix(text, tail) {
			t.Fatalf("%q and %q are not its ends", head, tail)
		}
		gone := text[len(head) : len(text)-len(tail)]
		if a.of != len(text) || a.out > len(gone) || a.out < len(strings.Trim(gone, " \n")) {
			t.Fatalf("%d of %d are said to be left out, and %d are", a.out, a.of, len(gone))
		}
	})
}
