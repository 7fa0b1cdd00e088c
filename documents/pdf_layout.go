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
	var b strings.Builder
	var above *run
	for len(runs) > 0 {
		n := 1
		for n < len(runs) && math.Abs(runs[n].middle()-runs[0].middle()) < max(1, runs[0].height()/2) {
			n++
		}
		line := runs[:n]
		first := line[0]
		if above != nil && above.middle()-first.middle() > 2.5*max(above.height(), first.height()) {
			b.WriteByte('\n')
		}
		slices.SortStableFunc(line, func(a, b run) int { return cmp.Compare(a.left, b.left) })
		writeLine(&b, line, width)
		above, runs = &first, runs[n:]
	}
	return b.String()
}

// writeLine puts as many spaces between the runs of a line as have room there.
func writeLine(b *strings.Builder, line []run, width float64) {
	for i, r := range line {
		if i > 0 {
			gap := (r.left - line[i-1].right) / width
			switch {
			case gap >= 2:
				b.WriteString(strings.Repeat(" ", int(min(gap, 100))))
			case gap > 0.2 || !joins(line[i-1].text, r.text):
				b.WriteByte(' ')
			}
		} else {
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
