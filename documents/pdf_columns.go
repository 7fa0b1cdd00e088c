package documents

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// When a page is taken to be set in two columns. What is not that clear may be
// a table, whose rows belong together.
const (
	leastBeside  = 6    // lines with text in both columns
	leastWidth   = 25   // characters in the usual line of a column
	mostCrossing = 0.4  // of the lines run across both columns
	leastEven    = 0.75 // of the lines of the longer column has the shorter, between the first and the last such one
	mostGaps     = 0.3  // of the lines of a column have gaps of their own
	leastRunOn   = 0.25 // of the lines of a column begin in the middle of a sentence
)

// unfold puts the right column of a page in two columns below the left one, so
// that its sentences can be read, and quoted, in one piece. What runs across
// both columns stays between what is above and below it.
func unfold(page string) string {
	lines := strings.Split(page, "\n")
	at := secondColumn(lines)
	if at == 0 {
		return page
	}
	head, foot := margins(lines)
	var out, left, right []string
	flush := func() {
		for len(left) > 0 && left[len(left)-1] == "" {
			left = left[:len(left)-1]
		}
		for len(left) > 0 && len(right) > 0 && right[0] == "" {
			right = right[1:]
		}
		dedent(left)
		dedent(right)
		out = append(append(out, left...), right...)
		left, right = left[:0], right[:0]
	}
	for i, line := range lines {
		l, r, crosses := divide(line, at)
		if crosses || i == head || i == foot {
			flush()
			out = append(out, line)
			continue
		}
		if l != "" || r == "" { // the columns may be a little out of step
			left = append(left, l)
		}
		if r != "" || l == "" {
			right = append(right, r)
		}
	}
	flush()
	return strings.Join(out, "\n")
}

// margins are the lines of a page's header and footer, -1 if it has none: the
// first and the last one, where there is space between them and the rest.
func margins(lines []string) (head, foot int) {
	written := func(line string) bool { return strings.TrimSpace(line) != "" }
	head = slices.IndexFunc(lines, written)
	foot = len(lines) - 1
	for foot >= 0 && !written(lines[foot]) {
		foot--
	}
	if head >= 0 && head+1 < len(lines) && written(lines[head+1]) {
		head = -1
	}
	if foot > 0 && written(lines[foot-1]) {
		foot = -1
	}
	return head, foot
}

// divide takes a line apart where the second column begins, or up to three
// characters before: widths of letters are not those of the page.
func divide(line string, at int) (left, right string, crosses bool) {
	runes := []rune(strings.TrimRight(line, " "))
	if len(runes) <= at {
		return string(runes), "", false
	}
	for from := at; from >= max(2, at-3); from-- {
		if runes[from-1] == ' ' && runes[from-2] == ' ' {
			return strings.TrimRight(string(runes[:from]), " "), string(runes[from:]), false
		}
	}
	return "", "", true
}

var gap = regexp.MustCompile(`\S {2,}`)

// secondColumn is where the second of two columns of prose begins, in
// characters, 0 if there are none.
func secondColumn(lines []string) int {
	starts := map[int]int{}
	for _, line := range lines {
		for _, found := range gap.FindAllStringIndex(line, -1) {
			starts[utf8.RuneCountInString(line[:found[1]])]++
		}
	}
	at := 0
	for start, n := range starts {
		if n > starts[at] || n == starts[at] && start < at {
			at = start
		}
	}
	if starts[at] < leastBeside || !areColumns(lines, at) {
		return 0
	}
	return at
}

func areColumns(lines []string, at int) bool {
	var lefts, rights []string
	crossing, beside := 0, 0
	nLeft, nRight := 0, 0 // up to the last line with both
	for _, line := range lines {
		l, r, crosses := divide(line, at)
		l, r = strings.TrimSpace(l), strings.TrimSpace(r)
		if crosses {
			crossing++
			continue
		}
		if l != "" && (r != "" || beside > 0) {
			lefts = append(lefts, l)
		}
		if r != "" && (l != "" || beside > 0) {
			rights = append(rights, r)
		}
		if l != "" && r != "" {
			beside++
			nLeft, nRight = len(lefts), len(rights)
		}
	}
	lefts, rights = lefts[:nLeft], rights[:nRight]
	return beside >= leastBeside &&
		float64(crossing) <= mostCrossing*float64(crossing+max(nLeft, nRight)) &&
		float64(min(nLeft, nRight)) >= leastEven*float64(max(nLeft, nRight)) &&
		prose(lefts) && prose(rights)
}

// prose reports whether lines are those of running text.
func prose(lines []string) bool {
	lengths := make([]int, len(lines))
	gaps, runOn := 0, 0
	for i, line := range lines {
		lengths[i] = utf8.RuneCountInString(line)
		if gap.MatchString(line) {
			gaps++
		}
		if first, _ := utf8.DecodeRuneInString(line); unicode.IsLower(first) {
			runOn++
		}
	}
	slices.Sort(lengths)
	n := float64(len(lines))
	return lengths[len(lengths)/2] >= leastWidth && float64(gaps) <= mostGaps*n && float64(runOn) >= leastRunOn*n
}
