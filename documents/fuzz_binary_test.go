package documents

import (
	"bytes"
	"encoding/csv"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/drover-batch/drover/jobs"
)

// fuzzBinary fuzzes a format from the files that testdata/make.py made.
func fuzzBinary(f *testing.F, format string, names ...string) {
	for _, name := range names {
		f.Add(made(f, name))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, it := range fuzzRead(t, format, data) {
			if it.Document.Type == "" && (!utf8.Valid(it.Document.Body) || bytes.IndexByte(it.Document.Body, 0) >= 0) {
				t.Errorf("not text: %q", it.Document.Body)
			}
		}
	})
}

func FuzzDOCX(f *testing.F)    { fuzzBinary(f, "docx", "service.docx", "invoices.xlsx") }
func FuzzXLSX(f *testing.F)    { fuzzBinary(f, "xlsx", "invoices.xlsx", "service.docx") }
func FuzzParquet(f *testing.F) { fuzzBinary(f, "parquet", "rows.parquet") }
func FuzzZip(f *testing.F)     { fuzzBinary(f, "zip", "bundle.zip", "invoices.xlsx") }
func FuzzImage(f *testing.F)   { fuzzBinary(f, "image", "red.png", "red.jpg", "red.webp", "red.gif") }

// FuzzDOCXBody fuzzes the XML within, which FuzzDOCX hardly reaches through
// its compression.
func FuzzDOCXBody(f *testing.F) {
	const head = `<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"><w:body>`
	for _, body := range []string{
		`<w:p><w:r><w:t>Hello</w:t></w:r></w:p>`,
		`<w:tbl><w:tr><w:tc><w:tcPr><w:gridSpan w:val="3"/></w:tcPr><w:p><w:r><w:t>a|b</w:t></w:r></w:p></w:tc></w:tr></w:tbl>`,
		`<w:p><w:pPr><w:numPr><w:ilvl w:val="1"/><w:numId w:val="1"/></w:numPr></w:pPr><w:r><w:t>x</w:t><w:tab/><w:br/></w:r></w:p>`,
		`<w:p><w:r><w:rPr><w:vanish/></w:rPr><w:t>hidden</w:t></w:r><w:del><w:r><w:t>gone</w:t></w:r></w:del></w:p>`,
		`<w:tbl><w:tr/><w:tc/></w:tbl></w:p>`, `&lol;`, `</w:body>`,
	} {
		f.Add([]byte(head + body))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		packed := zipped(t, "word/document.xml", string(data), "word/footnotes.xml", string(data), "word/numbering.xml", string(data), "word/styles.xml", string(data))
		fuzzRead(t, "docx", []byte(packed))
	})
}

// FuzzXLSXSheet fuzzes the worksheet within.
func FuzzXLSXSheet(f *testing.F) {
	const types = `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/></Types>`
	const book = `<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="S" sheetId="1" r:id="rId1"/></sheets></workbook>`
	const links = `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/></Relationships>`
	for _, rows := range []string{
		`<row r="1"><c r="A1" t="inlineStr"><is><t>id</t></is></c></row><row r="2"><c r="A2"><v>1</v></c></row>`,
		`<row r="1"><c r="XFD1"><v>1</v></c></row><row r="1048576"><c t="s"><v>99</v></c></row>`,
		`<row r="-1"><c r="A0"><v>x</v></c></row>`, `<row><c t="d"><v>2026-01-01</v></c>`, `&lol;`,
	} {
		f.Add([]byte(`<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>` + rows + `</sheetData></worksheet>`))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		fuzzRead(t, "xlsx", []byte(zipped(t, "[Content_Types].xml", types, "xl/workbook.xml", book, "xl/_rels/workbook.xml.rels", links, "xl/worksheets/sheet1.xml", string(data))))
	})
}

// FuzzPDF fuzzes what is ours about PDF files: what becomes of pages of text,
// wherever they come from.
func FuzzPDF(f *testing.F) {
	for _, s := range []string{"", "a\fb", "  x\n\n\n\n  y", "\u00ad\x00\x1b[31m", "\xff\f\f", "a          b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		pages := strings.Split(text, "\f")
		got := paginated(slices.Clone(pages))
		if got == nil {
			return
		}
		if !utf8.Valid(got) || bytes.ContainsAny(got, "\x00\x1b") || bytes.Count(got, []byte("\f")) != len(pages)-1 {
			t.Errorf("%q became %q", text, got)
		}
		var runs []run
		for i, p := range pages {
			runs = append(runs, run{p, float64(i), float64(i + len(p)), float64(-i), float64(-i - 10)})
		}
		layout(runs)
	})
}

// FuzzPDFFile fuzzes whichever program reads PDF files here. It is slow.
func FuzzPDFFile(f *testing.F) {
	if _, err := exec.LookPath("pdftotext"); err != nil {
		f.Skip("pdftotext is not here")
	}
	fuzzBinary(f, "pdf", "lease.pdf", "owner.pdf", "locked.pdf", "scan.pdf")
}

func FuzzCSVResults(f *testing.F) {
	for _, s := range []string{"=1", "+", "-1", "@x", "\t=", "a\"b", "\r\n=1", "\x1b[1m=1", "＝1", "é", "\x00=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, answer string) {
		var b bytes.Buffer
		if err := NewCSVResults(&b).Write(&jobs.Outcome{CustomID: "a", Answer: answer, Status: jobs.Answered}); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(&b).ReadAll()
		if err != nil || len(rows) != 2 {
			t.Fatalf("%q: %v", answer, err)
		}
		got := rows[1][6]
		if begins := strings.TrimLeft(got, " \n"); begins != "" && strings.ContainsAny(begins[:1], "=+-@\t\r") && !plainNumber.MatchString(got) {
			t.Errorf("%q became %q", answer, got)
		}
	})
}

// TestFixturesAreSmall keeps the repository light.
func TestFixturesAreSmall(t *testing.T) {
	all, err := filepath.Glob("testdata/files/*")
	if err != nil || len(all) < 10 {
		t.Fatal(all, err)
	}
	for _, name := range all {
		if info, err := os.Stat(name); err != nil || info.Size() > 40<<10 {
			t.Error(name, info.Size(), err)
		}
	}
}
