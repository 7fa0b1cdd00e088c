package answers

import (
	"encoding/json"
	"reflect"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Bounds of one check. A step takes about a microsecond and, where something is
// wrong, two hundred bytes (measured).
const (
	mostSteps  = 500_000
	mostHeight = 10_000 // steps within one another, each of which takes some KiB of stack
	manySteps  = 50_000
)

// stepsOf counts what it takes to check a value, beforehand: the library that
// checks cannot be stopped, and a schema whose parts refer to themselves twice
// has it look 2ⁿ times at what is n levels deep. What is the same is counted
// once. It is more than mostSteps for what must not be begun.
func stepsOf(s *jsonschema.Schema, value any) int {
	c := &count{known: map[task]load{}, open: map[task]int{}}
	l := c.of(s, value, 0)
	if l.height > mostHeight {
		return mostSteps + 1
	}
	return l.steps
}

// count counts the steps of a check as the library takes them, or some more:
// those that it leaves out once something is wrong are counted too.
type count struct {
	known map[task]load
	open  map[task]int // those that are being counted, and within how many others
}

// task is to check one value against one part of the schema.
type task struct {
	schema *jsonschema.Schema
	value  any // its identity
}

// load is what a task takes.
type load struct {
	steps  int
	height int // of steps within one another
	loop   int // where the outermost task is open that it leads back to
}

const noLoop = mostHeight + 1

// identity tells a value from others, but for those that take the same.
func identity(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return reflect.ValueOf(v).UnsafePointer()
	case []any:
		if len(v) == 0 {
			return reflect.Slice
		}
		return &v[0]
	}
	return v
}

// of is what it takes to check a value against a schema, within so many others.
func (c *count) of(s *jsonschema.Schema, v any, height int) load {
	t := task{s, identity(v)}
	if l, ok := c.known[t]; ok {
		return l
	}
	l := load{steps: 1 + height/16, height: 1, loop: noLoop}
	if up, ok := c.open[t]; ok {
		l.loop = up // which the library notices
		return l
	}
	if !typed(s, v) {
		return l
	}
	l.steps += own(s, v)
	if height > mostHeight || l.steps > mostSteps {
		l.steps = mostSteps + 1
		return l
	}
	c.open[t] = height
	within(s, v, func(s *jsonschema.Schema, v any) {
		if s == nil || l.steps > mostSteps {
			return
		}
		inner := c.of(s, v, height+1)
		l.steps += inner.steps
		l.height = max(l.height, 1+inner.height)
		l.loop = min(l.loop, inner.loop)
	})
	delete(c.open, t)
	if l.loop >= height { // else it takes something else elsewhere
		l.loop = noLoop
		c.known[t] = l
	}
	return l
}

// typed reports whether a value is of a type that a schema asks for, which is
// what the library looks at first.
func typed(s *jsonschema.Schema, v any) bool {
	if s.Types == nil || s.Types.IsEmpty() {
		return true
	}
	var is jsonschema.Types
	switch v.(type) {
	case nil:
		is.Add("null")
	case bool:
		is.Add("boolean")
	case json.Number:
		is.Add("number")
		is.Add("integer") // or perhaps
	case string:
		is.Add("string")
	case []any:
		is.Add("array")
	case map[string]any:
		is.Add("object")
	}
	return *s.Types&is != 0
}

// own is what a part of a schema takes for a value by itself, of those of the
// keywords that take more for more.
func own(s *jsonschema.Schema, v any) (steps int) {
	if s.Enum != nil {
		steps += len(s.Enum.Values) * comparing(v)
	}
	if s.Const != nil {
		steps += comparing(v)
	}
	switch v := v.(type) {
	case string:
		steps += len(v) / 64
		if s.Pattern != nil {
			steps += matching(s.Pattern, v)
		}
		if s.Format != nil && s.Format.Name == "regex" {
			steps += len(v) * 100 // seven characters may stand for a thousand
		}
	case json.Number:
		if s.Minimum != nil || s.Maximum != nil || s.ExclusiveMinimum != nil || s.ExclusiveMaximum != nil || s.MultipleOf != nil || s.Types != nil {
			steps += calculating(v)
		}
	case []any:
		steps += len(v) / 4
		if s.UniqueItems {
			steps += comparing(v) * max(1, 10-len(v)/2) // few are compared each with each, many by a sum
		}
	case map[string]any:
		steps += (len(v) + len(s.Required) + len(s.DependentRequired) + len(s.DependentSchemas) + len(s.Dependencies)) / 4
		for name, needed := range s.DependentRequired {
			if _, ok := v[name]; ok {
				steps += len(needed) / 4
			}
		}
		for re := range s.PatternProperties {
			for name := range v {
				steps += matching(re, name)
			}
		}
	}
	return steps
}

// matching is what it takes to look for an expression in a text: at worst each
// instruction is tried at each character, in some nanoseconds.
func matching(re jsonschema.Regexp, text string) int {
	return 1 + re.(pattern).size*len(text)/256
}

// calculating is what it takes to calculate with a number exactly.
func calculating(n json.Number) int {
	if len(n) > 20 || strings.ContainsAny(string(n), "eE") {
		return 100
	}
	return 4
}

// comparing is what it takes to compare a value with another one.
func comparing(v any) (steps int) {
	switch v := v.(type) {
	case json.Number:
		return calculating(v)
	case []any:
		for _, inner := range v {
			steps += comparing(inner)
		}
	case map[string]any:
		for name, inner := range v {
			steps += len(name)/64 + comparing(inner)
		}
	case string:
		steps = len(v) / 64
	}
	return 1 + steps
}

// within yields what is checked within a check of a value: the parts of the
// schema that are about the value itself, and those about its members.
func within(s *jsonschema.Schema, v any, yield func(*jsonschema.Schema, any)) {
	yield(s.Ref, v)
	if s.Ref != nil && s.DraftVersion < 2019 {
		return // which stands alone there
	}
	for _, of := range [][]*jsonschema.Schema{s.AllOf, s.AnyOf, s.OneOf, {s.Not, s.If, s.Then, s.Else}} {
		for _, part := range of {
			yield(part, v)
		}
	}
	switch v := v.(type) {
	case []any:
		withinArray(s, v, yield)
	case map[string]any:
		withinObject(s, v, yield)
	}
}

func withinArray(s *jsonschema.Schema, v []any, yield func(*jsonschema.Schema, any)) {
	first := s.PrefixItems
	if list, ok := s.Items.([]*jsonschema.Schema); ok {
		first = list
	}
	all, _ := s.Items.(*jsonschema.Schema)
	rest, _ := s.AdditionalItems.(*jsonschema.Schema)
	for i, inner := range v {
		if i < len(first) {
			yield(first[i], inner)
		} else {
			yield(s.Items2020, inner)
			yield(rest, inner)
		}
		yield(all, inner)
		yield(s.Contains, inner)
		yield(s.UnevaluatedItems, inner)
	}
}

func withinObject(s *jsonschema.Schema, v map[string]any, yield func(*jsonschema.Schema, any)) {
	rest, _ := s.AdditionalProperties.(*jsonschema.Schema)
	for name, inner := range v {
		part, named := s.Properties[name]
		yield(part, inner)
		for re, part := range s.PatternProperties {
			if re.MatchString(name) {
				named = true
				yield(part, inner)
			}
		}
		if !named {
			yield(rest, inner)
		}
		yield(s.PropertyNames, name)
		yield(s.UnevaluatedProperties, inner)
		yield(s.DependentSchemas[name], v)
		needed, _ := s.Dependencies[name].(*jsonschema.Schema)
		yield(needed, v)
	}
}
