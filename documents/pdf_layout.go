package documents

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// run is some text of a page and where it stands, in points from the lower
// left.
type run struct {
	text                     string
	left, right, top, bottom float64
}

func (r *run) middle() float64 { return (r.top + r.bottom) / 2 }
func (r *run) height() float64 { return math.Abs(r.top - r.bottom) }

// layout writes runs as they stand on the page: what is on one height is one
// line, and columns stay apart.
func layout(runs []run) string {
	runs = slices.DeleteFunc(runs, func(r run) bool { return strings.TrimSpace(r.text) == "" })
	slices.SortStableFunc(runs, func(a, b run) int { return cmp.Compare(b.middle(), a.middle()) })
	width := usualWidth(runs)
	lines := linesOf(runs)
	second := besideOf(lines, width)
	var b strings.Builder
	for i, line := range lines {
		if i > 0 {
			above, first := lines[i-1].first, line.first
			if above.middle()-first.middle() > 2.5*max(above.height(), first.height()) {
				b.WriteByte('\n')
			}
		}
		writeLine(&b, line.runs, width, second)
	}
	return b.String()
}

// line is what stands on one height of a page.
type line struct {
	first run   // the highest
	runs  []run // from left to right
}

// linesOf sorts runs, which come from the highest to the lowest, into lines.
func linesOf(runs []run) []line {
	var lines []line
	for len(runs) > 0 {
		n := 1
		for n < len(runs) && math.Abs(runs[n].middle()-runs[0].middle()) < max(1, runs[0].height()/2) {
			n++
		}
		l := line{runs[0], runs[:n]}
		slices.SortStableFunc(l.runs, func(a, b run) int { return cmp.Compare(a.left, b.left) })
		lines, runs = append(lines, l), runs[n:]
	}
	return lines
}

// beside is where a second column begins: in points on the page, and in
// characters in the text, where every line of the first one has room before it.
type beside struct {
	left float64 // 0: there is none
	at   int
}

// besideOf finds the place at which most runs begin behind a gap, give or take
// a point: letters do not all begin where they are set.
func besideOf(lines []line, width float64) beside {
	starts := map[int]int{}
	for _, l := range lines {
		for i := 1; i < len(l.runs); i++ {
			if left := l.runs[i].left; left-l.runs[i-1].right >= width {
				starts[int(math.Round(left))]++
			}
		}
	}
	most, count := 0, leastBeside-1
	for at := range starts {
		if n := starts[at-1] + starts[at] + starts[at+1]; n > count || n == count && at < most {
			most, count = at, n
		}
	}
	if count < leastBeside {
		return beside{}
	}
	second := beside{left: float64(most)}
	for _, l := range lines {
		n := slices.IndexFunc(l.runs, func(r run) bool { return second.holds(r) })
		if n > 0 {
			var b strings.Builder
			writeLine(&b, l.runs[:n], width, beside{})
			second.at = max(second.at, utf8.RuneCountInString(b.String())+1)
		}
	}
	second.at = min(second.at, 1000)
	return second
}

// holds reports whether a run stands in the second column.
func (s beside) holds(r run) bool { return s.left > 0 && r.left >= s.left-2 }

// writeLine puts as many spaces between the runs of a line as have room there.
func writeLine(b *strings.Builder, line []run, width float64, second beside) {
	start := b.Len()
	for i, r := range line {
		switch {
		case second.holds(r) && (i == 0 || !second.holds(line[i-1]) && r.left-line[i-1].right >= width):
			at := second.at + int(min(max(r.left-second.left, 0)/width, 100))
			b.WriteString(strings.Repeat(" ", max(1, at-utf8.RuneCountInString(b.String()[start:]))))
		case i > 0:
			gap := (r.left - line[i-1].right) / width
			switch {
			case gap >= 2:
				b.WriteString(strings.Repeat(" ", int(min(gap, 100))))
			case gap > 0.2 || !joins(line[i-1].text, r.text):
				b.WriteByte(' ')
			}
		default:
			b.WriteString(strings.Repeat(" ", int(min(max(r.left/width, 0), 200))))
		}
		b.WriteString(strings.Trim(r.text, " \r\n"))
	}
	b.WriteByte('\n')
}

// joins reports whether two runs that touch are parts of one word.
func joins(a, b string) bool { return strings.TrimRight(a, " ") == a && strings.TrimLeft(b, " ") == b }

// usualWidth is the median width of a character.
func usualWidth(runs []run) float64 {
	var widths []float64
	for _, r := range runs {
		if w := (r.right - r.left) / float64(max(1, utf8.RuneCountInString(r.text))); w > 0 {
			widths = append(widths, w)
		}
	}
	if len(widths) == 0 {
		return 5
	}
	slices.Sort(widths)
	return max(1, widths[len(widths)/2])
}
