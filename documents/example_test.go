package documents_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/drover-batch/drover/documents"
	"github.com/drover-batch/drover/jobs"
)

func Example() {
	reader, err := documents.NewReader(documents.Config{
		Format: "csv",
		Stdin:  strings.NewReader("id,vendor,total\n7,acme,12.50\n8,globex\n9,initech,3\n"),
	})
	if err != nil {
		log.Fatal(err)
	}
	prompt, err := documents.ParsePrompt("Which account does {{.vendor}} belong to?", "")
	if err != nil {
		log.Fatal(err)
	}
	for item, problem := range reader.Read(context.Background(), "-") {
		if problem != nil {
			fmt.Println(problem)
			continue
		}
		request, err := prompt.Render(&item.Document)
		if err != nil {
			log.Fatal(err)
		}
		question, _, _ := strings.Cut(request.Messages[0].Text, "\n")
		fmt.Println(item.CustomID, question)
	}
	// Output:
	// 7 Which account does acme belong to?
	// stdin:3: has 2 columns and the header 3; leave what is missing empty, between separators
	// 9 Which account does initech belong to?
}

func ExampleResults() {
	results := documents.NewResults(os.Stdout)
	err := results.Write(&jobs.Outcome{
		CustomID: "a.txt", Status: jobs.Answered, Model: "small", Answer: "A lease.", Cost: 125,
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// {"custom_id":"a.txt","status":"answered","model":"small","answer":"A lease.","cost_usd":0.000125,"attempts":0}
}
