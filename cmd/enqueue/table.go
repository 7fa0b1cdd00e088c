package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// table lines up rows. Each cell is plain text in one line, whatever it is made
// of: names and reasons may come from others.
type table struct{ w *tabwriter.Writer }

func newTable(w io.Writer) table { return table{tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)} }

// newFigures lines up columns at their right.
func newFigures(w io.Writer) table {
	return table{tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)}
}

func (t table) row(cells ...any) {
	for i, c := range cells {
		if i > 0 {
			_, _ = io.WriteString(t.w, "\t")
		}
		_, _ = io.WriteString(t.w, plain(fmt.Sprint(c)))
	}
	_, _ = io.WriteString(t.w, "\n")
}

func (t table) flush() error { return t.w.Flush() }
