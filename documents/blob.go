package documents

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
)

// blob is random access to all of a source.
type blob struct {
	io.ReaderAt
	size    int64
	path    string // of the file that holds it; empty if it is in memory
	discard func()
}

// inMemory is how much of a stream is held rather than put into a file.
const inMemory = 4 << 20

// errHuge means that a stream is larger than what is put aside of one.
var errHuge = errors.New("is larger than can be put aside")

// maxAside is the most bytes of a stream that go into a temporary file.
const maxAside = 16 << 30

// blob gives random access to the source. What is no file yet, such as
// standard input, is put aside in memory or in a temporary file, until discard
// is called. onDisk asks for a file in any case.
func (s *source) blob(onDisk bool) (*blob, error) {
	if s.kept != nil {
		return &blob{s.kept, s.kept.size, s.kept.path, func() {}}, nil
	}
	if s.file != nil {
		return &blob{s.file, s.size, s.file.Name(), func() {}}, nil
	}
	var head bytes.Buffer
	n, err := io.Copy(&head, io.LimitReader(s.in, inMemory))
	if err != nil {
		return nil, err
	}
	if n < inMemory && !onDisk {
		return &blob{bytes.NewReader(head.Bytes()), n, "", func() {}}, nil
	}
	return aside(io.MultiReader(&head, s.in))
}

// aside writes a stream to a temporary file.
func aside(in io.Reader) (*blob, error) {
	f, err := os.CreateTemp("", "drover-document-*")
	if err != nil {
		return nil, fmt.Errorf("putting it aside: %w", err)
	}
	discard := func() {
		_ = f.Close()
		_ = os.Remove(f.Name())
	}
	n, err := io.Copy(f, io.LimitReader(in, maxAside+1))
	if err == nil && n > maxAside {
		err = errHuge
	}
	if err != nil {
		discard()
		return nil, err
	}
	return &blob{f, n, f.Name(), discard}, nil
}

// unpacked is how many bytes something packed may become: enough for whatever
// people pack, and too little for what is packed to fill a disk or a memory.
func unpacked(packed int64) int64 { return max(256<<20, 200*packed) }

// reading reads a blob from its beginning.
func reading(b *blob) io.Reader { return io.NewSectionReader(b, 0, b.size) }
