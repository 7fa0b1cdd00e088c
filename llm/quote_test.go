package llm

import (
	"strings"
	"testing"

	"github.com/tidwall/gjson"
)

func FuzzString(f *testing.F) {
	for _, s := range []string{
		"", "plain", "\"", "two\nlines\r\n", "Größe <b>&amp;</b>", "a\x7fb\x00c", "broken \xff\xc3", "\u2028\u2029", `back\slash`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := string(appendString([]byte("x"), s)), string(gjson.AppendJSONString([]byte("x"), s)); got != want {
			t.Errorf("%q is written as %s, want %s", s, got, want)
		}
	})
}

func BenchmarkString(b *testing.B) {
	for _, c := range []struct{ name, text string }{
		{"prose", strings.Repeat("The agreement ends on the last day of the year, unless it is renewed.\n", 30)},
		{"German", strings.Repeat("Der Vertrag läuft über fünf Jahre und verlängert sich danach.\n", 30)},
		{"JSON", strings.Repeat(`{"a":"b"},`, 200)},
	} {
		b.Run(c.name, func(b *testing.B) {
			buf := make([]byte, 0, 2*len(c.text))
			b.SetBytes(int64(len(c.text)))
			for b.Loop() {
				buf = appendString(buf[:0], c.text)
			}
		})
		b.Run(c.name+"/gjson", func(b *testing.B) {
			buf := make([]byte, 0, 2*len(c.text))
			b.SetBytes(int64(len(c.text)))
			for b.Loop() {
				buf = gjson.AppendJSONString(buf[:0], c.text)
			}
		})
	}
}
