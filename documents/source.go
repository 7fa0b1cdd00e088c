package documents

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"

	"github.com/drover-batch/drover/jobs"
)

// source is one file while it is read. Its methods report whether more is
// wanted.
type source struct {
	*walk
	id   string // its custom id, and the stem of its rows'
	name string // what the user calls it
	size int64  // 0 if unknown
	in   *bufio.Reader

	number  uint32     // of its name in the register; 0: none yet
	file    *os.File   // what is read, if it is a regular file
	kept    *blob      // all of it, if somebody has put it aside
	archive *archive   // what it is a member of, if any
	reader  *pdfReader // its own, if it is read before its turn
}

const peek = 8 << 10 // enough to tell a format by

func newSource(w *walk, id, name string, size int64, in io.Reader) *source {
	return &source{walk: w, id: id, name: name, size: size, in: bufio.NewReaderSize(in, 64<<10)}
}

// document yields all of the source, or a line of it, as a document. An empty
// id is made up from the source's own.
func (s *source) document(id string, line int, d jobs.Document) bool {
	if s.ctx.Err() != nil {
		return false
	}
	if id == "" {
		id = place(s.id, line)
	}
	d.Source = place(s.name, line)
	if len(id) > maxID {
		return s.problem(line, fmt.Sprintf("its custom id has %d bytes", len(id)), fmt.Sprintf("use at most %d", maxID))
	}
	if p := s.ids.add(id, s, line); p != nil {
		return s.hand(Item{}, p)
	}
	return s.hand(Item{CustomID: id, Document: d}, nil)
}

// hand gives an item or a problem to whoever reads. A panic in there is not
// the source's.
func (s *source) hand(item Item, p *Problem) bool {
	s.handing = true
	more := s.yield(item, p)
	s.handing = false
	return more
}

// maxID is longer than any path, and short enough to travel in a job's head.
const maxID = 4096

func (s *source) problem(line int, reason, fix string) bool {
	return s.ctx.Err() == nil && s.hand(Item{}, &Problem{place(s.name, line), reason, fix})
}

func (s *source) failed(err error) bool {
	return s.ctx.Err() == nil && s.hand(Item{}, unreadable(s.name, err))
}

// whole reads all of the source. Without a result the problem was reported,
// and more tells whether to go on.
func (s *source) whole() (body []byte, more bool) {
	limit := int64(s.config.MaxBody)
	if s.size > limit {
		return nil, s.tooLarge(0, s.size)
	}
	var b bytes.Buffer
	b.Grow(int(s.size) + bytes.MinRead)
	n, err := b.ReadFrom(io.LimitReader(s.in, limit+1))
	switch {
	case err != nil:
		return nil, s.failed(err)
	case n > limit:
		return nil, s.tooLarge(0, 0)
	case len(bytes.TrimSpace(b.Bytes())) == 0:
		return nil, s.empty()
	}
	return b.Bytes(), true
}

// text is whole, as UTF-8.
func (s *source) text() (body []byte, more bool) {
	raw, more := s.whole()
	if raw == nil {
		return nil, more
	}
	text, err := Decode(raw)
	if err != nil {
		return nil, s.binary(raw)
	}
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, s.empty()
	}
	return text, true
}

func (s *source) empty() bool {
	return s.problem(0, "is empty", "put text in it or leave it out")
}

func (s *source) binary(head []byte) bool {
	kind, fix := "binary data, not text", "convert it to text or leave it out"
	if m := magicOf(head); m != nil {
		kind, fix = m.what, m.fix
	}
	return s.problem(0, "is "+kind, fix)
}

func (s *source) tooLarge(line int, size int64) bool {
	reason := "is larger than " + mebibytes(int64(s.config.MaxBody))
	if size > 0 {
		reason = fmt.Sprintf("has %s, more than the limit of %s", mebibytes(size), mebibytes(int64(s.config.MaxBody)))
	}
	return s.problem(line, reason, "split it")
}

func mebibytes(n int64) string {
	if n < 1<<20 {
		return fmt.Sprintf("%d bytes", n)
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// lines reads s line by line, in constant memory.
func (s *source) lines() *lines { return &lines{in: s.in, limit: s.config.MaxBody} }
