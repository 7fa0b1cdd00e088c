package fold

import (
	"fmt"
	"strings"
	"testing"
)

// paper is a document of about 100 kB.
func paper() string {
	var b strings.Builder
	for i := 0; b.Len() < 100_000; i++ {
		fmt.Fprintf(&b, "%d. The parties have agreed on “term %d”, which ends af-\nter %d days — unless they agree otherwise.\n\n", i, i*7919%1000, i)
	}
	return b.String()
}

func BenchmarkFold(b *testing.B) {
	for name, fold := range map[string]func(string) *Text{"as it is": Of, "small": Small} {
		b.Run(name, func(b *testing.B) {
			source := paper()
			b.ReportAllocs()
			b.SetBytes(int64(len(source)))
			for b.Loop() {
				fold(source)
			}
		})
	}
}

// BenchmarkNear is what a phrase costs that is not there.
func BenchmarkNear(b *testing.B) {
	text := Of(paper())
	p := text.Phrase("The parties have agreed on \"term 9999\", which never ends")
	for b.Loop() {
		text.Near(p)
	}
}
