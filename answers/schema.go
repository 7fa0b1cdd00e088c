package answers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
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
	if err := bounded(doc); err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.UseRegexpEngine(newPattern)
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
		flaws, _ := flawsOf(invalid)
		for _, f := range flaws {
			all = append(all, fmt.Sprintf("at %s: %s", place(f.At), f.Message))
		}
		return errors.New(strings.Join(all, "; "))
	}
	return errors.New(strings.ReplaceAll(err.Error(), here, ""))
}

// violations lists how a value violates the schema, and says how many things
// more are wrong.
func (s *Standard) violations(value any) (flaws []jobs.Flaw, more int) {
	if flaws := boundless(nil, value); len(flaws) > 0 {
		return flaws, 0
	}
	switch steps := stepsOf(s.schema, value); {
	case steps > mostSteps:
		return []jobs.Flaw{{Check: jobs.CheckSchema, Message: fmt.Sprintf("it would take more than %d steps to hold it against the schema: a shorter answer or one that is nested less takes fewer, and so does a schema with fewer alternatives", mostSteps)}}, 0
	case steps > manySteps:
		s.large.Lock()
		defer s.large.Unlock()
	}
	err := s.schema.Validate(value)
	if err == nil {
		return nil, 0
	}
	invalid, ok := errors.AsType[*jsonschema.ValidationError](err)
	if !ok {
		return []jobs.Flaw{{Check: jobs.CheckSchema, Message: err.Error()}}, 0
	}
	return flawsOf(invalid)
}

// boundless finds the numbers that are larger or smaller than any that is meant.
// What at has room for behind its end is written to.
func boundless(at []string, v any) (flaws []jobs.Flaw) {
	if n, ok := v.(json.Number); ok && outOfBounds(n) {
		flaws = append(flaws, jobs.Flaw{Check: jobs.CheckSchema, At: pointerTo(at), Message: "is a number out of all bounds"})
	}
	members(v, func(name string, inner any) {
		flaws = append(flaws, boundless(append(at, name), inner)...)
	})
	return flaws
}

// mostSaid bounds what is said of one thing: it may list all that is allowed.
const mostSaid = 1_000

// flawsOf are the first of the errors that have no further cause, in the order of
// their places, and how many there are more.
func flawsOf(e *jsonschema.ValidationError) (flaws []jobs.Flaw, more int) {
	type wrong struct {
		at   string
		what *jsonschema.ValidationError
	}
	var all []wrong
	var walk func(*jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		if len(e.Causes) == 0 {
			all = append(all, wrong{pointerTo(e.InstanceLocation), e})
		}
		for _, cause := range e.Causes {
			walk(cause)
		}
	}
	walk(e)
	slices.SortStableFunc(all, func(x, y wrong) int { return strings.Compare(x.at, y.at) })
	printer := message.NewPrinter(language.English)
	for i, w := range all {
		if len(flaws) == mostFlaws {
			return flaws, len(all) - i
		}
		f := jobs.Flaw{Check: jobs.CheckSchema, At: w.at, Message: cut(said(w.what.ErrorKind, printer), mostSaid)}
		if !slices.Contains(flaws, f) {
			flaws = append(flaws, f)
		}
	}
	return flaws, 0
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
		b.WriteString(strings.ReplaceAll(strings.ReplaceAll(t, "~", "~0"), "/", "~1"))
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
