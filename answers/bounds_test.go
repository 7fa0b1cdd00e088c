package answers

import (
	"fmt"
	"strings"
	"testing"

	"github.com/drover-batch/drover/jobs"
)

// times joins what is made of 0 to n-1 by commas.
func times(n int, text func(i int) string) string {
	all := make([]string, n)
	for i := range all {
		all[i] = text(i)
	}
	return strings.Join(all, ",")
}

func same(text string) func(int) string { return func(int) string { return text } }

// A schema of 47 bytes that refers to itself twice took a check 2ⁿ steps for an
// answer of n levels, so that one job held a slot and a core for ever; others took
// seconds and gigabytes.
func TestASchemaThatRefersToItselfTwiceKeptACheckBusyForEver(t *testing.T) {
	t.Parallel()
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for name, row := range map[string]struct{ schema, answer string }{
		"twice":    {`{"items": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}`, deep(100)},
		"one of":   {`{"oneOf": [{"type": "string"}, {"additionalProperties": {"$ref": "#"}}, {"additionalProperties": {"$ref": "#"}}]}`, strings.Repeat(`{"a":`, 90) + "1" + strings.Repeat("}", 90)},
		"contains": {`{"contains": {"$ref": "#"}, "items": {"$ref": "#"}}`, deep(100)},
		"draft 7":  {`{"$schema": "http://json-schema.org/draft-07/schema#", "items": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}`, deep(100)},
		"not deep": {`{"$ref": "#/$defs/a0", "$defs": {` + times(50, func(i int) string {
			return fmt.Sprintf(`"a%d": {"allOf": [{"$ref": "#/$defs/a%[2]d"}, {"$ref": "#/$defs/a%[2]d"}]}`, i, i+1)
		}) + `, "a50": {}}}`, "1"},
		"in rings": {`{"$ref": "#/$defs/a0", "$defs": {` + times(12, func(i int) string {
			return fmt.Sprintf(`"a%d": {"allOf": [%s]}`, i, times(12, func(j int) string { return fmt.Sprintf(`{"$ref": "#/$defs/a%d"}`, j) }))
		}) + `}}`, "1"},
		"one chain": {`{"$ref": "#/$defs/a0", "$defs": {` + times(2000, func(i int) string { return fmt.Sprintf(`"a%d": {"$ref": "#/$defs/a%d"}`, i, i+1) }) + `, "a2000": {"items": {"$ref": "#"}}}}`, deep(100)},
		"all of":    {`{"items": {"allOf": [` + times(3000, same(`{"type": "string"}`)) + `]}}`, "[" + times(1000, same("1")) + "]"},
		"enum":      {`{"items": {"enum": [` + times(2000, func(i int) string { return fmt.Sprint(i) }) + `]}}`, "[" + times(1000, same("9999")) + "]"},
		"const":     {`{"allOf": [` + times(300, func(i int) string { return fmt.Sprintf(`{"const": [%s, %d]}`, times(20, same("1")), i) }) + `]}`, "[" + times(500, same("[1]")) + "]"},
		"required":  {`{"items": {"required": [` + times(5000, func(i int) string { return fmt.Sprintf(`"a%d"`, i) }) + `]}}`, "[" + times(1000, same("{}")) + "]"},
		"pattern":   {`{"pattern": "` + strings.Repeat(".{1000}", 9) + `$"}`, `"` + strings.Repeat("a", 50_000) + `"`},
		"patterns":  {`{"patternProperties": {".{1000}x$": {}}}`, "{" + times(200, func(i int) string { return fmt.Sprintf(`"%s%d": 1`, strings.Repeat("a", 5000), i) }) + "}"},
		"regex":     {`{"items": {"format": "regex"}}`, "[" + times(100, same(`"`+strings.Repeat(".{1000}", 15)+`"`)) + "]"},
	} {
		f := exam(t, jobs.Demands{Schema: []byte(row.schema)}, "").Examine(row.answer)
		if len(f.Flaws) != 1 || !strings.Contains(f.Flaws[0].Message, "more than 500000 steps") {
			t.Errorf("%s: %.300v", name, f.Flaws)
		}
	}
}

// What is large and honest is still checked.
func TestLargeAnswersAreHeldAgainstTheirSchema(t *testing.T) {
	t.Parallel()
	rows := `{"items": {"$ref": "#/$defs/row"}, "$defs": {"row": {"type": "object", "required": ["a"], "properties": {
		"a": {"type": "string", "pattern": "^[a-z]{1,20}$"}, "b": {"type": ["number", "null"], "minimum": 0}, "c": {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]}}}}}`
	tree := `{"anyOf": [{"type": "number"}, {"type": "array", "items": {"$ref": "#"}}, {"type": "object", "additionalProperties": {"$ref": "#"}}]}`
	for name, row := range map[string]struct{ schema, answer, flaw string }{
		"rows":  {rows, "[" + times(10_000, same(`{"a": "abc", "b": 12, "c": null}`)) + "]", ""},
		"wrong": {rows, "[" + times(10_000, same(`{"a": "abc", "b": "12"}`)) + "]", "and 9980 more things are wrong"},
		"tree":  {tree, strings.Repeat(`[{"a": 1, "b":`, 45) + "2" + strings.Repeat("}]", 45), ""},
	} {
		flaws := exam(t, jobs.Demands{Schema: []byte(row.schema)}, "").Examine(row.answer).Flaws
		if (len(flaws) > 0) != (row.flaw != "") || len(flaws) > 0 && flaws[len(flaws)-1].Message != row.flaw {
			t.Errorf("%s: %.300v", name, flaws)
		}
	}
}

// All that a long list allows was told at each place, megabytes of it.
func TestWhatIsSaidOfOnePlaceWasAsLongAsTheSchema(t *testing.T) {
	t.Parallel()
	schema := `{"items": {"enum": [` + times(2000, func(i int) string { return fmt.Sprintf(`"item %d"`, i) }) + `]}}`
	for _, flaw := range exam(t, jobs.Demands{Schema: []byte(schema)}, "").Examine(`["a", "b"]`).Flaws {
		if len(flaw.Message) > mostSaid || !strings.HasPrefix(flaw.Message, "value must be one of 'item 0', 'item 1'") {
			t.Errorf("%d bytes: %.100s", len(flaw.Message), flaw.Message)
		}
	}
}

// Making a schema of 200 KB ready took from seconds to minutes, and so did one
// number of ten bytes.
func TestHostileSchemasTookLongToBeMadeReady(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ schema, flaw string }{
		"deep":              {strings.Repeat(`{"not":`, 3000) + "{}" + strings.Repeat("}", 3000), "it is nested more than 100 levels deep"},
		"broad":             {`{"allOf": [` + times(50_000, same("true")) + `]}`, "it has 50001 objects, and 5000 are the most"},
		"long names":        {`{"properties": {"` + strings.Repeat("a", 200_000) + `": {"properties": {` + times(2000, func(i int) string { return fmt.Sprintf(`"x%d": {}`, i) }) + `}}}}`, "the names in it are too long"},
		"pattern":           {`{"pattern": "` + strings.Repeat(".{1000}", 3000) + `$"}`, "its regular expressions are too large"},
		"many patterns":     {`{"patternProperties": {` + times(50, func(i int) string { return fmt.Sprintf(`"x%d(a{10}b{10}){50}": {}`, i) }) + `}}`, "its regular expressions are too large"},
		"power":             {`{"properties": {"a": {"minimum": 1e10000000}}}`, "at /properties/a/minimum: it is a number out of all bounds"},
		"digits":            {`{"multipleOf": 1` + strings.Repeat("0", 100_000) + `}`, "at /multipleOf: it is a number out of all bounds"},
		"a way that varies": {`{"$defs": {"a": {"$dynamicAnchor": "a"}}, "$dynamicRef": "#a"}`, "it refers to its parts by $dynamicRef, which is not followed: use $ref"},
	} {
		if _, err := New(jobs.Demands{Schema: []byte(row.schema)}); err == nil || !strings.Contains(err.Error(), row.flaw) {
			t.Errorf("%s: %.300v", name, err)
		}
	}
}

// The cost of an expression was counted when it had been spent: one search for a
// large regular expression, or the comparing of lists of lists, took seconds each
// time and could be asked for hundreds of thousands of times.
func TestAnExpressionCostMoreThanItMay(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct{ expression, answer string }{
		"a large expression": {"document.matches('" + strings.Repeat("[ab]{1000}", 300) + "x$')", "1"},
		"of the answer":      {"answer.all(a, !document.matches('(.*)(.*)' + a))", "[" + times(1000, same(`"[ab]{1000}x$"`)) + "]"},
		"many times":         {"answer.all(a, !document.matches('" + strings.Repeat("[ab]{100}", 100) + "x$'))", "[" + times(1000, same("1")) + "]"},
		"equal":              {"[1,2,3,4,5,6,7].all(a, [1,2,3,4,5,6,7].all(b, [1,2,3,4,5,6,7].all(c, answer == answer)))", "[[" + times(20_000, same("1")) + "]]"},
		"in":                 {"[1,2,3,4,5,6,7].all(a, [1,2,3,4,5,6,7].all(b, [1,2,3,4,5,6,7].all(c, answer in [1, answer])))", `{"a": [` + times(20_000, same("1")) + "]}"},
	} {
		f := exam(t, jobs.Demands{Expect: []string{row.expression}}, strings.Repeat("a", 30_000)).Examine(row.answer)
		if len(f.Flaws) != 1 || !strings.HasSuffix(f.Flaws[0].Message, "cost limit exceeded") {
			t.Errorf("%s: %.300v", name, f.Flaws)
		}
	}
	f := exam(t, jobs.Demands{Expect: []string{`document.matches('^a+$') && matches(answer[0], '^[0-9]{4}-') && '2026-11-28' in answer && answer == ['2026-11-28']`}}, strings.Repeat("a", 100_000)).Examine(`["2026-11-28"]`)
	if len(f.Flaws) > 0 {
		t.Errorf("an honest one: %v", f.Flaws)
	}
}
