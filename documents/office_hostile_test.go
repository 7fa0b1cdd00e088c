package documents

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/xuri/excelize/v2"
)

const wordHead = `<w:document xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"><w:body>`

func wordFile(t testing.TB, body string, more ...string) string {
	t.Helper()
	return zipped(t, append([]string{"word/document.xml", wordHead + body + "</w:body></w:document>"}, more...)...)
}

func paragraphOf(properties, text string) string {
	return "<w:p><w:pPr>" + properties + "</w:pPr><w:r><w:t>" + text + "</w:t></w:r></w:p>"
}

// Word on the web numbers the parts of a document that it saves.
func TestPartsOfADocumentAreWhereItSays(t *testing.T) {
	t.Parallel()
	relation := func(kind, target string) string {
		return `<Relationship Id="r" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/` + kind + `" Target="` + target + `"/>`
	}
	file := func(main string) string {
		return zipped(t, "[Content_Types].xml", "<Types/>", "_rels/.rels", "<Relationships>"+relation("officeDocument", main)+"</Relationships>",
			"word/_rels/document2.xml.rels", "<Relationships>"+relation("styles", "styles2.xml")+relation("footnotes", "/word/notes/footnotes2.xml")+"</Relationships>",
			"word/document2.xml", wordHead+paragraphOf(`<w:pStyle w:val="Top"/>`, "Lease")+paragraphOf("", "Due.")+"</w:body></w:document>",
			"word/styles2.xml", `<w:styles xmlns:w="x"><w:style w:styleId="Top"><w:name w:val="heading 1"/></w:style></w:styles>`,
			"word/notes/footnotes2.xml", `<w:footnotes xmlns:w="x"><w:footnote w:id="1">`+paragraphOf("", "Or later.")+`</w:footnote></w:footnotes>`)
	}
	dir := folder(t, map[string]string{"a.docx": file("word/document2.xml"), "b.docx": file("/word/document2.xml"), "c": file("/word/document2.xml")})
	items, problems := readAll(t, Config{}, dir, dir)
	got := bodies(items)
	for _, name := range []string{"a.docx", "b.docx", "c"} {
		if text := got[name]; !strings.HasPrefix(text, "# Lease\n\nDue.\n") || !strings.Contains(text, "Or later.") {
			t.Errorf("%s: %q", name, text)
		}
	}
	if problems != nil {
		t.Error(problems)
	}
}

func TestNumbersOfClausesAreRead(t *testing.T) {
	t.Parallel()
	item := func(level, text string) string {
		return paragraphOf(`<w:numPr><w:ilvl w:val="`+level+`"/><w:numId w:val="7"/></w:numPr>`, text)
	}
	numbering := `<w:numbering xmlns:w="x"><w:abstractNum w:abstractNumId="3">
		<w:lvl w:ilvl="0"><w:start w:val="4"/><w:numFmt w:val="upperRoman"/><w:lvlText w:val="Article %1"/></w:lvl>
		<w:lvl w:ilvl="1"><w:start w:val="1"/><w:numFmt w:val="decimal"/><w:lvlText w:val="%1.%2"/></w:lvl>
		<w:lvl w:ilvl="2"><w:start w:val="1"/><w:numFmt w:val="lowerLetter"/><w:lvlText w:val="(%3)"/></w:lvl>
		</w:abstractNum><w:num w:numId="7"><w:abstractNumId w:val="3"/></w:num></w:numbering>`
	dir := folder(t, map[string]string{"a.docx": wordFile(t,
		item("0", "Term")+item("1", "Begin")+item("1", "End")+item("2", "early")+item("2", "late")+item("0", "Fees")+item("1", "Due"),
		"word/numbering.xml", numbering)})
	items, problems := readAll(t, Config{}, dir, dir)
	want := "Article IV Term\n  IV.1 Begin\n  IV.2 End\n    (a) early\n    (b) late\nArticle V Fees\n  V.1 Due\n"
	if diff := cmp.Diff(map[string]string{"a.docx": want}, bodies(items)); diff != "" || problems != nil {
		t.Error(diff, problems)
	}
}

// A list that goes on with the numbers of another began with 1, and one that
// begins with another number too.
func TestListsGoOnAndBeginAnewAsWordNumbersThem(t *testing.T) {
	t.Parallel()
	numbering := `<w:numbering xmlns:w="x"><w:abstractNum w:abstractNumId="3"><w:lvl w:ilvl="0"><w:start w:val="1"/><w:numFmt w:val="decimal"/><w:lvlText w:val="%1."/></w:lvl></w:abstractNum>
		<w:num w:numId="1"><w:abstractNumId w:val="3"/></w:num><w:num w:numId="2"><w:abstractNumId w:val="3"/></w:num>
		<w:num w:numId="5"><w:abstractNumId w:val="3"/><w:lvlOverride w:ilvl="0"><w:startOverride w:val="1"/></w:lvlOverride></w:num>
		<w:num w:numId="6"><w:abstractNumId w:val="3"/><w:lvlOverride w:ilvl="0"><w:startOverride w:val="7"/></w:lvlOverride></w:num></w:numbering>`
	body := ""
	for _, item := range []struct{ list, text string }{{"1", "A"}, {"1", "B"}, {"2", "C"}, {"5", "D"}, {"5", "E"}, {"6", "F"}} {
		body += paragraphOf(`<w:numPr><w:numId w:val="`+item.list+`"/></w:numPr>`, item.text)
	}
	dir := folder(t, map[string]string{"a.docx": wordFile(t, body, "word/numbering.xml", numbering)})
	items, problems := readAll(t, Config{}, dir, dir)
	if diff := cmp.Diff(map[string]string{"a.docx": "1. A\n2. B\n3. C\n1. D\n2. E\n7. F\n"}, bodies(items)); diff != "" || problems != nil {
		t.Error(diff, problems)
	}
}

// Paragraphs of a list that a style defines had no numbers.
func TestListsOfAStyleHaveNumbers(t *testing.T) {
	t.Parallel()
	styles := `<w:styles xmlns:w="x"><w:style w:type="numbering" w:styleId="Clauses"><w:name w:val="Clauses"/><w:pPr><w:numPr><w:numId w:val="1"/></w:numPr></w:pPr></w:style></w:styles>`
	numbering := `<w:numbering xmlns:w="x"><w:abstractNum w:abstractNumId="3"><w:styleLink w:val="Clauses"/><w:lvl w:ilvl="0"><w:start w:val="1"/><w:numFmt w:val="decimal"/><w:lvlText w:val="§ %1"/></w:lvl></w:abstractNum>
		<w:abstractNum w:abstractNumId="4"><w:numStyleLink w:val="Clauses"/></w:abstractNum><w:abstractNum w:abstractNumId="5"><w:numStyleLink w:val="None"/></w:abstractNum>
		<w:num w:numId="1"><w:abstractNumId w:val="3"/></w:num><w:num w:numId="2"><w:abstractNumId w:val="4"/></w:num><w:num w:numId="6"><w:abstractNumId w:val="5"/></w:num></w:numbering>`
	body := ""
	for _, item := range []struct{ list, text string }{{"2", "Term"}, {"2", "Fees"}, {"6", "Signed"}} {
		body += paragraphOf(`<w:numPr><w:numId w:val="`+item.list+`"/></w:numPr>`, item.text)
	}
	dir := folder(t, map[string]string{"a.docx": wordFile(t, body, "word/numbering.xml", numbering, "word/styles.xml", styles)})
	items, problems := readAll(t, Config{}, dir, dir)
	if diff := cmp.Diff(map[string]string{"a.docx": "§ 1 Term\n§ 2 Fees\n\nSigned\n"}, bodies(items)); diff != "" || problems != nil {
		t.Error(diff, problems)
	}
}

func TestOnlyWhatAReaderOfTheDocumentSeesIsRead(t *testing.T) {
	t.Parallel()
	body := `<w:p><w:r><w:t>Seen</w:t><w:tab/><w:t>too</w:t></w:r><w:r><w:rPr><w:vanish/></w:rPr><w:t>hidden</w:t></w:r>` +
		`<w:del><w:r><w:delText>deleted</w:delText></w:r></w:del><w:ins><w:r><w:t xml:space="preserve"> added</w:t></w:r></w:ins>` +
		`<w:r><w:footnoteReference w:id="2"/></w:r></w:p>` +
		`<w:p><w:r><w:instrText>TOC</w:instrText></w:r><mc:AlternateContent><mc:Choice><w:r><w:t>once</w:t></w:r></mc:Choice><mc:Fallback><w:r><w:t>twice</w:t></w:r></mc:Fallback></mc:AlternateContent></w:p>`
	notes := `<w:footnotes xmlns:w="x"><w:footnote w:type="separator" w:id="0"><w:p/></w:footnote><w:footnote w:id="2"><w:p><w:r><w:t>A note.</w:t></w:r></w:p></w:footnote></w:footnotes>`
	dir := folder(t, map[string]string{"a.docx": wordFile(t, body, "word/footnotes.xml", notes)})
	items, problems := readAll(t, Config{}, dir, dir)
	if diff := cmp.Diff(map[string]string{"a.docx": "Seen\ttoo added[^2]\n\nonce\n\n[^2]: A note.\n"}, bodies(items)); diff != "" || problems != nil {
		t.Error(diff, problems)
	}
}

// A date as Excel has it by itself was read as 03-01-26, which may be in January.
func TestDatesOfAWorkbookCanBeTold(t *testing.T) {
	t.Parallel()
	f := excelize.NewFile()
	german := "dd.mm.yyyy"
	first := time.Date(2026, 3, 1, 14, 30, 0, 0, time.UTC)
	for column, style := range map[string]*excelize.Style{"A": {NumFmt: 14}, "B": {NumFmt: 22}, "C": {CustomNumFmt: &german}, "D": {NumFmt: 20}} {
		id, err := f.NewStyle(style)
		if err = errors.Join(err, f.SetCellValue("Sheet1", column+"1", column), f.SetCellValue("Sheet1", column+"2", first),
			f.SetCellStyle("Sheet1", column+"2", column+"2", id)); err != nil {
			t.Fatal(err)
		}
	}
	var file bytes.Buffer
	if err := f.Write(&file); err != nil {
		t.Fatal(err)
	}
	items, problems := readAll(t, Config{Format: "xlsx", Stdin: &file}, "", "-")
	if len(items) != 1 || problems != nil {
		t.Fatal(items, problems)
	}
	want := map[string]string{"A": "2026-03-01", "B": "2026-03-01 14:30", "C": "01.03.2026", "D": "14:30"}
	if diff := cmp.Diff(want, items[0].Document.Fields); diff != "" {
		t.Error(diff)
	}
}

func TestHostileWordDocumentsAreNamed(t *testing.T) {
	t.Parallel()
	lol := `<!DOCTYPE lolz [<!ENTITY lol "lol"><!ENTITY lol2 "&lol;&lol;&lol;&lol;">]><w:document xmlns:w="x"><w:body><w:p><w:r><w:t>&lol2;</w:t></w:r></w:p></w:body></w:document>`
	dir := folder(t, map[string]string{
		"a.docx": zipped(t, "word/document.xml", lol),
		"b.docx": zipped(t, "word/document.xml", `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>`),
		"c.docx": wordFile(t, strings.Repeat("<w:sdt>", 2000)),
		"d.docx": wordFile(t, paragraphOf("", strings.Repeat("word ", 300))),
		"e.docx": wordFile(t, "<w:p/>"),
	})
	_, problems := readAll(t, Config{MaxBody: 1000}, dir, dir)
	want := []string{
		"a.docx: is a broken Word document: word/document.xml: XML syntax error on line 1: invalid character entity &lol2;; save it anew or leave it out",
		"b.docx: is a broken Word document: word/document.xml: XML syntax error on line 1: invalid character entity &e;; save it anew or leave it out",
		"c.docx: is a broken Word document: word/document.xml: its elements are nested too deeply; save it anew or leave it out",
		"d.docx: is larger than 1000 bytes; split it",
		"e.docx: is a Word document without text; put text in it or leave it out",
	}
	if diff := cmp.Diff(want, problems); diff != "" {
		t.Error(diff)
	}
}

// A ragged table would be padded to rows times columns: a small file could
// become a huge text.
func TestARaggedTableDoesNotExplode(t *testing.T) {
	t.Parallel()
	rows := make([][]string, 10_000)
	for i := range rows {
		rows[i] = []string{"x"}
	}
	rows[0] = make([]string, 10_000)
	if n := len(markdownTable(rows)); n > 100_000 {
		t.Errorf("%d bytes", n)
	}
}
