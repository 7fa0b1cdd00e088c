package documents

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	pqformat "github.com/parquet-go/parquet-go/format"
	"github.com/pierrec/lz4/v4"
)

// pageLimits bound the memory that the pages of a Parquet file take. They are
// read as a whole, one of each column at a time.
type pageLimits struct {
	page   int64 // most bytes of one
	values int64 // most values of one: a byte may stand for any number of them
	group  int64 // most bytes of one page of each column, with its dictionary
}

// Writers make pages of 1 MiB or so, with some ten thousand values.
var parquetLimits = pageLimits{page: 256 << 20, values: 32 << 20, group: 1 << 30}

var errBrokenPage = errors.New("a page is broken")

// checkPages reads the heads of all pages before any of them is unpacked: what
// they say may be a lie, and their reader believes it.
func checkPages(f *parquet.File, in io.ReaderAt, limits pageLimits) error {
	c := pageCheck{limits: limits}
	defer c.close()
	for _, group := range f.Metadata().RowGroups {
		held := int64(0)
		for _, column := range group.Columns {
			meta := column.MetaData
			start := meta.DataPageOffset
			if d := meta.DictionaryPageOffset; d > 0 && d < start {
				start = d
			}
			most, err := c.chunk(io.NewSectionReader(in, start, meta.TotalCompressedSize), meta.Codec, meta.NumValues)
			if err != nil {
				return err
			}
			if held += most; held > limits.group {
				return fmt.Errorf("the pages of its columns unpack to more than %s", mebibytes(limits.group))
			}
		}
	}
	return nil
}

// pageCheck checks page after page.
type pageCheck struct {
	limits pageLimits
	zstd   *zstd.Decoder
	block  []byte
}

func (c *pageCheck) close() {
	if c.zstd != nil {
		c.zstd.Close()
	}
}

// chunk returns the most bytes that the pages of a column have to be held of
// at once: the largest and the dictionary.
func (c *pageCheck) chunk(chunk *io.SectionReader, codec pqformat.CompressionCodec, values int64) (int64, error) {
	r := bufio.NewReaderSize(chunk, 4<<10)
	dictionary, largest := int64(0), int64(0)
	for at := int64(0); at < chunk.Size() && values > 0; {
		head, size, err := pageHead(chunk, r, at)
		if err != nil {
			return 0, err
		}
		body, packed, unpacked := at+size, int64(head.CompressedPageSize), int64(head.UncompressedPageSize)
		count, skip := int64(0), int64(0)
		if v1 := head.DataPageHeader; v1.Valid {
			count = int64(v1.V.NumValues)
		}
		if v2 := head.DataPageHeaderV2; v2.Valid { // the levels in front of its data are not packed
			count, skip = int64(v2.V.NumValues), int64(v2.V.RepetitionLevelsByteLength)+int64(v2.V.DefinitionLevelsByteLength)
			if z := v2.V.IsCompressed; z.Valid && !z.V {
				skip = packed
			}
		}
		switch {
		case packed < 0 || unpacked < 0 || body+packed > chunk.Size() || count < 0 || skip < 0 || skip > packed:
			return 0, errBrokenPage
		case packed > c.limits.page || unpacked > c.limits.page:
			return 0, c.tooLarge()
		case count > c.limits.values:
			return 0, fmt.Errorf("a page has more than %d values", c.limits.values)
		}
		if err := c.body(io.NewSectionReader(chunk, body+skip, packed-skip), codec, unpacked); err != nil {
			return 0, err
		}
		held := max(packed, unpacked) + 6*count // a value has a place and two levels
		if head.DictionaryPageHeader.Valid {
			dictionary = held
		} else {
			largest = max(largest, held)
		}
		values -= count
		at = body + packed
	}
	return dictionary + largest, nil
}

// pageHead reads the head of the page at a byte of a chunk, and says how long
// it is.
func pageHead(chunk *io.SectionReader, r *bufio.Reader, at int64) (head pqformat.PageHeader, size int64, err error) {
	section := io.NewSectionReader(chunk, at, min(chunk.Size()-at, maxHead))
	r.Reset(section)
	if size, err = checkThrift(r, section.Size()); err != nil {
		return head, 0, errBrokenPage
	}
	if _, err := section.Seek(0, io.SeekStart); err != nil {
		return head, 0, err
	}
	r.Reset(section)
	if err := thrift.NewDecoder((&thrift.CompactProtocol{}).NewReader(r)).Decode(&head); err != nil {
		return head, 0, fmt.Errorf("%w: %w", errBrokenPage, err)
	}
	return head, size, nil
}

func (c *pageCheck) tooLarge() error {
	return fmt.Errorf("a page unpacks to more than %s", mebibytes(c.limits.page))
}

// body makes sure that a page unpacks to no more than it says. What could be
// more is unpacked to nowhere.
func (c *pageCheck) body(page *io.SectionReader, codec pqformat.CompressionCodec, most int64) error {
	if page.Size() == 0 {
		return nil
	}
	switch codec {
	case pqformat.Uncompressed:
		return nil
	case pqformat.Gzip:
		z, err := gzip.NewReader(page)
		if err != nil {
			return fmt.Errorf("%w: %w", errBrokenPage, err)
		}
		return drain(z, most)
	case pqformat.Zstd:
		return c.zstdPage(page, most)
	case pqformat.Brotli:
		return drain(brotli.NewReader(page), most)
	case pqformat.Snappy:
		return snappyPage(page, most)
	case pqformat.Lz4Raw:
		return c.lz4Page(page, most)
	default:
		return fmt.Errorf("it is compressed with %s, which is not read", codec)
	}
}

func (c *pageCheck) zstdPage(page io.Reader, most int64) error {
	if c.zstd == nil {
		z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(max(1, c.limits.page))))
		if err != nil {
			return err
		}
		c.zstd = z
	}
	if err := c.zstd.Reset(page); err != nil {
		return fmt.Errorf("%w: %w", errBrokenPage, err)
	}
	return drain(c.zstd, most)
}

// snappyPage believes a block's head, since its decoder holds it to that.
func snappyPage(page io.ReaderAt, most int64) error {
	head := make([]byte, 10)
	n, err := page.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	size, err := snappy.DecodedLen(head[:n])
	if err != nil || int64(size) > most {
		return errBrokenPage
	}
	return nil
}

// lz4Page unpacks a block, whose reader would take one that is broken for
// larger than it says, and try with twice the memory for ever.
func (c *pageCheck) lz4Page(page *io.SectionReader, most int64) error {
	if most > 256*page.Size() {
		return errBrokenPage
	}
	packed, err := io.ReadAll(page)
	if err != nil {
		return err
	}
	c.block = slices.Grow(c.block[:0], int(most))
	if _, err := lz4.UncompressBlock(packed, c.block[:most]); err != nil {
		return errBrokenPage
	}
	return nil
}

func drain(r io.Reader, most int64) error {
	n, err := io.Copy(io.Discard, io.LimitReader(r, most+1))
	if err != nil {
		return fmt.Errorf("%w: %w", errBrokenPage, err)
	}
	if n > most {
		return fmt.Errorf("%w: it unpacks to more than it says", errBrokenPage)
	}
	return nil
}
