package documents

import (
	"archive/zip"
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// BenchmarkReadWide reads rows with as many columns as a worksheet may have.
func BenchmarkReadWide(b *testing.B) {
	const columns, lines = 16_384, 20
	b.Run("csv", func(b *testing.B) {
		header := strings.Repeat(",name", columns)[1:] + "\n"
		readAgain(b, "csv", header+strings.Repeat(strings.Repeat(",12.50", columns)[1:]+"\n", lines))
	})
	b.Run("xlsx", func(b *testing.B) {
		var sheet strings.Builder
		for i := range lines + 1 {
			fmt.Fprintf(&sheet, `<row r="%d"><c r="A%[1]d"><v>1</v></c><c r="XFD%[1]d"><v>2</v></c></row>`, i+1)
		}
		readAgain(b, "xlsx", sheetFile(b, sheet.String()))
	})
}

// sheetFile is a workbook with these rows.
func sheetFile(tb testing.TB, rows string) string {
	tb.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	const relation = `http://schemas.openxmlformats.org/officeDocument/2006/relationships`
	for name, text := range map[string]string{
		"[Content_Types].xml":        `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/></Types>`,
		"_rels/.rels":                `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" Type="` + relation + `/officeDocument" Target="xl/workbook.xml"/></Relationships>`,
		"xl/workbook.xml":            `<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="` + relation + `"><sheets><sheet name="Sheet1" sheetId="1" r:id="r1"/></sheets></workbook>`,
		"xl/_rels/workbook.xml.rels": `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="r1" Type="` + relation + `/worksheet" Target="worksheets/sheet1.xml"/></Relationships>`,
		"xl/worksheets/sheet1.xml":   `<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>` + rows + `</sheetData></worksheet>`,
	} {
		w, err := z.Create(name)
		if err != nil {
			tb.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			tb.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		tb.Fatal(err)
	}
	return out.String()
}
