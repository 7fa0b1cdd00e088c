package fold

import "testing"

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
		text := Of(test.document)
		place, _ := text.Find(text.Phrase(test.quote))
		if got := text.At(place); got != test.want {
			t.Errorf("%s: found %q, want %q", test.name, got, test.want)
		}
	}
}

// A letter's capital may have another length, and so may what stands for both.
func TestCaseMakesNoDifferenceToSmallLetters(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, document, phrase, want string }{
		{"capitals", "THE TERM ends.", "The term", "THE TERM"},
		{"behind shorter small letters", "İİİ ẞẞẞ KKK Å: the Term ends", "THE TERM", "the Term"},
		{"behind longer small letters", "ȺȺȺ ȾȾȾ: the Term ends", "THE TERM", "the Term"},
		{"of another length", "at 300 K, in İzmir, Große STRAẞE", "k, IN İZMIR, GROẞE straße", "K, in İzmir, Große STRAẞE"},
		{"longer than the capital", "x ȺȾ y", "ⱥⱦ", "ȺȾ"},
		{"ligatures", "the ﬁrst OFFICE", "FIRST oﬃce", "ﬁrst OFFICE"},
		{"accents apart", "CAFE\u0301 Ŝtĭ", "café ŝtI\u0306", "CAFE\u0301 Ŝtĭ"},
		{"accents that fit on the small letter only", "J\u030c, ǰ", "ǰ, J\u030c", "J\u030c, ǰ"},
		{"quotation marks", "means “Term” here", `"TERM"`, "“Term”"},
		{"divided word", "This AGREE-\nment", "agreement", "AGREE-\nment"},

		{"a capital keeps its hyphen", "von Nord-\nSüd", "nordsüd", ""},
		{"other accents", "café", "CAFE", ""},
	} {
		text := Small(test.document)
		place, _ := text.Find(text.Phrase(test.phrase))
		if got := text.At(place); got != test.want {
			t.Errorf("%s: found %q, want %q", test.name, got, test.want)
		}
	}
}

func TestPlacesDoNotOverlap(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		document, phrase string
		want             int
	}{
		{"on and on and on", "on and on", 1},
		{"oﬃce", "f", 1},
		{"wait…", ".", 1},
		{"a-b-c", "-b-", 1},
		{"x x x", "x", 3},
		{"x", "", 0},
		{"", "x", 0},
		{"", "", 0},
	} {
		text, got := Of(test.document), 0
		for range text.All(text.Phrase(test.phrase)) {
			got++
		}
		if got != test.want {
			t.Errorf("%q is found %d times in %q, want %d", test.phrase, got, test.document, test.want)
		}
	}
}
