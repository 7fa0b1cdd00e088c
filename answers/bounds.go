package answers

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	regular "regexp/syntax"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Bounds of a schema. Making one ready takes time with the square of its parts,
// about a second for as many as these, and with how long their places are, each
// of which is written down (measured).
const (
	mostParts   = 5_000
	mostPlaces  = 4 << 20 // bytes of the places of all parts
	mostPattern = 20_000  // instructions of all regular expressions
)

// bounded refuses a schema that takes long to be made ready, whatever it is used
// for.
func bounded(doc any) error {
	if deeper(doc, mostLevels) {
		return fmt.Errorf("it is nested more than %d levels deep", mostLevels)
	}
	if flaws := boundless(nil, doc); len(flaws) > 0 {
		return fmt.Errorf("at %s: it %s", place(flaws[0].At), flaws[0].Message)
	}
	m := measure{}
	m.add(doc, 0)
	switch {
	case m.elsewhere != "":
		return fmt.Errorf("it refers to its parts by %s, which is not followed: use $ref", m.elsewhere)
	case m.parts > mostParts:
		return fmt.Errorf("it has %d objects, and %d are the most", m.parts, mostParts)
	case m.places > mostPlaces:
		return errors.New("the names in it are too long for how deep it is nested")
	case m.patterns > mostPattern:
		return errors.New("its regular expressions are too large: repeat fewer things fewer times, or say maxLength")
	}
	return nil
}

// measure is how large a schema is.
type measure struct {
	parts, places, patterns int
	elsewhere               string // a way to refer to parts that depends on how one comes there
}

// add measures a part whose place takes so many bytes.
func (m *measure) add(v any, place int) {
	switch v := v.(type) {
	case bool:
		m.parts++
		m.places += place
	case []any:
		for i, inner := range v {
			m.add(inner, place+1+len(strconv.Itoa(i)))
		}
	case map[string]any:
		m.parts++
		m.places += place
		for name, inner := range v {
			if _, ok := inner.(string); ok && (name == "$dynamicRef" || name == "$recursiveRef") {
				m.elsewhere = name
			}
			m.patterns += expressions(name, inner)
			m.add(inner, place+1+len(name))
		}
	}
}

// expressions is the size of the regular expressions in a member of a schema.
func expressions(name string, v any) (total int) {
	switch v := v.(type) {
	case string:
		if name == "pattern" {
			total = sizeOf(v)
		}
	case map[string]any:
		if name == "patternProperties" {
			for text := range v {
				total += sizeOf(text)
			}
		}
	}
	return total
}

// sizeOf is about how many instructions a regular expression has, with all of
// its repetitions; 0 if it is none.
func sizeOf(text string) int {
	re, err := regular.Parse(text, regular.Perl)
	if err != nil {
		return 0
	}
	return instructions(re)
}

func instructions(re *regular.Regexp) int {
	n := 1 + len(re.Rune)
	for _, sub := range re.Sub {
		n += instructions(sub)
	}
	if re.Op == regular.OpRepeat {
		n *= max(re.Min, re.Max, 1) // the parser lets nothing be repeated more than a thousand times
	}
	return n
}

// pattern is a regular expression that knows its size.
type pattern struct {
	*regexp.Regexp
	size int
}

// newPattern is what the library makes expressions of schemas with, and looks
// with whether a string of an answer is one.
func newPattern(text string) (jsonschema.Regexp, error) {
	size := sizeOf(text)
	if size > mostPattern {
		return nil, errors.New("it is too large")
	}
	re, err := regexp.Compile(text)
	return pattern{re, size}, err
}

// Bounds of a number. Floating point ends before the power of ten; the library
// calculates exactly, which takes a quarter of a second for a power of a million
// (measured), and panics beyond.
const (
	mostPower  = 400
	mostDigits = 1_000
)

func outOfBounds(n json.Number) bool {
	_, power, written := strings.Cut(strings.ToLower(n.String()), "e")
	p, err := strconv.Atoi(power)
	return len(n) > mostDigits || written && (err != nil || p > mostPower || p < -mostPower)
}
