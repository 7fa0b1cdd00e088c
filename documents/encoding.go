package documents

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

var errBinary = errors.New("binary data, not text")

var bom8 = []byte("\xef\xbb\xbf")

// Decode turns text in UTF-8, UTF-16 or Windows-1252, of which Latin-1 is a
// part, into UTF-8 without a byte order mark. An error if it is no text.
func Decode(b []byte) ([]byte, error) {
	if enc := utf16Of(b); enc != nil {
		text, err := enc.NewDecoder().Bytes(b)
		if err != nil || bytes.IndexByte(text, 0) >= 0 {
			return nil, errBinary
		}
		return text, nil
	}
	b = bytes.TrimPrefix(b, bom8)
	if bytes.IndexByte(b, 0) >= 0 {
		return nil, errBinary
	}
	if utf8.Valid(b) {
		return b, nil
	}
	if controls(b) > len(b)/50 {
		return nil, errBinary
	}
	return repair(b), nil
}

// utf16Of tells UTF-16 by its byte order mark, or by the zeros it puts in
// every other byte of mostly western text.
func utf16Of(b []byte) encoding.Encoding {
	switch {
	case bytes.HasPrefix(b, []byte("\xff\xfe")):
		return unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)
	case bytes.HasPrefix(b, []byte("\xfe\xff")):
		return unicode.UTF16(unicode.BigEndian, unicode.UseBOM)
	}
	head := b[:min(len(b), peek)&^1]
	var even, odd int
	for i := 0; i < len(head); i += 2 {
		if head[i] == 0 {
			even++
		}
		if head[i+1] == 0 {
			odd++
		}
	}
	most := len(head) / 2 * 7 / 10
	switch {
	case len(head) < 4:
	case odd > most && even == 0:
		return unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM)
	case even > most && odd == 0:
		return unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM)
	}
	return nil
}

// repair makes bytes that are not UTF-8 valid. Text that is UTF-8 but for a
// few broken bytes keeps its letters; other text is read as Windows-1252.
func repair(b []byte) []byte {
	var letters, broken int
	for i := 0; i < len(b); {
		if b[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, size := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && size == 1 {
			broken++
		} else {
			letters++
		}
		i += size
	}
	if letters > 4*broken {
		return bytes.ToValidUTF8(b, []byte("\uFFFD"))
	}
	text, err := charmap.Windows1252.NewDecoder().Bytes(b)
	if err != nil { // it has none: every byte has a meaning
		return bytes.ToValidUTF8(b, []byte("\uFFFD"))
	}
	return text
}

// controls counts the control characters that text does not have.
func controls(b []byte) int {
	n := 0
	for _, c := range b {
		if c < ' ' && c != '\t' && c != '\n' && c != '\r' && c != '\f' && c != '\v' && c != '\x1b' {
			n++
		}
	}
	return n
}

// utf8Lines makes a stream readable line by line: UTF-16 becomes UTF-8, a byte
// order mark goes, and lines that end with a carriage return alone, as those of
// old Macs do, end as others. Windows-1252 is left to each line, see utf8Line.
func utf8Lines(in *bufio.Reader) *bufio.Reader {
	head, _ := in.Peek(peek)
	if enc := utf16Of(head); enc != nil {
		in = bufio.NewReaderSize(transform.NewReader(in, enc.NewDecoder()), in.Size())
	} else if bytes.HasPrefix(head, bom8) {
		_, _ = in.Discard(len(bom8))
	}
	head, _ = in.Peek(peek)
	if bytes.IndexByte(head, '\n') < 0 && bytes.IndexByte(head, '\r') >= 0 {
		in = bufio.NewReaderSize(carriageReturns{in}, in.Size())
	}
	return in
}

// carriageReturns reads them as line feeds.
type carriageReturns struct{ in io.Reader }

func (c carriageReturns) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	for i, b := range p[:n] {
		if b == '\r' {
			p[i] = '\n'
		}
	}
	return n, err
}

// utf8Line returns a line as UTF-8, the line itself if it is that already.
func utf8Line(line []byte) []byte {
	if utf8.Valid(line) {
		return line
	}
	return repair(line)
}
