package simulator

import (
	"encoding/json"
	"strings"

	"github.com/tidwall/gjson"
)

// Call is a call of a tool that an answer wants.
type Call struct {
	Name      string
	Arguments string // JSON; default {}
}

func (c Call) arguments() string {
	if c.Arguments == "" {
		return "{}"
	}
	return c.Arguments
}

// object is the arguments where they have to be an object.
func (c Call) object() string {
	if valid([]byte(c.Arguments)) && gjson.Parse(c.Arguments).IsObject() {
		return c.Arguments
	}
	return "{}"
}

// Asked is a request as the simulator understands it.
type Asked struct {
	Model    string
	System   string
	Document string   // what the user said before any answer
	Tools    []string // names
	Results  []string // what tools have answered so far
	Turn     int      // 0 for the first answer of a conversation
	Images   int
	Schema   json.RawMessage // what the answer has to match, nil if anything goes
}

// Reply is an answer. One with calls has no text.
type Reply struct {
	Text  string
	Calls []Call
}

func (q *question) asked() Asked {
	a := Asked{Model: q.model, System: q.system, Document: q.document, Results: q.results, Turn: q.turns, Images: q.images}
	for _, t := range q.tools {
		a.Tools = append(a.Tools, t.name)
	}
	if q.schema.Exists() {
		a.Schema = json.RawMessage(q.schema.Raw)
	}
	return a
}

// scripted finds the calls that a text asks for, a turn for each marker:
// [[simulate:call name {"its": "arguments"}; another]]. What comes after
// something that is no call is left out.
func scripted(text string) [][]Call {
	var turns [][]Call
	for {
		_, rest, found := strings.Cut(text, "[[simulate:call ")
		if !found {
			return turns
		}
		text = rest
		var turn []Call
		for {
			var c Call
			c, rest = oneCall(rest)
			if c.Name == "" {
				break
			}
			turn = append(turn, c)
			var more bool
			if rest, more = strings.CutPrefix(rest, ";"); !more {
				break
			}
		}
		if len(turn) > 0 {
			turns = append(turns, turn)
		}
	}
}

// oneCall reads a tool's name and its arguments from the beginning of a text.
func oneCall(text string) (c Call, rest string) {
	text = strings.TrimLeft(text, " ")
	end := strings.IndexAny(text, " ;]{\n")
	if end < 0 {
		return Call{}, ""
	}
	c.Name, rest = text[:end], strings.TrimLeft(text[end:], " ")
	if strings.HasPrefix(rest, "{") {
		dec := json.NewDecoder(strings.NewReader(rest))
		var arguments json.RawMessage
		if dec.Decode(&arguments) == nil {
			c.Arguments, rest = string(arguments), strings.TrimLeft(rest[dec.InputOffset():], " ")
		}
	}
	return c, rest
}
