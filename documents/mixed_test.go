package documents

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"github.com/xuri/excelize/v2"
)

func TestRowsBelowATitleSayThatTheHeaderIsMissing(t *testing.T) {
	t.Parallel()
	f := excelize.NewFile()
	for i, row := range [][]any{{"Invoices of May"}, {"vendor", "amount"}, {"Acme", 3}} {
		if err := f.SetSheetRow("Sheet1", fmt.Sprintf("A%d", i+1), &row); err != nil {
			t.Fatal(err)
		}
	}
	var book bytes.Buffer
	if err := f.Write(&book); err != nil {
		t.Fatal(err)
	}
	dir := folder(t, map[string]string{"a.xlsx": book.String(), "b.csv": "Invoices of May\nvendor,amount\nAcme,3\n"})
	items, problems := readAll(t, Config{}, dir, dir)
	want := []string{
		"a.xlsx/Sheet1:2: has 2 columns and the header 1; " + headed,
		"a.xlsx/Sheet1:3: has 2 columns and the header 1; " + headed,
		"b.csv:2: has 2 columns and the header 1; " + headed,
		"b.csv:3: has 2 columns and the header 1; " + headed,
	}
	if diff := cmp.Diff(want, problems); diff != "" || len(items) > 0 {
		t.Error(ids(items), diff)
	}
}

func TestParquetRowWithoutItsTextIsNamed(t *testing.T) {
	t.Parallel()
	type row struct {
		ID   string  `parquet:"id"`
		Text *string `parquet:"text,optional"`
	}
	text := "The pump leaks."
	var file bytes.Buffer
	if err := parquet.Write(&file, []row{{"p1", &text}, {"p2", nil}}); err != nil {
		t.Fatal(err)
	}
	dir := folder(t, map[string]string{"a.parquet": file.String()})
	items, problems := readAll(t, Config{}, dir, dir)
	if diff := cmp.Diff(map[string]string{"p1": text}, bodies(items)); diff != "" {
		t.Error(diff)
	}
	want := []string{`a.parquet:2: its column "text" is empty; put text in it or leave the row out`}
	if diff := cmp.Diff(want, problems); diff != "" {
		t.Error(diff)
	}
}

func TestBitmapFontsOfTeXKeepTheirLigatures(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"the e\x1ecient o\x1bers of \x1cve \x1dasks": "the efficient offers of five flasks\n",
		"\x10of \x1crst rank\x11 \x16 10\x1520":      "“of first rank” — 10–20\n",
		"co\x1foperate":                              "cooperate\n", // another's hyphen
	} {
		if got := string(paginated([]string{given})); got != want {
			t.Errorf("%q becomes %q", given, got)
		}
	}
}

// onePage is a PDF file of one page with these lines.
func onePage(lines ...string) string {
	page := "BT /F 12 Tf 14 TL 72 720 Td (" + strings.Join(lines, ") Tj T* (") + ") Tj ET"
	var b strings.Builder
	b.WriteString("%PDF-1.4\n")
	var places []int
	for i, object := range []string{
		"<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>",
		"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>",
		fmt.Sprintf("<</Length %d>>stream\n%s\nendstream", len(page), page),
		"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
	} {
		places = append(places, b.Len())
		fmt.Fprintf(&b, "%d 0 obj%s endobj\n", i+1, object)
	}
	xref := b.Len()
	fmt.Fprintf(&b, "xref\n0 %d\n0000000000 65535 f \n", len(places)+1)
	for _, at := range places {
		fmt.Fprintf(&b, "%010d 00000 n \n", at)
	}
	fmt.Fprintf(&b, "trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n", len(places)+1, xref)
	return b.String()
}

func TestWordsDividedAtTheEndOfALineKeepTheirHyphenInTheSandbox(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"a.pdf": onePage("Here are five differ-", "ent flasks.")})
	items, problems := readAll(t, Config{Isolate: true}, dir, dir)
	if diff := cmp.Diff(map[string]string{"a.pdf": "Here are five differ-\nent flasks.\n"}, bodies(items)); diff != "" {
		t.Error(problems, diff)
	}
}
