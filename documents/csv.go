package documents

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/drover-batch/drover/jobs"
)

// readCSV reads one document per row. The header's separator decides between
// comma, semicolon, tab and bar.
func readCSV(s *source) bool { return readRows(s, 0) }

func readTSV(s *source) bool { return readRows(s, '\t') }

func readRows(s *source, comma byte) bool {
	s.in = utf8Lines(s.in)
	t := &rows{lines: s.lines(), row: row{comma: comma}}
	if comma == 0 {
		head, _ := s.in.Peek(peek)
		t.row.comma = separator(head)
		if m := separatorLine.FindSubmatch(head); m != nil {
			t.row.comma = m[1][0]
			_, _ = t.lines.next() // which has been seen
		}
	}
	header, problem, err := t.next()
	for problem == nil && err == nil && blank(header) {
		header, problem, err = t.next()
	}
	switch {
	case errors.Is(err, io.EOF):
		return s.empty()
	case err != nil:
		return s.failed(err)
	case problem != nil:
		return s.problem(problem.line, "its header is unusable: "+problem.reason, problem.fix)
	}
	columns := names(header)
	nothing := true
	for {
		fields, problem, err := t.next()
		switch {
		case errors.Is(err, io.EOF):
			return !nothing || s.problem(0, "has a header and no rows", "put rows in it or leave it out")
		case err != nil:
			return s.failed(err)
		}
		if problem == nil && len(fields) == 1 && fields[0] == "" {
			continue // a blank line
		}
		nothing = false
		if problem != nil {
			if !s.problem(problem.line, problem.reason, problem.fix) {
				return false
			}
			continue
		}
		if !s.row(t.start, columns, fields) {
			return false
		}
	}
}

// separatorLine is a first line that tells Excel what the separator is.
var separatorLine = regexp.MustCompile(`^(?i:"?sep=)([,;\t|])"?\r?\n`)

// row yields one row: column: value in lines, the columns as fields.
func (s *source) row(line int, columns, values []string) bool {
	if len(values) != len(columns) {
		fix := "quote values that contain the separator"
		switch {
		case len(columns) == 1:
			fix = headed
		case len(values) < len(columns):
			fix = "leave what is missing empty, between separators"
		}
		return s.problem(line, fmt.Sprintf("has %s and the header %d", jobs.Counted(len(values), "column"), len(columns)), fix)
	}
	if blank(values) {
		return s.problem(line, "every column is empty", "leave the row out")
	}
	size := 0
	for i, name := range columns {
		size += len(name) + len(": ") + len(values[i]) + len("\n")
	}
	body := make([]byte, 0, size)
	d := jobs.Document{Fields: make(map[string]string, len(columns))}
	id := ""
	for i, name := range columns {
		if strings.IndexByte(values[i], 0) >= 0 {
			return s.problem(line, "is binary data, not text", "leave it out")
		}
		d.Fields[name] = values[i]
		body = append(append(append(append(body, name...), ": "...), values[i]...), '\n')
		switch {
		case strings.EqualFold(name, "custom_id") && values[i] != "":
			id = values[i]
		case strings.EqualFold(name, "id") && id == "":
			id = values[i]
		}
	}
	d.Body = body
	return s.document(id, line, d)
}

// names makes the header's names usable: none is empty, none comes twice.
func names(header []string) []string {
	taken, last := map[string]bool{}, map[string]int{}
	for i, name := range header {
		name = strings.TrimSpace(name)
		if name == "" {
			name = "column_" + strconv.Itoa(i+1)
		}
		unique := name
		for n := max(2, last[name]+1); taken[unique]; n++ { // not all over again for each
			unique, last[name] = name+"_"+strconv.Itoa(n), n
		}
		taken[unique] = true
		header[i] = unique
	}
	return header
}

func blank(values []string) bool {
	for _, v := range values {
		if strings.TrimSpace(v) != "" {
			return false
		}
	}
	return true
}

// separator is what divides the header most often, outside quotes.
func separator(head []byte) byte {
	line, _, _ := bytes.Cut(bytes.TrimLeft(head, "\r\n"), []byte{'\n'})
	counts, quoted := map[byte]int{}, false
	for _, c := range line {
		if c == '"' {
			quoted = !quoted
		}
		if !quoted {
			counts[c]++
		}
	}
	best := byte(',')
	for _, c := range []byte{';', '\t', '|'} {
		if counts[c] > counts[best] {
			best = c
		}
	}
	return best
}
