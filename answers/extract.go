package answers

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// extract finds the one JSON value of a text, exactly as it is written there:
// the whole text, what its one code fence holds, or the one object or array
// among other words. A model's thoughts between <think> marks are not looked
// at. If there is no such value, or more than one, flaw says so. Nothing is
// mended: a broken value could be mended in more ways than one.
func extract(text string) (value string, whole bool, flaw string) {
	text = strings.Trim(text, "\ufeff \t\r\n")
	if json.Valid([]byte(text)) {
		return text, true, ""
	}
	rest := thoughtless(text)
	if rest != text && json.Valid([]byte(rest)) {
		return rest, false, ""
	}
	if inside := fenced(rest); len(inside) == 1 {
		return inside[0], false, ""
	} else if len(inside) > 1 {
		return "", false, fmt.Sprintf("there are %d JSON values in code fences, and one is wanted", len(inside))
	}
	objects, arrays, broken := embedded(rest)
	switch {
	case broken != "":
		return "", false, broken
	case len(objects) == 1:
		return objects[0], false, ""
	case len(objects) == 0 && len(arrays) == 1:
		return arrays[0], false, ""
	case len(objects)+len(arrays) > 1:
		return "", false, fmt.Sprintf("there are %d JSON values, and one is wanted", max(len(objects), len(arrays)))
	}
	return "", false, "it is not JSON: " + syntax(rest)
}

// thoughtless is a text without the thoughts that some models begin with. Their
// first mark is missing where a server has put it at the end of the question; the
// last is a line of its own then, which no JSON has in it.
func thoughtless(text string) string {
	end := "</think>"
	if !strings.HasPrefix(text, "<think>") {
		end = "\n</think>\n"
	}
	if _, said, ok := strings.Cut(text, end); ok {
		return strings.TrimSpace(said)
	}
	return text
}

const fence = "```"

// fenced returns what each code fence holds that holds JSON.
func fenced(text string) (inside []string) {
	for {
		_, after, ok := strings.Cut(text, fence)
		if !ok {
			return inside
		}
		block, rest, closed := strings.Cut(after, fence)
		if !closed {
			return inside
		}
		if _, lines, ok := strings.Cut(block, "\n"); ok && !json.Valid([]byte(strings.TrimSpace(block))) {
			block = lines // behind the name of the language
		}
		if block = strings.TrimSpace(block); json.Valid([]byte(block)) {
			inside = append(inside, block)
		}
		text = rest
	}
}

// mostOpenings bounds how often a value is looked for that is none.
const mostOpenings = 64

// embedded returns the objects and arrays among other words. What begins like
// one and breaks off is told instead: its parts are not the answer.
func embedded(text string) (objects, arrays []string, broken string) {
	failed := 0
	for i := 0; i < len(text) && failed < mostOpenings; {
		if text[i] != '{' && text[i] != '[' {
			i++
			continue
		}
		d := json.NewDecoder(strings.NewReader(text[i:]))
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			if begins(text[i:]) {
				return nil, nil, fmt.Sprintf("its JSON is broken: %s", syntaxAt(text, i, err))
			}
			failed++
			i++
			continue
		}
		value := text[i : i+int(d.InputOffset())]
		if value[0] == '{' {
			objects = append(objects, value)
		} else {
			arrays = append(arrays, value)
		}
		i += len(value)
	}
	return objects, arrays, ""
}

// begins reports whether a text that opens a bracket goes on like JSON.
func begins(text string) bool {
	rest := strings.TrimLeft(text[1:], " \t\r\n")
	if rest == "" {
		return true // cut off
	}
	return rest[0] == '"' || text[0] == '[' && (rest[0] == '{' || rest[0] == '[')
}

func syntax(text string) string {
	var v any
	return syntaxAt(text, 0, json.Unmarshal([]byte(text), &v))
}

// syntaxAt tells an error of the decoder that began at a byte, with its line
// and column in the whole text.
func syntaxAt(text string, began int, err error) string {
	at := len(text)
	if s, ok := errors.AsType[*json.SyntaxError](err); ok {
		at = min(len(text), began+max(0, int(s.Offset)-1))
	}
	before := text[:at]
	line := strings.Count(before, "\n") + 1
	column := utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
	what := "it ends too early"
	if err != nil && !strings.Contains(err.Error(), "unexpected E") && !strings.Contains(err.Error(), "unexpected end") {
		what = strings.TrimPrefix(err.Error(), "json: ")
	}
	return fmt.Sprintf("line %d, column %d: %s", line, column, what)
}
