package answers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/drover-batch/drover/jobs"
)

// MostSchema bounds a schema, which travels with its batch.
const MostSchema = 256 << 10

// here is what the schema is called inside the compiler; references that lead
// elsewhere are refused.
const here = "drover:schema"

// compile reads a JSON Schema of any draft from 4 to 2020-12, the newest unless
// it says. Formats are checked.
func compile(text []byte) (*jsonschema.Schema, error) {
	if len(text) > MostSchema {
		return nil, fmt.Errorf("it has %d bytes, and %d are the most", len(text), MostSchema)
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return nil, errors.New("it is not JSON: " + syntax(string(text)))
	}
	switch doc.(type) {
	case map[string]any, bool:
	default:
		return nil, errors.New(`it must be an object such as {"type": "object", "properties": {…}}`)
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(refusing{})
	c.AssertFormat()
	if err := c.AddResource(here, doc); err != nil {
		return nil, explain(err)
	}
	schema, err := c.Compile(here)
	if err != nil {
		return nil, explain(err)
	}
	return schema, nil
}

// refusing loads nothing: a schema must not make a worker read files or the
// network.
type refusing struct{}

func (refusing) Load(url string) (any, error) {
	return nil, fmt.Errorf("it refers to %s: only references inside the schema, such as #/$defs/party, are followed", strings.TrimPrefix(url, here))
}

// explain says what is wrong with a schema, and where.
func explain(err error) error {
	if load, ok := errors.AsType[*jsonschema.LoadURLError](err); ok {
		return load.Err
	}
	if s, ok := errors.AsType[*jsonschema.SchemaValidationError](err); ok {
		err = s.Err
	}
	if invalid, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		var all []string
		for _, f := range flawsOf(invalid) {
			all = append(all, fmt.Sprintf("at %s: %s", place(f.At), f.Message))
		}
		return errors.New(strings.Join(all, "; "))
	}
	return errors.New(strings.ReplaceAll(err.Error(), here, ""))
}

// violations lists how a value violates the schema.
func violations(s *jsonschema.Schema, value any) []jobs.Flaw {
	if flaws := boundless(nil, value); len(flaws) > 0 {
		return flaws
	}
	err := s.Validate(value)
	if err == nil {
		return nil
	}
	invalid, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return []jobs.Flaw{{Check: jobs.CheckSchema, Message: err.Error()}}
	}
	return flawsOf(invalid)
}

// mostPower bounds the powers of ten in the numbers of an answer. Floating point
// ends before it; the library calculates exactly, which takes a quarter of a
// second for a power of a million (measured), and panics beyond.
const mostPower = 400

// boundless finds the numbers that are larger or smaller than any that is meant.
// What at has room for behind its end is written to.
func boundless(at []string, v any) (flaws []jobs.Flaw) {
	if n, ok := v.(json.Number); ok {
		_, power, written := strings.Cut(strings.ToLower(n.String()), "e")
		if p, err := strconv.Atoi(power); written && (err != nil || p > mostPower || p < -mostPower) {
			flaws = append(flaws, jobs.Flaw{Check: jobs.CheckSchema, At: pointerTo(at), Message: "is a number out of all bounds"})
		}
	}
	members(v, func(name string, inner any) {
		flaws = append(flaws, boundless(append(at, name), inner)...)
	})
	return flaws
}

// flawsOf are the errors that have no further cause, in the order of their
// places.
func flawsOf(e *jsonschema.ValidationError) (flaws []jobs.Flaw) {
	printer := message.NewPrinter(language.English)
	told := map[jobs.Flaw]bool{}
	var walk func(*jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		if len(e.Causes) == 0 {
			f := jobs.Flaw{Check: jobs.CheckSchema, At: pointerTo(e.InstanceLocation), Message: said(e.ErrorKind, printer)}
			if !told[f] {
				told[f], flaws = true, append(flaws, f)
			}
		}
		for _, cause := range e.Causes {
			walk(cause)
		}
	}
	walk(e)
	slices.SortStableFunc(flaws, func(x, y jobs.Flaw) int { return strings.Compare(x.At, y.At) })
	return flaws
}

func said(k jsonschema.ErrorKind, p *message.Printer) string {
	if _, ok := k.(*kind.FalseSchema); ok {
		return "nothing is allowed here"
	}
	return k.LocalizedString(p)
}

func pointerTo(tokens []string) string {
	var b strings.Builder
	for _, t := range tokens {
		b.WriteByte('/')
		b.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(t))
	}
	return b.String()
}

// place is a pointer as people read it.
func place(at string) string {
	if at == "" {
		return "its top"
	}
	return at
}

// properties are all names that a schema gives to members, wherever; open
// reports whether it allows others by a pattern.
func properties(schema []byte) (names []string, open bool) {
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for key, inner := range v {
				if p, ok := inner.(map[string]any); ok && key == "properties" {
					for name := range p {
						names = append(names, name)
					}
				}
				open = open || key == "patternProperties" || key == "additionalProperties" && inner != false
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	var v any
	if json.Unmarshal(schema, &v) == nil {
		walk(v)
	}
	return names, open
}
