package documents

import (
	"bytes"
	"encoding/xml"
	"strings"
)

// word writes what is met in a Word document as Markdown.
type word struct {
	styles *styles
	most   int
	parts  int
	path   []string // the elements we are in
	out    bytes.Buffer

	paragraphs []*paragraph // those we are in; one may hold a text box with others
	tables     []*table     // and the tables
	listed     bool         // the last paragraph was part of a list
	note       string       // id of the footnote we are in
	inTables   int          // bytes that tables hold
}

type paragraph struct {
	text        strings.Builder
	style       string
	list, level string // numId, ilvl: its own, before its style's
	outline     string
	vanish      bool // the run is hidden
}

type table struct {
	rows [][]string
	cell []string // paragraphs of the cell we are in
	span int
}

// size is how much is held.
func (w *word) size() int {
	n := w.out.Len() + w.inTables
	if p := w.paragraph(); p != nil {
		n += p.text.Len()
	}
	return n
}

func (w *word) within(name string) bool { return len(w.path) > 1 && w.path[len(w.path)-2] == name }

func (w *word) start(e xml.StartElement) {
	switch e.Name.Local {
	case "p":
		w.paragraphs = append(w.paragraphs, &paragraph{})
	case "tbl":
		w.tables = append(w.tables, &table{})
	case "footnote", "endnote":
		w.note = val(e, "id")
		if kind := val(e, "type"); kind != "" && kind != "normal" {
			w.note = ""
		}
	}
	if t := w.table(); t != nil {
		switch e.Name.Local {
		case "tr":
			t.rows = append(t.rows, nil)
		case "tc":
			t.cell, t.span = nil, 1
		case "gridSpan":
			t.span = max(1, min(atoi(val(e, "val")), 64))
		}
	}
	if p := w.paragraph(); p != nil {
		w.inside(p, e)
	}
}

// inside takes in an element of a paragraph.
func (w *word) inside(p *paragraph, e xml.StartElement) {
	switch e.Name.Local {
	case "pStyle":
		p.style = val(e, "val")
	case "numId":
		p.list = val(e, "val")
	case "ilvl":
		p.level = val(e, "val")
	case "outlineLvl":
		p.outline = val(e, "val")
	case "r":
		p.vanish = false
	case "vanish":
		p.vanish = w.within("rPr") && !w.under("pPr") && !off(e)
	case "tab":
		if w.within("r") {
			w.write(p, "\t")
		}
	case "br", "cr":
		w.write(p, "\n")
	case "noBreakHyphen":
		w.write(p, "-")
	case "footnoteReference", "endnoteReference":
		w.write(p, "[^"+val(e, "id")+"]")
	}
}

func (w *word) under(name string) bool {
	for _, n := range w.path {
		if n == name {
			return true
		}
	}
	return false
}

func (w *word) chars(text []byte) {
	if p := w.paragraph(); p != nil && len(w.path) > 0 && w.path[len(w.path)-1] == "t" {
		w.write(p, string(text))
	}
}

func (w *word) write(p *paragraph, text string) {
	if !p.vanish {
		p.text.WriteString(text)
	}
}

func (w *word) end(name string) {
	switch name {
	case "p":
		if p := w.paragraph(); p != nil {
			w.paragraphs = w.paragraphs[:len(w.paragraphs)-1]
			w.finish(p)
		}
	case "tc":
		if t := w.table(); t != nil && len(t.rows) > 0 {
			row := &t.rows[len(t.rows)-1]
			*row = append(append(*row, strings.Join(t.cell, " ")), make([]string, t.span-1)...)
			w.inTables += 16 * t.span
			t.cell, t.span = nil, 1
		}
	case "tbl":
		if t := w.table(); t != nil {
			w.tables = w.tables[:len(w.tables)-1]
			w.place(t)
		}
	case "footnote", "endnote":
		w.note = ""
	}
}

func (w *word) paragraph() *paragraph {
	if len(w.paragraphs) == 0 {
		return nil
	}
	return w.paragraphs[len(w.paragraphs)-1]
}

func (w *word) table() *table {
	if len(w.tables) == 0 {
		return nil
	}
	return w.tables[len(w.tables)-1]
}

// finish writes a paragraph to where it belongs: the text, or a cell.
func (w *word) finish(p *paragraph) {
	text := strings.TrimSpace(p.text.String())
	mark, heading := w.styles.markOf(p)
	if text == "" {
		return
	}
	if t := w.table(); t != nil {
		line := strings.Join(strings.Fields(mark+text), " ")
		t.cell = append(t.cell, line)
		w.inTables += len(line)
		return
	}
	listed := mark != "" && !heading
	if w.note != "" {
		mark, w.note, listed = "[^"+w.note+"]: ", "", false
	}
	if w.out.Len() > 0 {
		w.out.WriteByte('\n')
		if !listed || !w.listed {
			w.out.WriteByte('\n')
		}
	}
	w.listed = listed
	w.out.WriteString(mark + text)
}

// place writes a table, as text into the cell of the table it is in.
func (w *word) place(t *table) {
	if outer := w.table(); outer != nil {
		for _, row := range t.rows {
			outer.cell = append(outer.cell, strings.Join(row, " "))
		}
		return
	}
	w.inTables = 0
	if w.out.Len() > 0 {
		w.out.WriteString("\n\n")
	}
	w.listed = false
	w.out.WriteString(strings.TrimSuffix(markdownTable(t.rows), "\n"))
}

// mostCells bounds what the padding of ragged rows adds to a table.
const mostCells = 1 << 20

// markdownTable writes rows as a table whose first row is the header.
func markdownTable(rows [][]string) string {
	columns := 0
	for _, row := range rows {
		columns = max(columns, len(row))
	}
	var b strings.Builder
	if columns == 0 || columns*len(rows) > mostCells {
		for _, row := range rows {
			b.WriteString(strings.Join(row, "\t") + "\n")
		}
		return b.String()
	}
	for i, row := range rows {
		for c := range columns {
			cell := ""
			if c < len(row) {
				cell = strings.ReplaceAll(row[c], "|", `\|`)
			}
			b.WriteString("| " + cell + " ")
		}
		b.WriteString("|\n")
		if i == 0 {
			b.WriteString(strings.Repeat("| --- ", columns) + "|\n")
		}
	}
	return b.String()
}
