package answers_test

import (
	"fmt"
	"log"

	"github.com/drover-batch/drover/answers"
	"github.com/drover-batch/drover/jobs"
)

// A standard is made once of what a batch demands, and examines every answer
// about each of its documents.
func Example() {
	standard, err := answers.New(jobs.Demands{
		Schema: []byte(`{"type": "object", "required": ["ends", "quote"], "properties": {"ends": {"type": "integer"}, "quote": {"type": "string"}}}`),
		Quotes: []string{"quote"},
		Expect: []string{"answer.ends > 2025"},
	})
	if err != nil {
		log.Fatal(err)
	}
	exam := standard.About(&jobs.Document{Body: []byte("This lease ends on 31 March 2031, whatever happens.")})
	for _, text := range []string{
		`Sure! {"ends": 2031, "quote": "ends on 31 March 2031"}`,
		`{"ends": 2021, "quote": "it ends in spring"}`,
	} {
		found := exam.Examine(text)
		fmt.Println(found.Answer)
		for _, q := range found.Quotes {
			fmt.Printf("  %s is at byte %d of the document\n", q.At, q.Offset)
		}
		for _, f := range found.Flaws {
			fmt.Printf("  %s: %s\n", f.Check, f.Message)
		}
	}
	// Output:
	// {"ends": 2031, "quote": "ends on 31 March 2031"}
	//   /quote is at byte 11 of the document
	// {"ends": 2021, "quote": "it ends in spring"}
	//   quote: "it ends in spring" is not in the document: quote it word for word
	//   expect: it has to be true that answer.ends > 2025
}
