package documents

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/xuri/excelize/v2"
)

// BenchmarkReadLarge reads a file of each binary format with about a megabyte
// of text.
func BenchmarkReadLarge(b *testing.B) {
	para := strings.Repeat(clause, 10)
	for format, in := range map[string]string{
		"docx":    wordFile(b, strings.Repeat(paragraphOf("", para), 1_000)),
		"xlsx":    workbook(b, 1_000, para),
		"parquet": largeParquet(b, 1_000, para),
		"zip":     manyMembers(b, 1_000, para),
		"pdf":     pdfOf(100, 100, clause),
	} {
		b.Run(format, func(b *testing.B) {
			if _, err := exec.LookPath("pdftotext"); err != nil && format == "pdf" {
				b.Log("pdftotext is not here: the sandbox reads")
			}
			readAgain(b, "", in) // as its first bytes tell
		})
	}
}

func workbook(b *testing.B, rows int, text string) string {
	b.Helper()
	f := excelize.NewFile()
	defer func() { _ = f.Close() }()
	w, err := f.NewStreamWriter("Sheet1")
	if err != nil {
		b.Fatal(err)
	}
	for i := range rows {
		if err := w.SetRow(fmt.Sprint("A", i+1), []any{fmt.Sprint("vendor ", i), i, text}); err != nil {
			b.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := w.Flush(); err != nil {
		b.Fatal(err)
	}
	if err := f.Write(&out); err != nil {
		b.Fatal(err)
	}
	return out.String()
}

func largeParquet(b *testing.B, rows int, text string) string {
	b.Helper()
	all := make([]clauseRow, rows)
	for i := range all {
		all[i] = clauseRow{fmt.Sprint(i, text), i}
	}
	return string(parquetFile(b, all, parquet.Compression(&parquet.Zstd)))
}

func manyMembers(b *testing.B, n int, text string) string {
	b.Helper()
	var members []string
	for i := range n {
		members = append(members, fmt.Sprint(i, ".txt"), text)
	}
	return zipped(b, members...)
}

// pdfOf is a PDF file of so many pages and lines on each.
func pdfOf(pages, lines int, line string) string {
	var kids strings.Builder
	for i := range pages {
		fmt.Fprintf(&kids, "%d 0 R ", 4+2*i)
	}
	objects := []string{
		"<</Type/Catalog/Pages 2 0 R>>", fmt.Sprintf("<</Type/Pages/Kids[%s]/Count %d>>", kids.String(), pages),
		"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
	}
	text := "BT /F1 6 Tf 7 TL 40 780 Td " + strings.Repeat("("+line+") Tj T* ", lines) + "ET"
	for i := range pages {
		objects = append(objects,
			fmt.Sprintf("<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<</Font<</F1 3 0 R>>>>/Contents %d 0 R>>", 5+2*i),
			fmt.Sprintf("<</Length %d>>\nstream\n%s\nendstream", len(text), text))
	}
	return pdfFile(objects...)
}
