package answers

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/drover-batch/drover/internal/fold"
	"github.com/drover-batch/drover/jobs"
)

// pointer says where in an answer quotes are: a JSON pointer, in which * stands
// for every element or member, or the name of a member anywhere.
type pointer struct {
	tokens []string
	name   string
}

func parsePointer(text string) (pointer, error) {
	switch {
	case text == "":
		return pointer{}, errors.New("name a member, such as quote, or give a JSON pointer, such as /clauses/*/quote")
	case text[0] != '/' && strings.Contains(text, "/"):
		return pointer{}, fmt.Errorf("a JSON pointer begins with a slash: /%s", text)
	case text[0] != '/':
		return pointer{name: text}, nil
	}
	tokens := strings.Split(text[1:], "/")
	for i, t := range tokens {
		if strings.Contains(strings.NewReplacer("~0", "", "~1", "").Replace(t), "~") {
			return pointer{}, errors.New("in a JSON pointer ~ is written ~0, and a slash inside a name ~1")
		}
		tokens[i] = strings.NewReplacer("~1", "/", "~0", "~").Replace(t)
	}
	return pointer{tokens: tokens}, nil
}

// known refuses names that the schema does not have.
func known(asked []string, schema []byte) error {
	names, open := properties(schema)
	if open || len(names) == 0 {
		return nil
	}
	for _, t := range asked {
		if _, err := strconv.Atoi(t); err == nil || t == "" || t == "*" {
			continue
		}
		if !slices.Contains(names, t) {
			slices.Sort(names)
			return fmt.Errorf("the schema has no property %q; it has %s", t, strings.Join(slices.Compact(names), ", "))
		}
	}
	return nil
}

// checkQuotes finds every quote that a pointer leads to in the document. Null
// stands for no quote.
func (e *Exam) checkQuotes(p pointer, value any, f *jobs.Finding) {
	seen := 0
	p.each(value, func(at []string, v any) {
		seen++
		strs(at, v, func(at []string, text string, ok bool) {
			where := pointerTo(at)
			if !ok {
				f.Flaws = append(f.Flaws, jobs.Flaw{Check: jobs.CheckQuote, At: where, Message: "is not a string, and so no quote of the document"})
				return
			}
			e.checkQuote(where, text, f)
		})
	})
	if seen == 0 && e.schema == nil {
		f.Flaws = append(f.Flaws, jobs.Flaw{Check: jobs.CheckQuote, Message: fmt.Sprintf("there is no %s, which should quote the document, or be null", p)})
	}
}

const mostNear = 400 // bytes of a passage that is told

func (e *Exam) checkQuote(at, text string, f *jobs.Finding) {
	doc := e.folded()
	q := doc.Phrase(text)
	if q.Empty() {
		f.Flaws = append(f.Flaws, jobs.Flaw{Check: jobs.CheckQuote, At: at, Message: "is empty: quote the document, or say null"})
		return
	}
	place, ok := doc.Find(q)
	if !ok {
		near, _ := doc.Near(q)
		f.Flaws = append(f.Flaws, jobs.Flaw{
			Check: jobs.CheckQuote, At: at, Near: cut(doc.At(near), mostNear),
			Message: fmt.Sprintf("%q is not in the document: quote it word for word", clip(text)),
		})
		return
	}
	f.Quotes = append(f.Quotes, jobs.Quote{At: at, Offset: place.From, Length: place.To - place.From, Page: page(e.document.Text(), place.From)})
}

// page is the number of the page a byte is on, 0 if the text has none. Pages
// that are not numbered count from 1.
func page(text string, offset int) int {
	marks := fold.PageMark.FindAllStringSubmatchIndex(text[:offset], -1)
	if n := len(marks); n > 0 && marks[n-1][2] >= 0 {
		number, _ := strconv.Atoi(text[marks[n-1][2]:marks[n-1][3]])
		return number
	}
	if len(marks) == 0 && !strings.Contains(text, "\f") {
		return 0
	}
	return len(marks) + 1
}

func (p pointer) String() string {
	if p.name != "" {
		return p.name
	}
	return pointerTo(p.tokens)
}

// each yields what the pointer leads to, in the order of the answer's places.
func (p pointer) each(v any, yield func(at []string, v any)) {
	if p.name != "" {
		anywhere(nil, v, p.name, yield)
		return
	}
	follow(nil, v, p.tokens, yield)
}

func follow(at []string, v any, tokens []string, yield func([]string, any)) {
	if len(tokens) == 0 {
		yield(at, v)
		return
	}
	members(v, func(name string, inner any) {
		if tokens[0] == "*" || tokens[0] == name {
			follow(append(slices.Clip(at), name), inner, tokens[1:], yield)
		}
	})
}

func anywhere(at []string, v any, name string, yield func([]string, any)) {
	_, isObject := v.(map[string]any)
	members(v, func(member string, inner any) {
		at := append(slices.Clip(at), member)
		if isObject && member == name {
			yield(at, inner)
			return
		}
		anywhere(at, inner, name, yield)
	})
}

// members yields the members of an object or the elements of an array.
func members(v any, yield func(name string, inner any)) {
	switch v := v.(type) {
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			yield(name, v[name])
		}
	case []any:
		for i, inner := range v {
			yield(strconv.Itoa(i), inner)
		}
	}
}

// strs yields the strings that a value consists of. ok is false for what is
// neither a string nor null.
func strs(at []string, v any, yield func(at []string, text string, ok bool)) {
	switch v := v.(type) {
	case nil:
	case string:
		yield(at, v, true)
	case map[string]any, []any:
		members(v, func(name string, inner any) { strs(append(slices.Clip(at), name), inner, yield) })
	default:
		yield(at, "", false)
	}
}

// clip shortens a text for a message.
func clip(s string) string {
	if short := cut(s, 200); len(short) < len(s) {
		return short + "…"
	}
	return s
}

// cut is at most n bytes of a text, of whole characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
