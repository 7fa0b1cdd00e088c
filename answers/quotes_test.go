package answers

import (
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"

	"github.com/drover-batch/drover/jobs"
)

func TestQuotesAreFoundAsTheyStand(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, document, quote, want string }{
		{"as it is", "The term ends on 1 May.", "ends on 1 May", "ends on 1 May"},
		{"other white space", "The term\r\n   ends\u00a0on 1 May.", "The term ends on 1 May.", "The term\r\n   ends\u00a0on 1 May."},
		{"white space in the quote", "The term ends.", " The\n\tterm ends. ", "The term ends."},
		{"typographic quotes", "the “Supplier” shall’nt", `the "Supplier" shall'nt`, "the “Supplier” shall’nt"},
		{"the other way round", `the "Supplier"`, "the »Supplier«", `the "Supplier"`},
		{"dashes", "1998–2004, ten — no, six years", "1998-2004, ten - no", "1998–2004, ten — no"},
		{"double hyphens", "six -- or seven", "six — or", "six -- or"},
		{"divided word", "This agree-\n   ment ends.", "This agreement ends.", "This agree-\n   ment ends."},
		{"divided word, copied with its hyphen", "This agree-\nment ends.", "This agree- ment ends.", "This agree-\nment ends."},
		{"a real hyphen at the end of a line", "a well-\nknown house", "a well-known house", "a well-\nknown house"},
		{"divided across a page", "This agree-\n\fment ends.", "agreement", "agree-\n\fment"},
		{"across numbered pages", "It ends\n\f[page 2]\non 1 May.", "ends on 1 May", "ends\n\f[page 2]\non 1 May"},
		{"soft hyphens", "This agree\u00adment ends.", "agreement ends", "agree\u00adment ends"},
		{"soft hyphen at the end of a line", "This agree\u00ad\nment ends.", "agreement ends", "agree\u00ad\nment ends"},
		{"ligatures", "the ﬁrst oﬃce", "first office", "ﬁrst oﬃce"},
		{"begins inside a ligature", "the ﬁrst", "irst", "ﬁrst"},
		{"ellipsis", "and so on… until", "so on... until", "so on… until"},
		{"accents apart", "cafe\u0301 Zoë", "café Zoë", "cafe\u0301 Zoë"},
		{"Chinese lines", "本合同\n自签订之日起生效", "本合同自签订之日起生效", "本合同\n自签订之日起生效"},
		{"unseen marks", "The\u200b term\ufeff", "The term", "The\u200b term"},
		{"ends with a hyphen", "an on- and offline shop", "an on-", "an on-"},
		{"begins with a minus", "it was -5 degrees", "-5 degrees", "-5 degrees"},
		{"the second is the one", "Herr Müller. Frau Müller-\nSchmidt.", "Müller-Schmidt", "Müller-\nSchmidt"},
		{"the whole", "x", "x", "x"},

		{"another word", "The term ends on 1 May.", "ends on 1 June", ""},
		{"another case", "The Term", "the Term", ""},
		{"a word left out", "The first term ends.", "The term ends.", ""},
		{"no hyphen where there is one", "a well-known house", "a wellknown house", ""},
		{"a hyphen where there is none", "to recover it", "to re-cover it", ""},
		{"a capital keeps its hyphen", "von Nord-\nSüd", "NordSüd", ""},
		{"numbers keep theirs", "1998-\n2004", "19982004", ""},
		{"blanks inside words", "The term", "The te rm", ""},
		{"words run together", "The term", "Theterm", ""},
		{"superscripts are not figures", "10² metres", "102 metres", ""},
		{"a hyphen at the end that is none", "an online shop", "an on-", ""},
		{"longer than the document", "The", "The term", ""},
	} {
		offset, length, ok := fold(test.document).find(foldQuote(test.quote))
		got := ""
		if ok {
			got = test.document[offset : offset+length]
		}
		if got != test.want {
			t.Errorf("%s: found %q, want %q", test.name, got, test.want)
		}
	}
}

// words are unlike each other, so that where a quote stands is plain.
var words = rapid.Custom(func(t *rapid.T) string {
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
		list := rapid.SliceOfN(words, 1, 40).Draw(t, "words")
		from := rapid.IntRange(0, len(list)-1).Draw(t, "from")
		to := rapid.IntRange(from, len(list)-1).Draw(t, "to")
		document, begins, ends := respaced(t, list, "gap")
		quote, _, _ := respaced(t, list[from:to+1], "other gap")
		offset, length, ok := fold(document).find(foldQuote(quote))
		if !ok {
			t.Fatalf("%q is not found in %q", quote, document)
		}
		if offset > begins[from] {
			t.Fatalf("found at %d, and it stands at %d already", offset, begins[from])
		}
		if offset == begins[from] && offset+length != ends[to] {
			t.Fatalf("ends at %d, not %d", offset+length, ends[to])
		}
		if again := foldQuote(document[offset : offset+length]); string(again.text) != string(foldQuote(quote).text) {
			t.Fatalf("%q stands there, not %q", document[offset:offset+length], quote)
		}
	})
}

// TestAlteredQuoteIsNotFound changes one letter to one that the document does
// not have, or leaves a word out.
func TestAlteredQuoteIsNotFound(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfNDistinct(words, 3, 40, func(w string) string { return strings.ToLower(strings.Trim(w, ".,;")) }).Draw(t, "words")
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
		if _, _, ok := fold(document).find(foldQuote(text)); ok {
			t.Fatalf("%q is found in %q", text, document)
		}
	})
}

// FuzzQuotes: what is found has the same folded letters as the quote, and lies
// inside the document on whole characters.
func FuzzQuotes(f *testing.F) {
	f.Add("This agree-\nment ‘ends’ on…", "agreement 'ends'")
	f.Add("ﬁ-\u00ad\n-x", "-x")
	f.Add("\xff\xfe a-", "a-")
	f.Fuzz(func(t *testing.T, document, quote string) {
		d, q := fold(document), foldQuote(quote)
		_ = d.near(q)
		offset, length, ok := d.find(q)
		if !ok {
			return
		}
		if offset < 0 || length <= 0 || offset+length > len(document) {
			t.Fatalf("found at %d+%d of %d bytes", offset, length, len(document))
		}
	})
}

func TestNearestPassageIsTold(t *testing.T) {
	t.Parallel()
	document := fold("1. The agreement begins on 1 March.\n2. Either party may terminate it with ninety\ndays' notice in writing.\n3. German law applies.")
	near := document.near(foldQuote("Either party may terminate it with thirty days' notice"))
	if want := "Either party may terminate it with ninety\ndays' notice"; near != want {
		t.Errorf("the nearest passage is %q, want %q", near, want)
	}
	if near := document.near(foldQuote("The supplier guarantees continuous availability")); near != "" {
		t.Errorf("%q is like nothing that was asked for", near)
	}
}

func exam(t *testing.T, d jobs.Demands, text string) *Exam {
	t.Helper()
	s, err := New(d)
	if err != nil {
		t.Fatal(err)
	}
	return s.About(&jobs.Document{Body: []byte(text)})
}

func TestQuotesHaveTheirPlaceAndPage(t *testing.T) {
	t.Parallel()
	e := exam(t, jobs.Demands{Quotes: []string{"quote"}}, "First page.\fSecond page: it ends.\fThird.")
	f := e.Examine(`{"clauses": [{"quote": "it ends"}, {"quote": null}, {"quote": ["Third", "First"]}]}`)
	if len(f.Flaws) != 0 || len(f.Quotes) != 3 {
		t.Fatalf("found %+v, want three quotes", f)
	}
	want := []jobs.Quote{
		{At: "/clauses/0/quote", Offset: 25, Length: 7, Page: 2},
		{At: "/clauses/2/quote/0", Offset: 34, Length: 5, Page: 3},
		{At: "/clauses/2/quote/1", Offset: 0, Length: 5, Page: 1},
	}
	for i, q := range f.Quotes {
		if q != want[i] {
			t.Errorf("quote %d is %+v, want %+v", i, q, want[i])
		}
	}
}

func TestPagesHaveTheirOwnNumbers(t *testing.T) {
	t.Parallel()
	const numbered = "\f[page 7]\nFirst.\n\f[page 9]\nIt ends."
	for _, test := range []struct {
		text, at string
		want     int
	}{
		{"no pages", "pages", 0}, {"one\ftwo", "one", 1}, {"one\ftwo", "two", 2}, {"\fone", "one", 2}, {numbered, "First", 7}, {numbered, "ends", 9},
	} {
		if got := page(test.text, strings.Index(test.text, test.at)); got != test.want {
			t.Errorf("%q is on page %d of %q, want %d", test.at, got, test.text, test.want)
		}
	}
}

func TestPointersLeadToQuotes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		pointer, answer string
		flaws           int
		at              string // of the first flaw
	}{
		{"/a", `{"a": "made up"}`, 1, "/a"},
		{"/a/*/q", `{"a": [{"q": "The"}, {"q": "made up"}]}`, 1, "/a/1/q"},
		{"/a~1b", `{"a/b": "made up"}`, 1, "/a~1b"},
		{"q", `{"q": 7}`, 1, "/q"},
		{"q", `{"q": ""}`, 1, "/q"},
		{"q", `{"q": null}`, 0, ""},
		{"q", `{"q": []}`, 0, ""},
		{"q", `{"other": "made up"}`, 1, ""},
		{"/a", `["made up"]`, 1, ""},
	} {
		f := exam(t, jobs.Demands{Quotes: []string{test.pointer}}, "The term.").Examine(test.answer)
		if len(f.Flaws) != test.flaws || test.flaws > 0 && f.Flaws[0].At != test.at {
			t.Errorf("%s in %s: %+v", test.pointer, test.answer, f.Flaws)
		}
	}
}
