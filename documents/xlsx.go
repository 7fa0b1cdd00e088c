package documents

import (
	"archive/zip"
	"errors"
	"fmt"
	"strings"

	"github.com/xuri/excelize/v2"
)

// inSheet is from how many bytes a worksheet is unpacked to a temporary file
// rather than to memory.
const inSheet = 8 << 20

// plainDate is how dates are written that a cell shows in whatever is usual where
// it is opened: the library would write 03-01-26.
const plainDate = "yyyy-mm-dd"

// readXLSX reads one document per row of every worksheet, whose first row
// names the fields. Values are as the cells show them.
func readXLSX(s *source) bool {
	z, b, problem := s.office("a workbook")
	if problem != nil {
		return problem()
	}
	defer b.discard()
	if total(z) > uint64(unpacked(b.size)) {
		return s.problem(0, errBomb.Error(), "leave it out")
	}
	f, err := excelize.OpenReader(reading(b), excelize.Options{UnzipSizeLimit: unpacked(b.size), UnzipXMLSizeLimit: inSheet, ShortDatePattern: plainDate})
	switch {
	case errors.Is(err, excelize.ErrWorkbookPassword), errors.Is(err, excelize.ErrWorkbookFileFormat):
		return s.problem(0, "is no workbook, or an encrypted one", "save it anew, without a password")
	case err != nil:
		return s.problem(0, "is a broken workbook: "+err.Error(), "save it anew or leave it out")
	}
	defer func() { _ = f.Close() }()
	nothing := true
	for _, name := range f.GetSheetList() {
		rows, err := f.Rows(name)
		if err != nil { // a chart, or a sheet whose part is missing
			continue
		}
		sheet := *s
		sheet.id, sheet.name = s.id+"/"+name, s.name+"/"+name
		some, more := sheet.sheet(rows)
		_ = rows.Close()
		if !more {
			return false
		}
		nothing = nothing && !some
	}
	return !nothing || s.problem(0, "has no rows below a header", "put rows in it or leave it out")
}

// headed is what to do about a row that is wider than its header, which may be
// no header at all.
const headed = "name every column in the first row, and put no title above it"

// sheet yields the rows of a worksheet. some is false if it has none.
func (s *source) sheet(rows *excelize.Rows) (some, more bool) {
	var columns []string
	for line := 1; rows.Next(); line++ {
		values, err := rows.Columns()
		if err != nil {
			return true, s.problem(line, "is a broken row: "+err.Error(), "save the workbook anew")
		}
		switch {
		case s.ctx.Err() != nil:
			return true, false
		case blank(values):
			continue
		case columns == nil:
			columns = names(values)
			continue
		}
		some = true
		if len(values) > len(columns) && blank(values[len(columns):]) {
			values = values[:len(columns)]
		}
		if n := len(values); n > len(columns) {
			if !s.problem(line, fmt.Sprintf("has %d columns and the header %d", n, len(columns)), headed) {
				return some, false
			}
			continue
		}
		for len(values) < len(columns) { // empty cells at the end are not stored
			values = append(values, "")
		}
		for i, v := range values {
			values[i] = strings.ToValidUTF8(v, "\uFFFD")
		}
		if !s.row(line, columns, values) {
			return some, false
		}
	}
	if err := rows.Error(); err != nil {
		return true, s.problem(0, "is a broken worksheet: "+err.Error(), "save the workbook anew")
	}
	return some, true
}

// total is how much an archive says it unpacks to.
func total(z *zip.Reader) uint64 {
	var n uint64
	for _, f := range z.File {
		if n += f.UncompressedSize64; f.UncompressedSize64 > 1<<62 || n > 1<<62 {
			return 1 << 62
		}
	}
	return n
}
