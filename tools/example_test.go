package tools_test

import (
	"context"
	"fmt"
	"log"
	"strings"

	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/tools"
)

// A kit is what an allow-list allows. It tells a model what there is, and runs
// what the model then calls.
func Example() {
	box := tools.New(tools.Config{}) // without servers: the document's own tools
	defer box.Close()
	kit, err := box.Kit(context.Background(), []string{"doc.search"}, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, t := range kit.Tools() {
		fmt.Println(t.Name)
	}

	document := &jobs.Document{Body: []byte("This lease ends on 31 March 2031.")}
	conversation := []jobs.Message{
		{Role: jobs.User, Text: "When does it end?"},
		{Role: jobs.Assistant, Calls: []jobs.ToolCall{
			{ID: "1", Name: "doc_search", Arguments: `{"text": "ends on"}`},
			{ID: "2", Name: "files_read", Arguments: `{}`},
		}},
	}
	for _, reply := range kit.Run(context.Background(), document, conversation, nil) {
		fmt.Println(reply.Reply, strings.TrimSpace(reply.Text))
	}
	// Output:
	// doc_search
	// 1 page 1: This lease ends on 31 March 2031.
	// 2 Error: there is no tool "files_read" here; there are: doc_search
}
