package documents

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/drover-batch/drover/jobs"
)

const clause = "The carrier accepts a load within two hours, or the shipper may find another truck at the carrier's cost. "

func BenchmarkRead(b *testing.B) {
	para := strings.Repeat(clause, 10)
	for format, in := range map[string]string{
		"text":     strings.Repeat(clause+"\n", 10_000),
		"latin1":   strings.Repeat(clause+"caf\xe9\n", 10_000),
		"html":     "<html><body><nav>x</nav>" + strings.Repeat("<h2>Section</h2><p>"+clause+"<b>"+clause+"</b></p>\n", 5_000),
		"csv":      "id,vendor,text\n" + rowsOf(1_000, "%d,acme,\""+para+"\"\n"),
		"jsonl":    rowsOf(1_000, `{"id":%d,"vendor":"acme","text":"`+para+"\"}\n"),
		"requests": rowsOf(1_000, `{"custom_id":"%d","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[{"role":"user","content":"`+para+"\"}]}}\n"),
	} {
		name := map[string]string{"latin1": "text", "requests": "jsonl"}[format]
		if name == "" {
			name = format
		}
		b.Run(format, func(b *testing.B) { readAgain(b, name, in) })
	}
}

// readAgain reads a file over and over: MB are those of the file, text those of
// what comes out of it.
func readAgain(b *testing.B, format, in string) {
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	documents, text := 0, 0
	for b.Loop() {
		r, err := NewReader(Config{Format: format, Stdin: strings.NewReader(in)})
		if err != nil {
			b.Fatal(err)
		}
		for it, p := range r.Read(b.Context(), "-") {
			if p != nil {
				b.Fatal(p)
			}
			documents, text = documents+1, text+len(it.Document.Body)
		}
	}
	b.ReportMetric(float64(documents)/b.Elapsed().Seconds(), "documents/s")
	b.ReportMetric(float64(text)/1e6/b.Elapsed().Seconds(), "text-MB/s")
}

func rowsOf(n int, format string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

func BenchmarkRender(b *testing.B) {
	p, err := ParsePrompt("Which account does {{.vendor}} belong to?", "You are brief.")
	if err != nil {
		b.Fatal(err)
	}
	d := &jobs.Document{Fields: map[string]string{"vendor": "acme"}, Body: []byte(strings.Repeat(clause, 20))}
	for b.Loop() {
		if _, err := p.Render(d); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkResults(b *testing.B) {
	o := answered()
	o.Answer = strings.Repeat(clause, 4)
	r := NewResults(io.Discard)
	for b.Loop() {
		if err := r.Write(o); err != nil {
			b.Fatal(err)
		}
	}
}

// repeated is a file of n copies of a line that need no memory.
type repeated struct {
	line []byte
	n    int
	at   int
}

func (r *repeated) Read(p []byte) (int, error) {
	n := 0
	for r.n > 0 && n < len(p) {
		c := copy(p[n:], r.line[r.at:])
		n += c
		if r.at += c; r.at == len(r.line) {
			r.at = 0
			r.n--
		}
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func TestALargeFileIsReadInConstantMemory(t *testing.T) {
	line := append(bytes.Repeat([]byte(" "), 64<<10), `{"text":"x"}`+"\n"...)
	r, err := NewReader(Config{Format: "jsonl", Stdin: &repeated{line: line, n: 1000}}) // 64 MB
	if err != nil {
		t.Fatal(err)
	}
	n, peak := 0, uint64(0)
	var m runtime.MemStats
	for range r.Read(t.Context(), "-") {
		if n++; n%100 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapAlloc)
		}
	}
	if n != 1000 || peak > 16<<20 {
		t.Errorf("%d documents, %d bytes at the most", n, peak)
	}
}

func TestADocumentCostsFewBytesToTellApart(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	ids, s := newRegister(), &source{name: "in.jsonl"}
	const n = 200_000
	for i := range n {
		if p := ids.add(fmt.Sprint("in.jsonl:", i+1), s, i+1); p != nil {
			t.Fatal(p)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if per := (after.HeapAlloc - before.HeapAlloc) / n; per > 60 {
		t.Errorf("%d bytes for each document", per)
	} else {
		t.Logf("%d bytes for each document", per)
	}
	runtime.KeepAlive(ids)
}
