package documents

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// BenchmarkReadPDFs reads a folder of 24 PDF files of 8 pages in the sandbox.
func BenchmarkReadPDFs(b *testing.B) {
	dir := b.TempDir()
	for i := range 24 {
		in := pdfOf(8, 60, fmt.Sprint(i, " ", clause))
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint(i, ".pdf")), []byte(in), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	r, err := NewReader(Config{Isolate: true})
	if err != nil {
		b.Fatal(err)
	}
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		for _, p := range r.Read(b.Context(), dir) {
			if n++; p != nil {
				b.Fatal(p)
			}
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "documents/s")
}
