package simulator

import (
	"strings"

	"github.com/tidwall/gjson"
)

// question is a request, as much as the simulator understands of it.
type question struct {
	model    string
	system   string
	document string // what the user said before any answer, or first
	tools    []tool
	forced   string   // the tool that has to be called, "" if none
	script   [][]Call // what the user's messages want called, turn by turn
	turns    int      // of the model so far
	results  []string // what tools have answered
	images   int

	wrong string // what its provider would refuse it for, "" for nothing

	wordless bool // the answer is vectors
	shape    vectors
	json     bool         // the answer has to be JSON
	schema   gjson.Result // that it has to match

	input int64 // tokens
	limit int64 // most tokens of the answer, 0 for no limit

	speaking bool // the message before was the model's
}

// tool is one that may be called.
type tool struct {
	name   string
	schema gjson.Result // of its arguments
}

// imageTokens is what a picture counts as: what OpenAI takes for one of low
// detail.
const imageTokens = 85

// hear takes in a message whose content is a text or a list of parts, in the
// words of any of the protocols that have types of parts.
func (q *question) hear(role string, content gjson.Result) {
	if !content.IsArray() {
		q.speak(role, content.String())
		return
	}
	var said strings.Builder
	content.ForEach(func(_, part gjson.Result) bool {
		switch part.Get("type").Str {
		case "image_url", "input_image", "image":
			q.see()
		case "tool_result":
			q.learn(plain(part.Get("content")))
		case "tool_use":
			q.input += tokens(part.Raw)
		default:
			said.WriteString(part.Get("text").String())
		}
		return true
	})
	q.speak(role, said.String())
}

// speak takes in what somebody said.
func (q *question) speak(role, said string) {
	q.input += 3 + tokens(said)
	own := role == "assistant" || role == "model"
	if own && !q.speaking {
		q.turns++
	}
	q.speaking = own
	switch {
	case role == "system" || role == "developer":
		q.system += said
	case role == "user" && said != "":
		q.script = append(q.script, scripted(said)...)
		if q.turns == 0 || q.document == "" {
			q.document = said
		}
	}
}

// learn takes in what a tool has answered.
func (q *question) learn(result string) {
	q.input += tokens(result)
	q.results = append(q.results, result)
	q.speaking = false
}

func (q *question) see() {
	q.images++
	q.input += imageTokens
}

// offer takes in a tool.
func (q *question) offer(raw, name string, schema gjson.Result) {
	q.input += tokens(raw)
	q.tools = append(q.tools, tool{name, schema})
}

// force makes the answer a call of the named tool, or of any if name is "".
func (q *question) force(name string) {
	if name == "" && len(q.tools) > 0 {
		name = q.tools[0].name
	}
	q.forced = name
}

// plain is a content's text, be it one or a list of parts.
func plain(content gjson.Result) string {
	if !content.IsArray() {
		return content.String()
	}
	var b strings.Builder
	content.ForEach(func(_, part gjson.Result) bool {
		b.WriteString(part.Get("text").String())
		return true
	})
	return b.String()
}
