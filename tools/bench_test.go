package tools

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/drover-batch/drover/jobs"
)

// BenchmarkSearch looks for a phrase in a document of about 100 kB.
func BenchmarkSearch(b *testing.B) {
	var text strings.Builder
	for i := 0; text.Len() < 100_000; i++ {
		fmt.Fprintf(&text, "%d. The parties have agreed on “term %d”, which ends af-\nter %d days — unless they agree otherwise.\n\n", i, i*7919%1000, i)
	}
	for name, phrase := range map[string]string{"once": "ends after 739 days", "often": "the", "nowhere": "ends after no days"} {
		b.Run(name, func(b *testing.B) {
			doc := paged(&jobs.Document{Body: []byte(text.String())})
			arguments, err := json.Marshal(map[string]string{"text": phrase})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := search(doc, arguments); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
