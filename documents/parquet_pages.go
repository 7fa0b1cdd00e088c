package documents

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	pqformat "github.com/parquet-go/parquet-go/format"
)

// maxPage is the most bytes that one page of a Parquet file may unpack to:
// pages are read as a whole, one of each column at a time. Writers make them
// 1 MiB or so.
const maxPage = 256 << 20

var errPage = fmt.Errorf("a page unpacks to more than %s", mebibytes(maxPage))

// checkPages reads the heads of all pages before any of them is unpacked: what
// they say may be a lie, and their reader believes it.
func checkPages(f *parquet.File, in io.ReaderAt) error {
	for _, group := range f.Metadata().RowGroups {
		for _, column := range group.Columns {
			meta := column.MetaData
			start := meta.DataPageOffset
			if d := meta.DictionaryPageOffset; d > 0 && d < start {
				start = d
			}
			if err := checkChunk(io.NewSectionReader(in, start, meta.TotalCompressedSize), meta.Codec, meta.NumValues); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkChunk(chunk *io.SectionReader, codec pqformat.CompressionCodec, values int64) error {
	r := bufio.NewReaderSize(chunk, 4<<10)
	for at := int64(0); at < chunk.Size() && values > 0; {
		if _, err := chunk.Seek(at, io.SeekStart); err != nil {
			return err
		}
		r.Reset(chunk)
		var head pqformat.PageHeader
		if err := thrift.NewDecoder((&thrift.CompactProtocol{}).NewReader(r)).Decode(&head); err != nil {
			return fmt.Errorf("a page is broken: %w", err)
		}
		now, err := chunk.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		body := now - int64(r.Buffered())
		packed := int64(head.CompressedPageSize)
		switch {
		case packed < 0 || head.UncompressedPageSize < 0 || body+packed > chunk.Size():
			return errors.New("a page is broken")
		case packed > maxPage || head.UncompressedPageSize > maxPage:
			return errPage
		}
		skip := int64(0) // levels in front of a second version's data are not packed
		if v2 := head.DataPageHeaderV2; v2.Valid {
			skip = int64(v2.V.RepetitionLevelsByteLength) + int64(v2.V.DefinitionLevelsByteLength)
			values -= int64(v2.V.NumValues)
		}
		if v1 := head.DataPageHeader; v1.Valid {
			values -= int64(v1.V.NumValues)
		}
		if skip < 0 || skip > packed {
			return errors.New("a page is broken")
		}
		if err := checkPage(io.NewSectionReader(chunk, body+skip, packed-skip), codec); err != nil {
			return err
		}
		at = body + packed
	}
	return nil
}

// safe is how many packed bytes never become more than maxPage in a codec
// whose ratio is bounded.
var safe = map[pqformat.CompressionCodec]int64{
	pqformat.Uncompressed: maxPage,
	pqformat.Snappy:       maxPage / 32,   // a copy of 64 bytes in 3
	pqformat.Lz4Raw:       maxPage / 256,  // one byte adds 255
	pqformat.Gzip:         maxPage / 1040, // 1,032 to one
	pqformat.Zstd:         maxPage / (48 << 10),
}

// checkPage makes sure that a page unpacks to no more than it may. What could
// be more is unpacked to nowhere.
func checkPage(page *io.SectionReader, codec pqformat.CompressionCodec) error {
	most, known := safe[codec]
	if known && page.Size() <= most {
		return nil
	}
	var r io.Reader
	switch codec {
	case pqformat.Gzip:
		z, err := gzip.NewReader(page)
		if err != nil {
			return fmt.Errorf("a page is broken: %w", err)
		}
		r = z
	case pqformat.Zstd:
		return checkZstd(page)
	case pqformat.Brotli:
		r = brotli.NewReader(page)
	case pqformat.Snappy, pqformat.Lz4Raw:
		return errPage
	default:
		return fmt.Errorf("it is compressed with %s, which is not read", codec)
	}
	return drain(r)
}

// checkZstd believes a frame that tells its size, since its decoder holds it
// to that.
func checkZstd(page *io.SectionReader) error {
	head := make([]byte, min(page.Size(), zstd.HeaderMaxSize))
	if _, err := page.ReadAt(head, 0); err != nil {
		return err
	}
	var h zstd.Header
	if err := h.Decode(head); err == nil && h.HasFCS && h.FrameContentSize > maxPage {
		return errPage
	}
	z, err := zstd.NewReader(page, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPage))
	if err != nil {
		return err
	}
	defer z.Close()
	return drain(z)
}

func drain(r io.Reader) error {
	n, err := io.Copy(io.Discard, io.LimitReader(r, maxPage+1))
	if err != nil {
		return fmt.Errorf("a page is broken: %w", err)
	}
	if n > maxPage {
		return errPage
	}
	return nil
}
