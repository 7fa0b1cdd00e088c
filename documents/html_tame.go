package documents

import (
	"strconv"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

const (
	mostInside  = 32      // quotes and lists in one another: each indents the lines of all within
	mostColumns = 1000    // that a cell goes across, as in browsers
	mostSpace   = 1 << 20 // of a table, unless a quarter of them is really there
)

// tame takes out of a page what would make its text far larger than it is: what
// is quoted or listed too deeply, and tables that are nearly all emptiness, stay
// as mere text.
func tame(n *html.Node, inside int) {
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		within := inside
		switch c.DataAtom {
		case atom.Blockquote, atom.Ul, atom.Ol:
			if within++; within > mostInside {
				dissolve(c)
			}
		case atom.Table:
			if tooEmpty(c) {
				dissolve(c)
				for d := range c.Descendants() {
					if d.DataAtom == atom.Tr || isCell(d) {
						dissolve(d)
					}
				}
			}
		}
		tame(c, within)
	}
}

func dissolve(n *html.Node) { n.DataAtom, n.Data, n.Attr = atom.Div, "div", nil }

func isCell(n *html.Node) bool { return n.DataAtom == atom.Td || n.DataAtom == atom.Th }

// tooEmpty reports whether a table is far larger than what stands in it. Cells
// that go further than browsers let them are cut to that.
func tooEmpty(table *html.Node) bool {
	var rows []*html.Node
	for d := range table.Descendants() {
		if d.DataAtom == atom.Tr {
			rows = append(rows, d)
		}
	}
	cells, covered, widest := 0, 0, 0
	from := 0                        // columns that cells of rows above reach down into
	ends := make([]int, len(rows)+1) // of them, those that end above a row
	for i, row := range rows {
		from -= ends[i]
		width := from
		for c := range row.ChildNodes() {
			if !isCell(c) {
				continue
			}
			across, down := span(c, "colspan", mostColumns), span(c, "rowspan", len(rows)-i)
			cells, covered, width = cells+1, covered+across*down, width+across
			if down > 1 {
				from += across
				ends[i+down] += across
			}
		}
		widest = max(widest, width)
	}
	size := max(covered, widest*len(rows))
	return size > mostSpace && size > 4*cells
}

// span is how far a cell goes, which is cut to most.
func span(cell *html.Node, name string, most int) int {
	for i := range cell.Attr {
		if a := &cell.Attr[i]; a.Key == name {
			n, err := strconv.Atoi(a.Val)
			if err != nil || n < 1 {
				n = 1
			}
			n = min(n, most)
			a.Val = strconv.Itoa(n)
			return n
		}
	}
	return 1
}
