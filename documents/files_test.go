package documents

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// made is a file in testdata/files, made by testdata/make.py.
func made(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "files", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// bodies maps custom ids to texts.
func bodies(items []Item) map[string]string {
	out := map[string]string{}
	for _, it := range items {
		out[it.CustomID] = string(it.Document.Body)
	}
	return out
}

const lease = "Lease Agreement\n" +
	"This agreement is made between Nordwind Logistics GmbH (the landlord) and Café Ölmühle\n" +
	"OHG (the tenant). The monthly rent is 1,250.00 euros, due on the third working day.\n" +
	"Item Quantity Price\nChairs 12 480.00\nTables 3 900.00\n" +
	"\fTerm\n" +
	"The lease ends on 31 March 2027 and may be ended by either party with six months’ notice.\n"

// packed takes out the space that depends on who lays a page out.
func packed(text string) string {
	var lines []string
	for line := range strings.SplitSeq(text, "\n") {
		if line = strings.Join(strings.FieldsFunc(line, func(r rune) bool { return r == ' ' }), " "); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n") + "\n"
}

func TestPDFsAreReadWithPagesOrNamed(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{
		"cut.pdf": string(made(t, "lease.pdf")[:500]), "letter.txt": string(made(t, "owner.pdf")), "none.pdf": "Hello, I am text.",
	})
	for _, name := range []string{"lease.pdf", "locked.pdf", "scan.pdf"} {
		if err := os.WriteFile(filepath.Join(dir, name), made(t, name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, isolate := range []bool{false, true} {
		if _, err := exec.LookPath("pdftotext"); !isolate && err != nil {
			t.Log("pdftotext is not here: its part is left out")
			continue
		}
		items, problems := readAll(t, Config{Isolate: isolate}, dir, dir)
		got := bodies(items)
		for name, text := range got {
			got[name] = packed(text)
		}
		want := map[string]string{"lease.pdf": lease, "letter.txt": "Everybody may read this.\n"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(isolate, diff)
		}
		broken := problems[0]
		if !strings.HasPrefix(broken, "cut.pdf: is a broken PDF file: ") || !strings.HasSuffix(broken, "; save it anew or leave it out") {
			t.Error(isolate, broken)
		}
		rest := []string{
			"locked.pdf: is encrypted; save it without a password: qpdf --decrypt --password=… FILE.pdf PLAIN.pdf",
			"none.pdf: is called .pdf and is no PDF file; give it the name of what it is, or leave it out",
			"scan.pdf: has no text, as scans have none; recognise its text first: ocrmypdf FILE.pdf FILE.pdf",
		}
		if diff := cmp.Diff(rest, problems[1:]); diff != "" {
			t.Error(isolate, diff)
		}
	}
}

func TestAPDFWithTooMuchTextIsNamed(t *testing.T) {
	t.Parallel()
	for _, isolate := range []bool{false, true} {
		_, problems := readAll(t, Config{Isolate: isolate, MaxBody: 100}, "testdata/files", "testdata/files/lease.pdf")
		want := []string{"lease.pdf: is larger than 100 bytes; split it"}
		if diff := cmp.Diff(want, problems); diff != "" {
			t.Error(isolate, diff)
		}
	}
}

func TestThePageOfASandboxIsLaidOut(t *testing.T) {
	t.Parallel()
	at := func(x, y float64, text string) run {
		return run{text, x, x + 5*float64(len([]rune(text))), y + 10, y}
	}
	got := layout([]run{
		at(200, 700, "Price"), at(50, 700, "Item"), at(50, 686, "Pump"), at(200, 687, "12.50"),
		at(50, 600, "No"), at(60, 600, "body"), at(82, 600, "knows"), at(107, 600, " .  "),
	})
	want := "          Item                          Price\n          Pump                          12.50\n\n          Nobody knows .\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWordDocumentsBecomeMarkdown(t *testing.T) {
	t.Parallel()
	items, problems := readAll(t, Config{}, "", "testdata/files/service.docx")
	want := `# Service Agreement

# Scope

The supplier maintains all pumps at the plant in Gießen.

## Duties

- Inspect monthly
- Repair within 48 hours
1. First reminder
2. Second reminder

| Pump | Fee \| year |
| --- | --- |
| North | € 1,200 |
| South | € 900 |

Either party may terminate with three months’ notice.
`
	if diff := cmp.Diff(map[string]string{"service.docx": want}, bodies(items)); diff != "" || problems != nil {
		t.Error(diff, problems)
	}
}

func TestTheRowsOfAWorkbookAreDocuments(t *testing.T) {
	t.Parallel()
	items, problems := readAll(t, Config{}, "testdata/files", "testdata/files/invoices.xlsx")
	type row struct {
		id, source string
		fields     map[string]string
	}
	var got []row
	for _, it := range items {
		got = append(got, row{it.CustomID, it.Document.Source, it.Document.Fields})
	}
	want := []row{
		{"inv-1", "invoices.xlsx/Invoices:2", map[string]string{"id": "inv-1", "vendor": "Acme", "amount": "1,250.50", "due": "2026-03-01"}},
		{"inv-2", "invoices.xlsx/Invoices:4", map[string]string{"id": "inv-2", "vendor": "Globex GmbH", "amount": "-3.00", "due": "2026-04-15"}},
		{"invoices.xlsx/Notes:2", "invoices.xlsx/Notes:2", map[string]string{"vendor": "Acme", "note": "pays late"}},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(row{})); diff != "" || problems != nil {
		t.Error(diff, problems)
	}
}

func TestTheRowsOfAParquetFileAreDocuments(t *testing.T) {
	t.Parallel()
	items, problems := readAll(t, Config{}, "", "testdata/files/rows.parquet")
	var fields []map[string]string
	for _, it := range items {
		fields = append(fields, it.Document.Fields)
	}
	want := []map[string]string{
		{"id": "p-1", "n": "1", "price": "12.50", "day": "2026-03-01", "at": "2026-03-01T12:30:15", "ok": "true", "score": "0.1", "tags": `["a","b"]`, "place": `{"city":"Gießen","zip":35390}`},
		{"id": "p-2", "n": "", "price": "-0.05", "day": "", "at": "", "ok": "false", "score": "1e+30", "tags": "[]", "place": ""},
		{"id": "", "n": "3", "price": "", "day": "1969-12-31", "at": "", "ok": "", "score": "", "tags": "", "place": `{"city":"Bonn","zip":null}`},
	}
	if diff := cmp.Diff(want, fields); diff != "" || problems != nil {
		t.Error(diff, problems)
	}
	texts := map[string]string{"p-1": "The pump leaks.", "p-2": "Le café est fermé.", "rows.parquet:3": "No id here."}
	if diff := cmp.Diff(texts, bodies(items)); diff != "" {
		t.Error(diff)
	}
}

func TestImagesKeepTheirBytes(t *testing.T) {
	t.Parallel()
	png := string(made(t, "red.png"))
	dir := folder(t, map[string]string{
		"a.png": png, "b": png, "c.txt": string(made(t, "red.webp")), "d.jpg": string(made(t, "red.jpg")), "e.gif": string(made(t, "red.gif")),
		"f.png": png[:40], "g.webp": string(made(t, "red.webp")[:40]), "h.jpg": "hello",
	})
	items, problems := readAll(t, Config{}, dir, dir)
	types := map[string]string{}
	for _, it := range items {
		types[it.CustomID] = it.Document.Type
	}
	want := map[string]string{"a.png": "image/png", "b": "image/png", "c.txt": "image/webp", "d.jpg": "image/jpeg", "e.gif": "image/gif"}
	if diff := cmp.Diff(want, types); diff != "" || bodies(items)["a.png"] != png {
		t.Error(diff)
	}
	named := []string{
		"f.png: is a broken image; save it anew or leave it out",
		"g.webp: is a broken image; save it anew or leave it out",
		"h.jpg: is called an image and is none; give it the name of what it is, or leave it out",
	}
	if diff := cmp.Diff(named, problems); diff != "" {
		t.Error(diff)
	}
}

func TestBrokenOfficeFilesAreNamed(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{
		"a.docx": string(made(t, "service.docx")[:9000]), "b.docx": oldOffice + strings.Repeat("\x00", 600), "c.docx": "text",
		"d.xlsx": string(made(t, "invoices.xlsx")[:3000]), "e.xlsx": oldOffice + strings.Repeat("\x00", 600), "f.docx": string(made(t, "invoices.xlsx")),
		"g.parquet": string(made(t, "rows.parquet")[:3000]), "h.parquet": "PAR1", "i.xlsx": string(made(t, "service.docx")),
		"j.docx": "PK\x05\x06" + strings.Repeat("\x00", 18),
	})
	items, problems := readAll(t, Config{}, dir, dir)
	want := []string{
		"a.docx: is no Word document, or cut off; save it anew or leave it out",
		"b.docx: is encrypted, or of Office 97; save it without a password, as a Word document of today",
		"c.docx: is no Word document, or cut off; save it anew or leave it out",
		"d.xlsx: is no workbook, or cut off; save it anew or leave it out",
		"e.xlsx: is encrypted, or of Office 97; save it without a password, as a workbook of today",
		"f.docx: is a broken Word document: word/document.xml is missing; save it anew or leave it out",
	}
	if diff := cmp.Diff(want, problems[:6]); diff != "" || len(items) != 0 {
		t.Error(diff, items)
	}
	for i, name := range []string{"g.parquet", "h.parquet", "i.xlsx", "j.docx"} {
		if !strings.HasPrefix(problems[6+i], name+": is ") && !strings.HasPrefix(problems[6+i], name+": has ") {
			t.Error(problems[6+i])
		}
		t.Log(problems[6+i])
	}
}

func TestStandardInputMayBeAnyFormat(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int{"lease.pdf": 1, "service.docx": 1, "invoices.xlsx": 3, "rows.parquet": 3, "red.png": 1} {
		items, problems := readAll(t, Config{Stdin: strings.NewReader(string(made(t, name)))}, "", "-")
		if len(items) != want || problems != nil {
			t.Error(name, len(items), problems)
		}
	}
	items, problems := readAll(t, Config{Format: "csv", Stdin: strings.NewReader(string(made(t, "lease.pdf")))}, "", "-")
	if diff := cmp.Diff([]string{"stdin: is a PDF file; leave --format out"}, problems); diff != "" || items != nil {
		t.Error(diff, items)
	}
}

func TestAReaderThatPanicsIsTheFilesProblem(t *testing.T) {
	t.Parallel()
	var got []string
	w := &walk{config: &Config{MaxBody: 100}, ctx: t.Context(), ids: newRegister()}
	w.yield = func(_ Item, p *Problem) bool {
		got = append(got, p.Error())
		return true
	}
	s := newSource(w, "a.pdf", "a.pdf", 0, strings.NewReader(""))
	more := s.guarded(format{name: "pdf", read: func(*source) bool { panic(errors.New("a library's own")) }})
	want := []string{"a.pdf: cannot be read as pdf: its reader gave up (*errors.errorString); save it anew or leave it out"}
	if diff := cmp.Diff(want, got); diff != "" || !more {
		t.Error(diff, more)
	}
}

func TestAPanicOfWhoeverReadsIsTheirs(t *testing.T) {
	t.Parallel()
	r, err := NewReader(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if v := recover(); v != "mine" {
			t.Errorf("%v came out", v)
		}
	}()
	for range r.Read(t.Context(), "testdata/files/service.docx") {
		panic("mine")
	}
}
