package documents

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

const (
	maxFooter = 64 << 20 // bytes of what a Parquet file says about itself
	maxHead   = 16 << 20 // bytes of the head of a page
	maxList   = 1 << 20  // elements of a list in either
	maxNested = 32
)

var errHeads = errors.New("what it says about itself is broken")

// checkFooter makes sure that what a Parquet file says about itself is there:
// its reader makes room for whatever is announced.
func checkFooter(b *blob) error {
	var end [8]byte
	if b.size < 12 {
		return errHeads
	}
	if _, err := b.ReadAt(end[:], b.size-8); err != nil {
		return err
	}
	size := int64(binary.LittleEndian.Uint32(end[:]))
	switch {
	case size > b.size-12:
		return errHeads
	case size > maxFooter:
		return fmt.Errorf("it has more than %s about itself", mebibytes(maxFooter))
	}
	in := io.NewSectionReader(b, b.size-8-size, size)
	_, err := checkThrift(bufio.NewReader(in), size)
	return err
}

// checkThrift goes through a structure in Thrift's compact encoding and
// returns how many bytes it has, or an error if anything in it is announced
// larger than what is left.
func checkThrift(in *bufio.Reader, left int64) (int64, error) {
	t := &announced{in: in, left: left}
	if err := t.structure(0); err != nil {
		return 0, err
	}
	return left - t.left, nil
}

type announced struct {
	in   *bufio.Reader
	left int64
}

func (t *announced) skip(n uint64) error {
	if n > uint64(t.left) {
		return errHeads
	}
	t.left -= int64(n)
	_, err := t.in.Discard(int(n))
	return err
}

// ReadByte implements io.ByteReader.
func (t *announced) ReadByte() (byte, error) {
	if t.left == 0 {
		return 0, errHeads
	}
	t.left--
	return t.in.ReadByte()
}

func (t *announced) structure(depth int) error {
	if depth > maxNested {
		return errHeads
	}
	for {
		head, err := t.ReadByte()
		if err != nil || head == 0 {
			return err
		}
		if head>>4 == 0 { // the field's number follows
			if _, err := binary.ReadUvarint(t); err != nil {
				return err
			}
		}
		if kind := head & 15; kind == 1 || kind == 2 { // true and false have no more to them
			continue
		}
		if err := t.value(head&15, depth); err != nil {
			return err
		}
	}
}

func (t *announced) value(kind byte, depth int) error {
	switch kind {
	case 1, 2, 3: // a byte, or a truth in a list
		return t.skip(1)
	case 4, 5, 6: // whole numbers
		_, err := binary.ReadUvarint(t)
		return err
	case 7:
		return t.skip(8)
	case 8:
		n, err := binary.ReadUvarint(t)
		if err != nil {
			return err
		}
		return t.skip(n)
	case 9, 10:
		return t.list(depth + 1)
	case 12:
		return t.structure(depth + 1)
	}
	return errHeads // maps are nowhere in the format
}

func (t *announced) list(depth int) error {
	head, err := t.ReadByte()
	if err != nil {
		return err
	}
	n := uint64(head >> 4)
	if n == 15 {
		if n, err = binary.ReadUvarint(t); err != nil {
			return err
		}
	}
	if n > maxList || depth > maxNested {
		return errHeads
	}
	for range n {
		if err := t.value(head&15, depth); err != nil {
			return err
		}
	}
	return nil
}
