package documents

import (
	"strings"
	"testing"
)

func TestPagesKeepTheirContentAlone(t *testing.T) {
	for page, want := range map[string]string{
		`<body><header>Logo</header><nav>Home</nav><h1>Lease</h1><p>Rent &amp; <i>heat</i></p><script>x()</script><footer>©</footer>`: "# Lease\n\nRent & *heat*\n",
		`<title> The  lease</title><div>Home</div><main><header><h2>Suite</h2></header><p hidden>x</p>Rent<aside>Ad</aside></main>`:   "# The lease\n\n## Suite\n\nRent\n",
		`<p>Out<article><footer>Signed</footer></article>`:                                                                            "Signed\n",
		`<article>One</article><article>Two</article>`:                                                                                "One\n\nTwo\n",
		`<main><script>only()</script></main><p>Body</p>`:                                                                             "Body\n",
		`<div style="display: NONE">x</div><span aria-hidden=true>y</span>z`:                                                          "z\n",
		"<meta charset=iso-8859-1><p>caf\xe9</p>":                                                                                     "café\n",
		`<table><tr><th>Lane<th>Rate<tr><td>Toledo<td>2.31</table>`:                                                                   "| Lane | Rate |\n|---|---|\n| Toledo | 2.31 |\n",
		`<p>3 * 4 &lt; 5_6_ [sic] 1. #x &amp;amp;</p>`:                                                                                "3 * 4 < 5_6_ [sic] 1. #x &amp;\n",
		`<title>Only a title</title><script>render()</script>`:                                                                        "",
		"\xff\xfe<\x00p\x00>\x00h\x00i\x00":                                                                                           "hi\n",
	} {
		got, err := markdown([]byte(page))
		if err != nil || string(got) != want {
			t.Errorf("%q:\n got %q %v\nwant %q", page, got, err, want)
		}
	}
}

// A page in UTF-8 that does not say so, and whose first kilobyte is a style
// sheet, was read as Windows-1252: "MÃ¼ller".
func TestPagesAreReadInTheirEncodingWhereverItShows(t *testing.T) {
	t.Parallel()
	head := "<html><head><style>" + strings.Repeat("p { margin: 0 } ", 100) + "</style></head><body><p>"
	for page, want := range map[string]string{
		head + "Müller’s “café” costs 12 €":                                   "Müller’s “café” costs 12 €\n",
		head + "M\xfcller\x92s caf\xe9":                                       "Müller’s café\n",
		head + "Müller’s “café” \xff costs 12 €":                              "Müller’s “café” \uFFFD costs 12 €\n",
		"<meta charset=windows-1251>" + head + "\xc4\xee\xe3\xee\xe2\xee\xf0": "Договор\n",
	} {
		if got, err := markdown([]byte(page)); err != nil || string(got) != want {
			t.Errorf("%q %v, want %q", got, err, want)
		}
	}
}

// Sixty bytes of a table ended the process for want of memory, as did one that
// is broad in one row only and one with a long text beside many short ones. Quotes
// in quotes, of 500 KB, were not read in 25 s.
func TestPagesOfAFewBytesTookAllMemory(t *testing.T) {
	t.Parallel()
	for name, page := range map[string]string{
		"a cell over all columns and rows": `<table><tr><td colspan=1000000 rowspan=60000>one<td>two</table>`,
		"cells over one another":           `<table>` + strings.Repeat(`<tr><td colspan=1000 rowspan=60000>one`, 2000) + `<tr><td>two</table>`,
		"a broad row and many narrow":      `<table><tr>` + strings.Repeat(`<td>one`, 30_000) + strings.Repeat(`<tr><td>two`, 3000) + `</table>`,
		"a long text and many short":       `<table><tr><td>one` + strings.Repeat(`x`, 1<<20) + strings.Repeat(`<tr><td>two`, 3000) + `</table>`,
		"quotes in quotes":                 strings.Repeat(`<blockquote>`, 400) + `one` + strings.Repeat(`<br>x`, 10_000) + `<p>two`,
		"lists in lists":                   strings.Repeat(`<ul><li>`, 200) + `one` + strings.Repeat(`<br>x`, 10_000) + `<p>two`,
	} {
		text, err := markdown([]byte(page))
		if most := 10*len(page) + 1<<20; err != nil || len(text) > most {
			t.Errorf("%s: %d bytes of %d, %v", name, len(text), len(page), err)
		}
		for _, word := range []string{"one", "two"} {
			if !strings.Contains(string(text), word) {
				t.Errorf("%s: lacks %q", name, word)
			}
		}
	}
}
