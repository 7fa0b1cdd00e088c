package fold

import (
	"strings"
	"testing"
)

// FuzzPlaces: what is found has the same folded letters as the phrase, lies
// inside the source on whole characters, and overlaps nothing found before.
func FuzzPlaces(f *testing.F) {
	f.Add("This agree-\nment ‘ends’ on…", "agreement 'ends'")
	f.Add("ﬁ-\u00ad\n-x", "-x")
	f.Add("\xff\xfe a-", "a-")
	f.Add("İstanbul, STRAẞE, 300 K, J\u030c Ⱥ", "i")
	f.Add("…\f[page 2]\n… q\u0307\u0323", "..")
	f.Fuzz(func(t *testing.T, source, phrase string) {
		for _, text := range []*Text{Of(source), Small(source)} {
			p := text.Phrase(phrase)
			_, _ = text.Near(p)
			end := 0
			for place := range text.All(p) {
				if place.From < end || place.To <= place.From || place.To > len(source) || !whole(source, place) {
					t.Fatalf("found at %v of %d bytes, %d on", place, len(source), end)
				}
				end = place.To
				if there := text.At(place); !strings.Contains(letters(text.Phrase(there)), letters(p)) {
					t.Errorf("%q stands there, not %q", there, phrase)
				}
			}
			if first, found := text.Find(p); found != (end > 0) || first.To > end {
				t.Errorf("first at %v, last until %d", first, end)
			}
		}
	})
}

// whole reports whether a place begins and ends with a character.
func whole(source string, place Span) bool {
	begins, ends := false, place.To == len(source)
	for i := range source {
		begins, ends = begins || i == place.From, ends || i == place.To
	}
	return begins && ends
}

// letters are a phrase's, without what depends on those around them.
func letters(p *Phrase) string { return strings.NewReplacer("-", "", " ", "").Replace(string(p.text)) }
