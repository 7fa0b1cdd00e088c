package documents

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/parquet-go/parquet-go"

	"github.com/drover-batch/drover/jobs"
)

// readParquet reads one document per row, its columns as fields. As in JSONL,
// a column called text, content or document is the body.
func readParquet(s *source) bool {
	b, err := s.blob(false)
	if err != nil {
		return s.failed(err)
	}
	defer b.discard()
	const broken = "is a broken Parquet file, an encrypted one, or none: "
	if err := checkFooter(b); err != nil {
		return s.problem(0, broken+err.Error(), "write it anew")
	}
	f, err := parquet.OpenFile(b, b.size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return s.problem(0, broken+err.Error(), "write it anew")
	}
	if f.NumRows() == 0 {
		return s.problem(0, "has no rows", "put rows in it or leave it out")
	}
	if err := checkPages(f, b, parquetLimits); err != nil {
		return s.problem(0, "cannot be read: "+err.Error(), "write it anew, with smaller pages")
	}
	t := &columns{source: s, schema: f.Schema(), raw: parquet.NewSchema(f.Schema().Name(), undivided{f.Schema()})}
	for _, group := range f.RowGroups() {
		if more := t.group(group); !more {
			return false
		}
	}
	return true
}

// columns reads the rows of a Parquet file.
type columns struct {
	*source
	schema *parquet.Schema
	raw    *parquet.Schema // the same, with decimals as the whole numbers they are stored as
	row    int             // from 1
}

func (t *columns) group(group parquet.RowGroup) bool {
	rows := group.Rows()
	defer func() { _ = rows.Close() }()
	buffer := make([]parquet.Row, 16)
	for {
		n, err := rows.ReadRows(buffer)
		for _, row := range buffer[:n] {
			t.row++
			if !t.one(row) {
				return false
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return true
		case err != nil:
			return t.problem(t.row+1, "the rest cannot be read: "+err.Error(), "write the file anew")
		case n == 0:
			return true
		}
	}
}

// one yields a row.
func (t *columns) one(row parquet.Row) bool {
	size := 0 // of a text that a dictionary holds once, but a row many times
	for _, v := range row {
		if k := v.Kind(); k == parquet.ByteArray || k == parquet.FixedLenByteArray {
			size += len(v.ByteArray())
		}
	}
	if size > t.config.MaxBody {
		return t.tooLarge(t.row, int64(size))
	}
	values := map[string]any{}
	if err := t.raw.Reconstruct(&values, row); err != nil {
		return t.problem(t.row, "is a broken row: "+err.Error(), "write the file anew")
	}
	var body bytes.Buffer
	d := jobs.Document{Fields: map[string]string{}}
	for _, field := range t.schema.Fields() {
		text := fieldText(field, values[field.Name()])
		if strings.IndexByte(text, 0) >= 0 {
			return t.problem(t.row, fmt.Sprintf("its column %q is binary data, not text", field.Name()), "leave the column out")
		}
		d.Fields[columnName(field)] = text
	}
	for _, name := range textMembers {
		if text, ok := values[name].(string); ok {
			if len(bytes.TrimSpace([]byte(text))) == 0 {
				return t.problem(t.row, fmt.Sprintf("its column %q is empty", name), "put text in it or leave the row out")
			}
			body.WriteString(d.Fields[name])
			delete(d.Fields, name)
			break
		}
	}
	id := idOf(d.Fields)
	if name := t.textless(values); body.Len() == 0 && name != "" {
		return t.problem(t.row, fmt.Sprintf("its column %q is empty", name), "put text in it or leave the row out")
	}
	if body.Len() == 0 {
		empty := true
		for _, field := range t.schema.Fields() {
			text := d.Fields[columnName(field)]
			empty = empty && text == ""
			fmt.Fprintf(&body, "%s: %s\n", columnName(field), text)
		}
		if empty {
			return t.problem(t.row, "every column is empty", "leave the row out")
		}
	}
	if body.Len() > t.config.MaxBody {
		return t.tooLarge(t.row, int64(body.Len()))
	}
	d.Body = body.Bytes()
	return t.document(id, t.row, d)
}

// textless is the column that has no text in a row and should, "" if none.
func (t *columns) textless(values map[string]any) string {
	for _, name := range textMembers {
		for _, field := range t.schema.Fields() {
			if field.Name() == name && field.Leaf() && field.Type().Kind() == parquet.ByteArray && values[name] == nil {
				return name
			}
		}
	}
	return ""
}

// columnName is a column's name as text, whatever bytes it is made of.
func columnName(field parquet.Field) string {
	return strings.ReplaceAll(strings.ToValidUTF8(field.Name(), "\uFFFD"), "\x00", "\uFFFD")
}
