package answers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/drover-batch/drover/internal/fold"
	"github.com/drover-batch/drover/jobs"
)

// Standard is what a batch demands of its answers, ready to be applied.
type Standard struct {
	schema *jsonschema.Schema // may be nil
	large  sync.Mutex         // held for a check of many steps, so that there is one at a time
	quotes []pointer
	expect []*expectation
	prompt string // of the judge
}

// New makes the standard. An error says which demand cannot be met, where it
// is wrong, and what to do.
func New(d jobs.Demands) (*Standard, error) {
	s := &Standard{prompt: d.JudgePrompt}
	var errs []error
	if len(d.Schema) > 0 {
		var err error
		if s.schema, err = compile(d.Schema); err != nil {
			errs = append(errs, fmt.Errorf("schema: %w", err))
		}
	}
	for _, text := range d.Quotes {
		p, err := parsePointer(text)
		if err == nil && s.schema != nil {
			err = known(append(slices.Clone(p.tokens), p.name), d.Schema)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("quotes %q: %w", text, err))
		}
		s.quotes = append(s.quotes, p)
	}
	for _, text := range d.Expect {
		e, err := newExpectation(text)
		if err == nil && s.schema != nil {
			err = known(e.members, d.Schema)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("expect %q: %w", text, err))
		}
		s.expect = append(s.expect, e)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s, nil
}

// Suits reports why the answers about a document cannot be examined, or nil.
func (s *Standard) Suits(d *jobs.Document) error {
	switch {
	case d.Ready():
		return errors.New("it is a ready request, whose answer is passed on as it is: schema, quotes, expect and judge do not apply to it")
	case len(s.quotes) > 0 && d.Type != "":
		return errors.New("it is an image, and there is no text in it that an answer could be held to quote")
	}
	return nil
}

// Exam examines the answers about one document.
type Exam struct {
	*Standard
	document *jobs.Document
	folded   func() *fold.Text
}

// About returns the exam for a document, which must not change meanwhile.
func (s *Standard) About(d *jobs.Document) *Exam {
	return &Exam{Standard: s, document: d, folded: sync.OnceValue(func() *fold.Text { return fold.Of(d.Text()) })}
}

// mostFlaws are told of one answer; the model would not mind more.
const mostFlaws = 20

// Examine finds out what of a text is the answer, and what is wrong with it.
func (e *Exam) Examine(text string) *jobs.Finding {
	f := &jobs.Finding{Answer: text}
	var value any = text
	if e.schema != nil || len(e.quotes) > 0 {
		found, whole, flaw := extract(text)
		if flaw != "" {
			f.Flaws = []jobs.Flaw{{Check: jobs.CheckJSON, Message: flaw}}
			return f
		}
		f.Answer, f.Extracted = found, !whole
		value = decode(found)
	} else if trimmed := strings.TrimSpace(text); json.Valid([]byte(trimmed)) {
		value = decode(trimmed)
	}
	if deeper(value, mostLevels) {
		f.Flaws = []jobs.Flaw{{Check: jobs.CheckJSON, Message: fmt.Sprintf("the answer is nested more than %d levels deep", mostLevels)}}
		return f
	}
	more := 0
	if e.schema != nil {
		f.Flaws, more = e.violations(value)
	}
	for _, p := range e.quotes {
		e.checkQuotes(p, value, f)
	}
	plain := doubles(value)
	for _, x := range e.expect {
		if flaw := x.check(plain, e.document); flaw != nil {
			f.Flaws = append(f.Flaws, *flaw)
		}
	}
	if more += max(0, len(f.Flaws)-mostFlaws); more > 0 {
		f.Flaws = append(f.Flaws[:mostFlaws:mostFlaws], jobs.Flaw{Check: f.Flaws[mostFlaws-1].Check, Message: fmt.Sprintf("and %d more things are wrong", more)})
	}
	return f
}

// mostLevels bounds how deep an answer goes: the place of each value in it is as
// long as it is deep.
const mostLevels = 100

// deeper reports whether a value has more levels of arrays and objects.
func deeper(v any, levels int) bool {
	switch v := v.(type) {
	case map[string]any:
		for _, inner := range v {
			if deeper(inner, levels-1) {
				return true
			}
		}
		return levels <= 0
	case []any:
		return levels <= 0 || slices.ContainsFunc(v, func(inner any) bool { return deeper(inner, levels-1) })
	}
	return false
}

// decode reads valid JSON, numbers as they are written.
func decode(text string) any {
	d := json.NewDecoder(bytes.NewReader([]byte(text)))
	d.UseNumber()
	var v any
	_ = d.Decode(&v) // nothing but too deep a nesting can be wrong with it: then nil
	return v
}
