package answers

import (
	"fmt"
	"strings"
	"testing"

	"github.com/drover-batch/drover/jobs"
)

// paper is a document of about 100 kB.
func paper() string {
	var b strings.Builder
	for i := 0; b.Len() < 100_000; i++ {
		fmt.Fprintf(&b, "%d. The parties have agreed on “term %d”, which ends af-\nter %d days — unless they agree otherwise.\n\n", i, i*7919%1000, i)
	}
	return b.String()
}

const answered = `{"end": "2027-05-01", "parties": ["ACME", "Beta"], "quote": "The parties have agreed on \"term 141\", which ends after 739 days"}`

func BenchmarkExamine(b *testing.B) {
	for _, bench := range []struct {
		name    string
		demands jobs.Demands
	}{
		{"schema", jobs.Demands{Schema: []byte(termSchema)}},
		{"quote", jobs.Demands{Quotes: []string{"quote"}}},
		{"expect", jobs.Demands{Expect: []string{"size(answer.parties) == 2 && document.contains('term')"}}},
		{"all", jobs.Demands{Schema: []byte(termSchema), Quotes: []string{"quote"}, Expect: []string{"size(answer.parties) == 2"}}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			s, err := New(bench.demands)
			if err != nil {
				b.Fatal(err)
			}
			d := &jobs.Document{Body: []byte(paper())}
			b.ReportAllocs()
			for b.Loop() {
				if f := s.About(d).Examine(answered); len(f.Flaws) > 0 {
					b.Fatal(f.Flaws)
				}
			}
		})
	}
}
