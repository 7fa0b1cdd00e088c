package documents

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// BenchmarkReadFiles reads the files of testdata/make.py over and over: what
// counts is documents a second, since they are small.
func BenchmarkReadFiles(b *testing.B) {
	for _, name := range []string{"lease.pdf", "service.docx", "invoices.xlsx", "rows.parquet", "bundle.zip", "red.png"} {
		b.Run(filepath.Ext(name)[1:], func(b *testing.B) {
			r, err := NewReader(Config{})
			if err != nil {
				b.Fatal(err)
			}
			n := 0
			b.SetBytes(int64(len(made(b, name))))
			b.ReportAllocs()
			for b.Loop() {
				for _, p := range r.Read(b.Context(), filepath.Join("testdata", "files", name)) {
					if n++; p != nil {
						b.Fatal(p)
					}
				}
			}
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "documents/s")
		})
	}
}

// BenchmarkMemory reads a file of 300 MB and a folder of 20,000 files, and says
// how much memory that takes at the most.
func BenchmarkMemory(b *testing.B) {
	line := append(append([]byte(`{"text":"`), bytes.Repeat([]byte("x"), 3<<10)...), "\"}\n"...)
	file := filepath.Join(b.TempDir(), "large.jsonl")
	if err := os.WriteFile(file, bytes.Repeat(line, 100_000), 0o600); err != nil {
		b.Fatal(err)
	}
	folder := b.TempDir()
	for i := range 20_000 {
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprint(i)), []byte("A small letter."), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	for name, path := range map[string]string{"file": file, "folder": folder} {
		b.Run(name, func(b *testing.B) {
			r, err := NewReader(Config{})
			if err != nil {
				b.Fatal(err)
			}
			var m runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&m)
			before, peak, n := m.HeapAlloc, uint64(0), 0
			for b.Loop() {
				for range r.Read(b.Context(), path) {
					if n++; n%2_000 == 0 {
						runtime.GC()
						runtime.ReadMemStats(&m)
						peak = max(peak, m.HeapAlloc-min(before, m.HeapAlloc))
					}
				}
			}
			b.ReportMetric(float64(peak)/(1<<20), "MiB-peak")
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "documents/s")
		})
	}
}
