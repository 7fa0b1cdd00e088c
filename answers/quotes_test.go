package answers

import (
	"strings"
	"testing"

	"github.com/drover-batch/drover/jobs"
)

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
