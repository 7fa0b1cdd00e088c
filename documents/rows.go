package documents

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"
)

// rows splits lines into rows as RFC 4180 says. Unlike encoding/csv it gets
// over a quote that is never closed: only the row with the quote is lost, not
// the rest of the file, and memory stays bounded.
type rows struct {
	lines  *lines
	row    row
	start  int          // line on which the row began
	more   []byte       // its lines after the first, with their ends
	ahead  []byte       // lines given back, to be read again
	long   map[int]bool // of those, the numbers of the ones that were too long
	rescue int          // how often lines were given back
}

// mishap is what is wrong with a row.
type mishap struct {
	line        int
	reason, fix string
}

// maxRescues bounds the work on a file made to need one at every line.
const maxRescues = 100

// line returns the next line, valid until the call after.
func (t *rows) line() ([]byte, error) {
	if len(t.ahead) == 0 {
		return t.lines.next()
	}
	line, rest, _ := bytes.Cut(t.ahead, []byte{'\n'})
	t.ahead = rest
	t.lines.n++
	if t.long[t.lines.n] {
		return nil, errLong
	}
	return line, nil
}

// next returns the values of the next row, or what is wrong with it.
func (t *rows) next() ([]string, *mishap, error) {
	line, err := t.line()
	t.start = t.lines.n
	if errors.Is(err, errLong) {
		return nil, &mishap{t.start, "is longer than a document may be", "split it"}, nil
	}
	if err != nil {
		return nil, nil, err
	}
	t.row.reset()
	t.more = t.more[:0]
	open, column := t.row.feed(line)
	for size := len(line); open && column == 0; {
		line, err = t.line()
		switch {
		case err == nil:
			t.more = append(append(t.more, line...), '\n')
		case errors.Is(err, errLong):
			t.more = append(t.more, '\n')
			t.tooLong()
		case !errors.Is(err, io.EOF):
			return nil, nil, err
		}
		if err != nil || size+len(t.more) > t.lines.limit {
			return nil, t.lose("a quote is opened and never closed", `close it, or write it as ""`), nil
		}
		open, column = t.row.feed(line)
	}
	if column > 0 {
		reason := fmt.Sprintf("a stray quote at column %d", column)
		if len(t.more) > 0 {
			reason = fmt.Sprintf("a quote is opened that ends badly on line %d", t.lines.n)
		}
		return nil, t.lose(reason, `write a quote inside quotes as ""`), nil
	}
	return t.row.values(), nil, nil
}

func (t *rows) tooLong() {
	if t.long == nil {
		t.long = map[int]bool{}
	}
	t.long[t.lines.n] = true
}

// lose gives up the row. Its lines after the first are given back, to be rows of
// their own; if that has been done too often, they are lost with it.
func (t *rows) lose(reason, fix string) *mishap {
	switch {
	case len(t.more) == 0:
	case t.rescue < maxRescues:
		t.rescue++
		t.lines.n -= bytes.Count(t.more, []byte{'\n'})
		t.ahead = slices.Concat(t.more, t.ahead)
	default:
		reason += fmt.Sprintf(", and what follows up to line %d is left out with it", t.lines.n)
	}
	return &mishap{t.start, reason, fix}
}

// row collects the values of one row from its lines.
type row struct {
	comma  byte
	quoted bool
	text   []byte
	ends   []int
}

func (r *row) reset() { r.quoted, r.text, r.ends = false, r.text[:0], r.ends[:0] }

func (r *row) end() { r.ends = append(r.ends, len(r.text)) }

// feed adds a line. open says that the row goes on in the next, column where
// (from 1) a quote is out of place.
func (r *row) feed(line []byte) (open bool, column int) {
	for i := 0; ; {
		if !r.quoted && i < len(line) && line[i] == '"' {
			r.quoted = true
			i++
		}
		if !r.quoted {
			n := bytes.IndexByte(line[i:], r.comma)
			if n < 0 {
				r.text = append(r.text, line[i:]...)
				r.end()
				return false, 0
			}
			r.text = append(r.text, line[i:i+n]...)
			r.end()
			i += n + 1
			continue
		}
		n := bytes.IndexByte(line[i:], '"')
		if n < 0 {
			r.text = append(append(r.text, line[i:]...), '\n')
			return true, 0
		}
		r.text = append(r.text, line[i:i+n]...)
		switch i += n + 1; {
		case i == len(line):
			r.end()
			return false, 0
		case line[i] == '"':
			r.text = append(r.text, '"')
			i++
		case line[i] == r.comma:
			r.quoted = false
			r.end()
			i++
		default:
			return false, i
		}
	}
}

func (r *row) values() []string {
	out := make([]string, len(r.ends))
	text, from := string(r.text), 0 // of all, which is quicker than each
	for i, to := range r.ends {
		out[i] = text[from:to]
		if !utf8.ValidString(out[i]) {
			out[i] = string(repair(r.text[from:to]))
		}
		from = to
	}
	return out
}
