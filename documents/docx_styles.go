package documents

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// styles is what a Word document says of its paragraphs elsewhere: which
// styles are headings, and how lists are numbered.
type styles struct {
	named  map[string]*style
	lists  map[string]string   // numId: abstractNumId
	linked map[string]string   // abstractNumId: the style whose list it is
	levels map[levelKey]*level // by abstractNumId
	starts map[levelKey]int    // by numId: where a list begins anew
	begun  map[levelKey]bool   // by numId: it has
	counts map[levelKey]int    // by abstractNumId: how far its lists have come, which go on from one another
}

type style struct {
	name, base, outline string
	list, level         string
}

type levelKey struct{ list, level string }

// level is how one level of a list is numbered.
type level struct {
	format, text string
	start        int
}

func readStyles(p *parts, at wordParts) (*styles, error) {
	s := &styles{
		map[string]*style{}, map[string]string{}, map[string]string{}, map[levelKey]*level{},
		map[levelKey]int{}, map[levelKey]bool{}, map[levelKey]int{},
	}
	return s, errors.Join(s.readNamed(p, at["styles"]), s.readLists(p, at["numbering"]))
}

// elements calls visit for every element of a part, with the id of the closest
// element around it that has one of the names.
func elements(p *parts, name string, visit func(e xml.StartElement)) error {
	d, done, err := p.xml(name)
	if d == nil || err != nil {
		return err
	}
	defer done()
	for {
		t, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if e, ok := t.(xml.StartElement); ok {
			visit(e)
		}
	}
}

func (s *styles) readNamed(p *parts, part string) error {
	current := &style{}
	return elements(p, part, func(e xml.StartElement) {
		switch e.Name.Local {
		case "style":
			current = &style{}
			s.named[val(e, "styleId")] = current
		case "name":
			current.name = strings.ToLower(val(e, "val"))
		case "basedOn":
			current.base = val(e, "val")
		case "outlineLvl":
			current.outline = val(e, "val")
		case "numId":
			current.list = val(e, "val")
		case "ilvl":
			current.level = val(e, "val")
		}
	})
}

func (s *styles) readLists(p *parts, part string) error {
	abstract, num, override, current := "", "", "", &level{}
	return elements(p, part, func(e xml.StartElement) {
		switch e.Name.Local {
		case "abstractNum":
			abstract, num = val(e, "abstractNumId"), ""
		case "num":
			num = val(e, "numId")
		case "abstractNumId":
			if num != "" {
				s.lists[num] = val(e, "val")
			}
		case "numStyleLink":
			s.linked[abstract] = val(e, "val")
		case "lvlOverride":
			override = val(e, "ilvl")
		case "startOverride":
			s.starts[levelKey{num, override}] = atoi(val(e, "val"))
		case "lvl":
			current = &level{start: 1}
			if num == "" {
				s.levels[levelKey{abstract, val(e, "ilvl")}] = current
			}
		case "start":
			current.start = atoi(val(e, "val"))
		case "numFmt":
			current.format = val(e, "val")
		case "lvlText":
			current.text = val(e, "val")
		}
	})
}

// find looks a property up in a style and in those it is based on.
func (s *styles) find(id string, property func(*style) string) string {
	for range 20 { // they may be based on each other
		st := s.named[id]
		if st == nil {
			return ""
		}
		if v := property(st); v != "" {
			return v
		}
		id = st.base
	}
	return ""
}

// markOf is what stands in front of a paragraph: the marks of a heading, the
// bullet or number of a list. It counts the number up.
func (s *styles) markOf(p *paragraph) (mark string, heading bool) {
	number, bullet, depth := s.number(p)
	if h := s.heading(p); h > 0 {
		if bullet || number == "" {
			return strings.Repeat("#", h) + " ", true
		}
		return strings.Repeat("#", h) + " " + number + " ", true
	}
	switch {
	case bullet:
		return strings.Repeat("  ", depth) + "- ", false
	case number != "":
		return strings.Repeat("  ", depth) + number + " ", false
	}
	return "", false
}

// heading is the level of a heading, 1 to 6, or 0.
func (s *styles) heading(p *paragraph) int {
	outline := p.outline
	if outline == "" {
		outline = s.find(p.style, func(st *style) string { return st.outline })
	}
	if n, err := strconv.Atoi(outline); err == nil && n >= 0 && n < 9 {
		return min(n+1, 6)
	}
	name := ""
	if st := s.named[p.style]; st != nil {
		name = st.name
	}
	if n, err := strconv.Atoi(strings.TrimPrefix(name, "heading ")); err == nil && n > 0 {
		return min(n, 6)
	}
	if name == "title" {
		return 1
	}
	return 0
}

// number is the number of a list's paragraph, as the list writes it, and how
// deep it is indented.
func (s *styles) number(p *paragraph) (text string, bullet bool, depth int) {
	list, at := p.list, p.level
	if list == "" {
		list = s.find(p.style, func(st *style) string { return st.list })
	}
	if at == "" {
		at = s.find(p.style, func(st *style) string { return st.level })
	}
	if at == "" {
		at = "0"
	}
	abstract, ok := s.lists[list]
	if of := s.named[s.linked[abstract]]; of != nil {
		abstract = s.lists[of.list]
	}
	if l := s.levels[levelKey{abstract, at}]; ok && l != nil && strings.TrimSpace(p.text.String()) != "" {
		depth = max(0, min(atoi(at), 8))
		if l.format == "bullet" || l.format == "none" {
			return "", l.format == "bullet", depth
		}
		return s.count(list, abstract, depth), false, depth
	}
	return "", false, 0
}

// count goes on to the next number of a list's level and begins those below
// anew.
func (s *styles) count(list, abstract string, depth int) string {
	key := func(n int) levelKey { return levelKey{abstract, strconv.Itoa(n)} }
	own := levelKey{list, strconv.Itoa(depth)}
	start, anew := s.starts[own]
	if !anew {
		start = s.levels[key(depth)].start
	}
	if _, goesOn := s.counts[key(depth)]; goesOn && (!anew || s.begun[own]) {
		s.counts[key(depth)]++
	} else {
		s.counts[key(depth)] = start
	}
	s.begun[own] = true
	for n := depth + 1; n < 9; n++ {
		delete(s.counts, key(n))
	}
	text := s.levels[key(depth)].text
	if text == "" {
		text = "%" + strconv.Itoa(depth+1) + "."
	}
	for n := range 9 {
		l := s.levels[key(n)]
		if l == nil {
			continue
		}
		number, begun := s.counts[key(n)]
		if !begun {
			number = l.start
		}
		text = strings.ReplaceAll(text, "%"+strconv.Itoa(n+1), ordinal(l.format, number))
	}
	return text
}

// ordinal writes a number as a list's format says, by default in digits.
func ordinal(format string, n int) string {
	letters := func(a rune) string {
		if n < 1 || n > 26*20 {
			return strconv.Itoa(n)
		}
		return strings.Repeat(string(a+rune((n-1)%26)), (n-1)/26+1)
	}
	switch format {
	case "lowerLetter":
		return letters('a')
	case "upperLetter":
		return letters('A')
	case "lowerRoman":
		return strings.ToLower(roman(n))
	case "upperRoman":
		return roman(n)
	}
	return strconv.Itoa(n)
}

func roman(n int) string {
	if n < 1 || n > 3999 {
		return strconv.Itoa(n)
	}
	var b strings.Builder
	for _, d := range []struct {
		value int
		text  string
	}{{1000, "M"}, {900, "CM"}, {500, "D"}, {400, "CD"}, {100, "C"}, {90, "XC"}, {50, "L"}, {40, "XL"}, {10, "X"}, {9, "IX"}, {5, "V"}, {4, "IV"}, {1, "I"}} {
		for ; n >= d.value; n -= d.value {
			b.WriteString(d.text)
		}
	}
	return b.String()
}

// atoi is a number in an attribute; 0 if it is none.
func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}
