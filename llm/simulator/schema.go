package simulator

import (
	"encoding/json"
	"strconv"
	"strings"

	"github.com/tidwall/gjson"
)

// Bounds of what a schema leads to: how far it is followed into itself, and from
// how many bytes on the rest of an answer is null.
const (
	deepest   = 8
	mostValue = 1 << 20
)

// writer writes values that match a JSON Schema, in a simple way.
type writer struct {
	root  gjson.Result // where $ref leads
	text  string       // for strings
	quote string       // for strings that want a quotation
}

// fill writes a value that matches the schema, as far as its types, required
// properties, choices and bounds go. property is what the value is called.
func (w *writer) fill(b []byte, schema gjson.Result, property string, depth int) []byte {
	schema = w.follow(schema)
	if depth > deepest || len(b) > mostValue {
		return append(b, "null"...)
	}
	for _, name := range []string{"const", "enum.0"} {
		if v := schema.Get(name); v.Exists() {
			return append(b, v.Raw...)
		}
	}
	switch kind(schema) {
	case "integer", "number":
		if lists(schema.Get("type"), "null") { // a figure that may be missing: it knows none
			return append(b, "null"...)
		}
		return strconv.AppendFloat(b, least(schema), 'f', -1, 64)
	case "boolean":
		return append(b, "true"...)
	case "null":
		return append(b, "null"...)
	case "array":
		return w.list(b, schema, property, depth)
	case "string":
		return gjson.AppendJSONString(b, w.string(schema, property))
	}
	return w.object(b, schema, depth)
}

// follow resolves references and takes the first of several choices.
func (w *writer) follow(schema gjson.Result) gjson.Result {
	for range deepest {
		ref, choice := schema.Get("$ref").Str, schema.Get("anyOf.0")
		if !choice.Exists() {
			choice = schema.Get("oneOf.0")
		}
		switch {
		case strings.HasPrefix(ref, "#/"):
			schema = w.root
			for step := range strings.SplitSeq(ref[2:], "/") {
				schema = schema.Get(gjson.Escape(step))
			}
		case choice.Exists():
			schema = choice
		default:
			return schema
		}
	}
	return schema
}

// kind is a schema's type in small letters, as Gemini writes it in capitals;
// the first of several.
func kind(schema gjson.Result) string {
	t := schema.Get("type")
	if t.IsArray() {
		t = t.Get("0")
	}
	if t.Str == "" && !schema.Get("properties").Exists() && schema.Get("items").Exists() {
		return "array"
	}
	return strings.ToLower(t.Str)
}

func least(schema gjson.Result) float64 {
	if above := schema.Get("exclusiveMinimum"); above.Exists() {
		return above.Float() + 1
	}
	if most := schema.Get("maximum"); most.Exists() && !schema.Get("minimum").Exists() {
		return min(0, most.Float())
	}
	return schema.Get("minimum").Float()
}

func (w *writer) list(b []byte, schema gjson.Result, property string, depth int) []byte {
	n := schema.Get("minItems").Int()
	if n == 0 && quotes(property) {
		n = 1
	}
	b = append(b, '[')
	for i := range min(n, 100) {
		if i > 0 {
			b = append(b, ',')
		}
		b = w.fill(b, schema.Get("items"), property, depth+1)
	}
	return append(b, ']')
}

// quotes reports whether a property wants words of the document.
func quotes(property string) bool {
	name := strings.ToLower(property)
	return strings.Contains(name, "quot") || strings.Contains(name, "evidence")
}

func (w *writer) string(schema gjson.Result, property string) string {
	text := w.text
	if quotes(property) {
		text = w.quote
	}
	switch schema.Get("format").Str {
	case "date":
		return "2026-01-31"
	case "date-time":
		return "2026-01-31T12:00:00Z"
	case "email":
		return "someone@example.com"
	case "uri":
		return "https://example.com/"
	}
	if most := schema.Get("maxLength"); most.Exists() {
		text = cut(text, int(most.Int()))
	}
	if missing := schema.Get("minLength").Int() - int64(len([]rune(text))); missing > 0 && missing < 1<<16 {
		text += strings.Repeat(".", int(missing))
	}
	return text
}

func (w *writer) object(b []byte, schema gjson.Result, depth int) []byte {
	b = append(b, '{')
	first := true
	optional := depth < deepest/2
	schema.Get("properties").ForEach(func(name, property gjson.Result) bool {
		if !optional && !lists(schema.Get("required"), name.Str) {
			return true
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(append(b, name.Raw...), ':')
		b = w.fill(b, property, name.Str, depth+1)
		return true
	})
	return append(b, '}')
}

func lists(names gjson.Result, name string) bool {
	found := false
	names.ForEach(func(_, n gjson.Result) bool {
		found = n.Str == name
		return !found
	})
	return found
}

// spoil writes a value like fill's that does not match: its first property is
// of another type, and the others are missing.
func (w *writer) spoil(b []byte, schema gjson.Result) []byte {
	schema = w.follow(schema)
	if kind(schema) != "object" && !schema.Get("properties").Exists() {
		return wrong(b, schema)
	}
	done := false
	schema.Get("properties").ForEach(func(name, property gjson.Result) bool {
		b = append(append(append(b, '{'), name.Raw...), ':')
		b = append(wrong(b, w.follow(property)), '}')
		done = true
		return false
	})
	if !done {
		return append(b, "[]"...)
	}
	return b
}

// wrong writes a value of another type than the schema's.
func wrong(b []byte, schema gjson.Result) []byte {
	if k := kind(schema); k == "object" || k == "array" || k == "boolean" || k == "null" {
		return append(b, `"unknown"`...)
	}
	return append(b, `["unknown"]`...)
}

// written finds a JSON Schema that a text spells out: an object that has
// properties.
func written(text string) gjson.Result {
	for strings.Contains(text, `"properties"`) {
		open := strings.IndexByte(text, '{')
		if open < 0 {
			break
		}
		text = text[open:]
		dec := json.NewDecoder(strings.NewReader(text))
		var value json.RawMessage
		if dec.Decode(&value) != nil {
			text = text[1:]
			continue
		}
		if schema := gjson.ParseBytes(value); schema.Get("properties").IsObject() {
			return schema
		}
		text = text[dec.InputOffset():]
	}
	return gjson.Result{}
}
