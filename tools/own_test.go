package tools

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/drover-batch/drover/jobs"
)

func asked(t *testing.T, doc, call string) string {
	t.Helper()
	return New(Config{}).kit(t, "doc.*").replies(t, &jobs.Document{Body: []byte(doc)}, call)[0]
}

const contract = "# Lease\n\nBetween Ada\nand Bob.\f1. Term\n\nIt ends on 3 May.\fPAYMENT\n\nThe rent is due\n monthly. The Rent is high."

func TestOutlineListsHeadingsAndPages(t *testing.T) {
	t.Parallel()
	want := "3 pages, 109 characters\npage 1: # Lease\npage 2: 1. Term\npage 3: PAYMENT\n"
	if got := asked(t, contract, "doc_outline"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	contains(t, asked(t, "just\nplain words", "doc_outline"), "page 1 begins: just")
}

func TestPagesAreReadByRange(t *testing.T) {
	t.Parallel()
	for call, want := range map[string]string{
		"doc_read":                      "[page 1 of 3]\n# Lease\n\nBetween Ada\nand Bob.\n",
		`doc_read {"from":2}`:           "[page 2 of 3]\n1. Term\n\nIt ends on 3 May.\n",
		`doc_read {"from":2,"to":99}`:   "[page 2 of 3]\n1. Term\n\nIt ends on 3 May.\n[page 3 of 3]\nPAYMENT\n\nThe rent is due\n monthly. The Rent is high.\n",
		`doc_read {"from":4}`:           "Error: there is no page 4: the document has pages 1 to 3",
		`doc_read {"from":0}`:           "Error: there is no page 0: the document has pages 1 to 3",
		`doc_read {"from":2,"to":1}`:    "Error: from 2 to 1 is no range of pages",
		`doc_read {"from":"../secret"}`: "Error: from and to are page numbers such as 3",
	} {
		if got := asked(t, contract, call); got != want {
			t.Errorf("%s: got %q, want %q", call, got, want)
		}
	}
}

// What was beyond the first 32 KiB of a page could not be read: "ask for less at a
// time", of a page.
func TestAPageLongerThanAResultIsReadToItsEnd(t *testing.T) {
	t.Parallel()
	doc := "Drawing 1\f" + strings.Repeat("a line of a large table\n", 2000) + "the very end"
	found := asked(t, doc, `doc_search {"text":"very end"}`)
	page, _, _ := strings.Cut(strings.TrimPrefix(found, "page "), ":")
	got := asked(t, doc, `doc_read {"from":`+page+`}`)
	contains(t, got, "the very end")
	if strings.Contains(got, "left out") {
		t.Errorf("page %s is cut: %s", page, got[len(got)-100:])
	}
}

func TestSearchFoldsCaseAndWhiteSpace(t *testing.T) {
	t.Parallel()
	for call, want := range map[string]string{
		`doc_search {"text":"RENT  is"}`:    "page 3: PAYMENT The rent is due monthly. The Rent is high.\npage 3: PAYMENT The rent is due monthly. The Rent is high.\n",
		`doc_search {"text":"ada and bob"}`: "page 1: # Lease Between Ada and Bob.\n",
		`doc_search {"text":"June"}`:        `the document does not say "June"`,
		`doc_search {"text":" "}`:           "Error: text is empty",
	} {
		if got := asked(t, contract, call); got != want {
			t.Errorf("%s: got %q, want %q", call, got, want)
		}
	}
	contains(t, asked(t, strings.Repeat("on and on ", 50), `doc_search {"text":"on and"}`), "[30 further places left out]")
}

func TestSearchCrossesLinesAndPages(t *testing.T) {
	t.Parallel()
	const doc = "The tenant may give\n   notice of\f\fthree months. The agree-\nment ends with a well-\nknown sign, pre- and post-\nwar.\f" +
		"- Stop-gap at -5 %. In Ŝtĭ 契約は\n終了する。"
	for text, want := range map[string]string{
		"give notice":             "page 1: The tenant may give notice of\n",
		"NOTICE OF three  months": "page 1: The tenant may give notice of three months. The agree- ment ends with a well- known sign, pre- and post- war.\n",
		"three months":            "page 3: ",
		"the agreement ends":      "page 3: ",
		"agree-\\nment":           "page 3: ",
		"a well-known sign":       "page 3: ",
		"pre- and post-war. -":    "page 3: ",
		"wellknown":               "page 3: ",
		"post-":                   "page 3: ",
		"stop-gap":                "page 4: ",
		"-gap":                    "page 4: ",
		"-5 %":                    "page 4: ",
		"ŝtĭ":                     "page 4: ",
		"契約は終了":                   "page 4: ",
		"stopgap":                 "the document does not say",
		"pre-and":                 "the document does not say",
		"ten-\\nant may":          "page 1: ",
		"ten-ant may":             "the document does not say",
		"tenant-may":              "the document does not say",
		"ment-":                   "the document does not say",
		"-ends":                   "the document does not say",
		"of three months. the s":  "the document does not say",
	} {
		if got := asked(t, doc, `doc_search {"text":"`+text+`"}`); !strings.HasPrefix(got, want) || strings.Count(got, "page ") > 1 {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func TestSearchFindsWhatIsSetOtherwise(t *testing.T) {
	t.Parallel()
	const doc = "The “Term” is ‘ﬁxed’.\n\f[page 2]\nThe oﬃce is open 1998–2004… In the Cafe\u0301 no agree\u00adment\u200b was found.\f[page 3]\n" +
		"300 K in İzmir, STRAẞE: »so«."
	for text, want := range map[string]string{
		`\"term\" is 'fixed'.`:     "page 1: The “Term” is ‘ﬁxed’.",
		`“term”`:                   "page 1: The “Term” is ‘ﬁxed’.",
		"’fixed’. the office":      "page 1: ",
		"Ofﬁce is open 1998-2004":  "page 2: ",
		"2004...":                  "page 2: ",
		"the café no agreement":    "page 2: ",
		"agreement was found. 300": "page 2: ",
		"300 k in i":               "page 3: ",
		`straße: \"so\"`:           "page 3: ",
		"cafe no":                  "the document does not say",
		"19982004":                 "the document does not say",
	} {
		if got := asked(t, doc, `doc_search {"text":"`+text+`"}`); !strings.HasPrefix(got, want) || strings.Count(got, "\n") > 1 {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// Text without pages is cut into some, also in the middle of a word.
func TestSearchCrossesPagesThatWereMade(t *testing.T) {
	t.Parallel()
	for phrase, doc := range map[string]string{
		"needle":  strings.Repeat("x", pageSize-3) + "needle" + strings.Repeat("x", pageSize),
		"nee dle": strings.Repeat("x ", pageSize/2-2) + "nee dle" + strings.Repeat(" x", pageSize),
	} {
		got := asked(t, doc, `doc_search {"text":"`+phrase+`"}`)
		if !strings.HasPrefix(got, "page 1: ") || !strings.Contains(got, phrase) || strings.Count(got, "page ") != 1 {
			t.Errorf("%q: got %q", phrase, got)
		}
	}
}

func TestLongDocumentsWithoutPagesAreGivenSome(t *testing.T) {
	t.Parallel()
	doc := strings.Repeat(strings.Repeat("wörter ", 60)+"\n\n", 100)
	p := paged(&jobs.Document{Body: []byte(doc)})
	if strings.Join(p.pages, "") != strings.TrimRight(doc, "\n") {
		t.Error("the pages are not the document")
	}
	for i, page := range p.pages {
		if len(page) > pageSize || !utf8.ValidString(page) || i < len(p.pages)-1 && !strings.HasSuffix(page, "\n\n") {
			t.Errorf("page %d has %d bytes and ends with %q", i+1, len(page), page[len(page)-10:])
		}
	}
	all := asked(t, doc, `doc_read {"from":1,"to":99}`)
	contains(t, all, "left out: read them by themselves]")
	if len(all) > ownSize {
		t.Errorf("%d bytes came back", len(all))
	}
}

func TestDocumentsThatAreNotUTF8HavePages(t *testing.T) {
	t.Parallel()
	doc := strings.Repeat("\x83", 3*pageSize)
	contains(t, asked(t, doc, "doc_outline"), "4 pages, 9000 characters")
}

func TestPicturesHaveNoText(t *testing.T) {
	t.Parallel()
	got := New(Config{}).kit(t, "doc.*").replies(t, &jobs.Document{Type: "image/png", Body: []byte("x")}, "doc_read")[0]
	contains(t, got, "Error: the document is a picture (image/png)")
}

// FuzzOwnTools: whatever documents and models say, the tools over documents
// answer with clean text of bounded size.
func FuzzOwnTools(f *testing.F) {
	f.Add(contract, `{"text":"rent"}`)
	f.Add("İ\u0130ß\xff", `{"text":"i"}`)
	f.Add("agree-\nment\f-well-\fknown", `{"text":"-agreement -wellknown-"}`)
	f.Add(strings.Repeat("a", 7000), `{"from":1,"to":3}`)
	f.Fuzz(func(t *testing.T, doc, arguments string) {
		k, err := New(Config{}).Kit(t.Context(), []string{"doc.*"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		talk := []jobs.Message{{Calls: []jobs.ToolCall{{Name: "doc_outline"}, {Name: "doc_read", Arguments: arguments}, {Name: "doc_search", Arguments: arguments}}}}
		for i, m := range k.Run(t.Context(), &jobs.Document{Body: []byte(doc)}, talk, nil) {
			if strings.Contains(m.Text, "panicked") {
				t.Errorf("%s: %s", talk[0].Calls[i].Name, m.Text)
			}
			if len(m.Text) > ownSize+100 || clean(m.Text) != m.Text {
				t.Errorf("%s: %d bytes, %q", talk[0].Calls[i].Name, len(m.Text), clip(m.Text))
			}
		}
	})
}
