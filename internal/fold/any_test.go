package fold

import (
	"bytes"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"
)

// drawn words are unlike each other, so that where a quote stands is plain.
var drawn = rapid.Custom(func(t *rapid.T) string {
	return rapid.StringMatching(`[A-Z]?[a-zäéñß]{1,9}(-[a-z]{2,6})?[.,;]?`).Draw(t, "word")
})

var gaps = rapid.SampledFrom([]string{" ", "\n", "\r\n", "\u00a0", "  ", "\n\n", " \f", "\t", "\u2003"})

// respaced is the words with any white space between them; marks says where
// each begins and ends.
func respaced(t *rapid.T, list []string, label string) (text string, begins, ends []int) {
	var b strings.Builder
	for i, w := range list {
		if i > 0 {
			b.WriteString(gaps.Draw(t, label))
		}
		begins = append(begins, b.Len())
		for j, r := range w {
			b.WriteRune(r)
			if unicode.IsLower(r) && j > 0 && j+len(string(r)) < len(w) && w[j+len(string(r))] >= 'a' && rapid.IntRange(0, 40).Draw(t, "soft") == 0 {
				b.WriteString("\u00ad")
			}
		}
		ends = append(ends, b.Len())
	}
	return b.String(), begins, ends
}

// TestQuoteWithOtherWhiteSpaceIsFound takes quotes from documents, spaces both
// anew, and looks for them.
func TestQuoteWithOtherWhiteSpaceIsFound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(drawn, 1, 40).Draw(t, "words")
		from := rapid.IntRange(0, len(list)-1).Draw(t, "from")
		to := rapid.IntRange(from, len(list)-1).Draw(t, "to")
		document, begins, ends := respaced(t, list, "gap")
		quote, _, _ := respaced(t, list[from:to+1], "other gap")
		folded := Of(document)
		place, ok := folded.Find(folded.Phrase(quote))
		if !ok {
			t.Fatalf("%q is not found in %q", quote, document)
		}
		if place.From > begins[from] {
			t.Fatalf("found at %d, and it stands at %d already", place.From, begins[from])
		}
		if place.From == begins[from] && place.To != ends[to] {
			t.Fatalf("ends at %d, not %d", place.To, ends[to])
		}
		if there := folded.At(place); !bytes.Equal(folded.Phrase(there).text, folded.Phrase(quote).text) {
			t.Fatalf("%q stands there, not %q", there, quote)
		}
	})
}

// TestAlteredQuoteIsNotFound changes one letter to one that the document does
// not have, or leaves a word out.
func TestAlteredQuoteIsNotFound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfNDistinct(drawn, 3, 40, func(w string) string { return strings.ToLower(strings.Trim(w, ".,;")) }).Draw(t, "words")
		document, _, _ := respaced(t, list, "gap")
		from := rapid.IntRange(0, len(list)-3).Draw(t, "from")
		quote := append([]string(nil), list[from:from+3]...)
		switch rapid.IntRange(0, 2).Draw(t, "how") {
		case 0:
			quote[1] = "Ω" + quote[1]
		case 1:
			quote[1] += "x-" + quote[1]
		case 2:
			quote[1], quote[2] = quote[2], quote[1]
		}
		text, _, _ := respaced(t, quote, "other gap")
		joined := strings.Join(list, " ")
		if strings.Contains(joined, strings.Join(quote, " ")) {
			t.Skip("the altered one stands there too")
		}
		folded := Of(document)
		if _, ok := folded.Find(folded.Phrase(text)); ok {
			t.Fatalf("%q is found in %q", text, document)
		}
	})
}
