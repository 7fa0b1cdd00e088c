package documents

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"slices"
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

func TestNavigationOfPagesWithoutItsElementsIsLeftOut(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"a.html": `<title>Pumps</title><div role="banner">ACME</div><div role="navigation"><a href="/">Home</a></div>
		<div role="search">Find</div><div><h1>Pumps</h1><p>They leak.</p></div><div role="complementary">Ads</div><div role="contentinfo">Imprint</div>`})
	items, _ := readAll(t, Config{}, dir, dir)
	if diff := cmp.Diff(map[string]string{"a.html": "# Pumps\n\nThey leak.\n"}, bodies(items)); diff != "" {
		t.Error(diff)
	}
}

func TestMailAndTarArchivesAreNamed(t *testing.T) {
	t.Parallel()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	if err := errors.Join(w.WriteHeader(&tar.Header{Name: "a.txt"}), w.Close()); err != nil {
		t.Fatal(err)
	}
	dir := folder(t, map[string]string{"a.eml": "Subject: Lease\nContent-Transfer-Encoding: base64\n\nSGVsbG8=\n", "b.tar": archive.String()})
	items, problems := readAll(t, Config{}, dir, dir)
	want := []string{
		"a.eml: is mail; save it as text, HTML or PDF where you read it",
		"b.tar: is a tar archive; unpack it, or pack it as a zip archive",
	}
	if diff := cmp.Diff(want, problems); diff != "" || len(items) > 0 {
		t.Error(ids(items), diff)
	}
	if items, _ := readAll(t, Config{Format: "text"}, dir, dir+"/a.eml"); len(items) != 1 {
		t.Error("mail is not read as text on request")
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

// A price of 1,234,567.89 in a decimal of 32 bits became 1.234567875e+06.
func TestNumbersOfAParquetFileKeepTheirDigits(t *testing.T) {
	t.Parallel()
	type row struct {
		ID    string    `parquet:"id"`
		Price int32     `parquet:"price,decimal(2:9)"`
		Sum   *int64    `parquet:"sum,optional,decimal(4:18)"`
		Ratio float32   `parquet:"ratio"`
		Total float64   `parquet:"total"`
		Parts []float64 `parquet:"parts,list"`
	}
	sum := int64(123_456_789_012_345_678)
	data := parquetFile(t, []row{
		{"a", 123_456_789, &sum, 0.1, 1_500_000.5, []float64{0.25, 2e6}},
		{"b", -5, nil, 1e-7, 1e21, nil},
	})
	items, problems := readAll(t, Config{Format: "parquet", Stdin: bytes.NewReader(data)}, "", "-")
	want := []map[string]string{
		{"id": "a", "price": "1234567.89", "sum": "12345678901234.5678", "ratio": "0.1", "total": "1500000.5", "parts": "[0.25,2000000]"},
		{"id": "b", "price": "-0.05", "sum": "", "ratio": "1e-07", "total": "1e+21", "parts": "[]"},
	}
	var got []map[string]string
	for _, it := range items {
		got = append(got, it.Document.Fields)
	}
	if diff := cmp.Diff(want, got); diff != "" || problems != nil {
		t.Error(diff, problems)
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
	return pdfFile(
		"<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>",
		"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>",
		fmt.Sprintf("<</Length %d>>stream\n%s\nendstream", len(page), page),
		"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
	)
}

// pdfFile is a PDF file of these objects, of which the first is the catalog.
func pdfFile(objects ...string) string {
	var b strings.Builder
	b.WriteString("%PDF-1.4\n")
	var places []int
	for i, object := range objects {
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

// inColumns lays two columns out beside one another, as pdftotext does.
func inColumns(left, right []string) string {
	var b strings.Builder
	for i := range max(len(left), len(right)) {
		l, r := "", ""
		if i < len(left) {
			l = left[i]
		}
		if i < len(right) {
			r = right[i]
		}
		fmt.Fprintf(&b, "%-42s%s\n", l, r)
	}
	return b.String()
}

var (
	leftColumn = []string{
		"The landlord lets to the tenant the hall", "at the harbour, with all its machines,", "for five years. The tenant may extend it",
		"by a year at a time, if this is told the", "landlord six months before the end, and", "in writing. The rent is due on the first",
	}
	rightColumn = []string{
		"day of the month. Who pays late owes", "interest of nine percent. Heating is paid", "with the rent, and settled once a year",
		"when the meters have been read. Repairs", "of up to 200 euros are for the tenant,", "all others for the landlord.",
	}
)

func TestSentencesOfTwoColumnsStayInOnePiece(t *testing.T) {
	t.Parallel()
	head, foot := strings.Repeat(" ", 30)+"LEASE OF A HALL\n\n", "\n"+strings.Repeat(" ", 40)+"7\n"
	both := strings.Join(slices.Concat(leftColumn, rightColumn), "\n")
	got := string(paginated([]string{head + inColumns(leftColumn, rightColumn) + foot}))
	if !strings.HasSuffix(got, "LEASE OF A HALL\n\n"+both+"\n\n    7\n") {
		t.Error(got)
	}
}

func TestColumnsAreFoundInTheSandboxToo(t *testing.T) {
	t.Parallel()
	across := leftColumn[5] + ") Tj 252 70 Td (" + rightColumn[0] // to where the second column begins
	dir := folder(t, map[string]string{"a.pdf": onePage(slices.Concat(leftColumn[:5], []string{across}, rightColumn[1:])...)})
	want := strings.Join(slices.Concat(leftColumn, rightColumn), "\n") + "\n"
	for _, isolate := range []bool{false, true} {
		if _, err := exec.LookPath("pdftotext"); !isolate && err != nil {
			continue
		}
		items, problems := readAll(t, Config{Isolate: isolate}, dir, dir)
		if diff := cmp.Diff(map[string]string{"a.pdf": want}, bodies(items)); diff != "" {
			t.Error(isolate, problems, diff)
		}
	}
}

func TestTablesAreNoColumns(t *testing.T) {
	t.Parallel()
	for what, page := range map[string]string{
		"short cells": inColumns(leftColumn, []string{"per piece", "per metre", "per hour", "per head", "per night", "per mile"}),
		"full names": inColumns(
			[]string{"Nordwind Logistics GmbH, Hamburg", "Globex Corporation, Springfield", "Acme Incorporated, Albuquerque", "Initech Limited, Austin, Texas", "Umbrella Holdings, Raccoon City", "Hooli Ventures, Mountain View"},
			[]string{"Transport of goods by road and sea", "Power from the atom, for everybody", "Anvils, rockets, and other supplies", "Reports about reports on time", "Medicines that nobody has tested", "Search, and boxes for signatures"}),
		"numbered rows": inColumns(
			[]string{"1   The supplier shall answer within", "    two hours of every working day", "2   The supplier shall keep spare parts", "    for ten years from the delivery", "3   The supplier shall train the staff", "    of the buyer, once for each plant"},
			rightColumn),
		"few lines": inColumns(leftColumn[:4], rightColumn[:4]),
		"a paragraph across": inColumns(leftColumn, rightColumn) +
			strings.Repeat("This is a paragraph that runs across the whole width of the page, as most do.\n", 9),
	} {
		if got := unfold(page); got != page {
			t.Errorf("%s:\n%s", what, got)
		}
	}
}

func TestALetterThatLeansOverToTheNextWordIsReadOnce(t *testing.T) {
	t.Parallel()
	text := "BT /F1 12 Tf 40 700 Td (all) Tj 10 0 Td (mmap) Tj 60 0 Td (events) Tj ET" // m begins above the last l
	page := "<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<</Font<</F1 3 0 R>>>>/Contents 5 0 R>>"
	dir := folder(t, map[string]string{"a.pdf": pdfFile("<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[4 0 R]/Count 1>>",
		"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>", page, fmt.Sprintf("<</Length %d>>\nstream\n%s\nendstream", len(text), text))})
	items, problems := readAll(t, Config{Isolate: true}, dir, dir)
	if diff := cmp.Diff(map[string]string{"a.pdf": "allmmap    events\n"}, bodies(items)); diff != "" {
		t.Error(problems, diff)
	}
}

func TestLettersBeyondTheFirstPlaneAreReadInTheSandbox(t *testing.T) {
	t.Parallel()
	codes := "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /A def\n1 begincodespacerange <00> <FF> endcodespacerange\n" +
		"2 beginbfchar\n<41> <D83DDE00>\n<42> <00660069>\nendbfchar\nendcmap end end"
	text := "BT /F1 12 Tf 40 700 Td (yes A, Bne) Tj ET"
	stream := func(s string) string { return fmt.Sprintf("<</Length %d>>\nstream\n%s\nendstream", len(s), s) }
	page := "<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<</Font<</F1 3 0 R>>>>/Contents 5 0 R>>"
	dir := folder(t, map[string]string{"a.pdf": pdfFile("<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[4 0 R]/Count 1>>",
		"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/ToUnicode 6 0 R>>", page, stream(text), stream(codes))})
	items, problems := readAll(t, Config{Isolate: true}, dir, dir)
	if diff := cmp.Diff(map[string]string{"a.pdf": "yes \U0001F600, fine\n"}, bodies(items)); diff != "" {
		t.Error(problems, diff)
	}
}
