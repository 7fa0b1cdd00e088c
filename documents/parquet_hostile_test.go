package documents

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	pqformat "github.com/parquet-go/parquet-go/format"
)

var codecs = map[string]compress.Codec{
	"plain": &parquet.Uncompressed, "gzip": &parquet.Gzip, "zstd": &parquet.Zstd, "snappy": &parquet.Snappy, "lz4": &parquet.Lz4Raw, "brotli": &parquet.Brotli,
}

type clauseRow struct {
	Text string `parquet:"text"`
	N    int    `parquet:"n,optional"`
}

func parquetFile[T any](t testing.TB, rows []T, options ...parquet.WriterOption) []byte {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewGenericWriter[T](&b, options...)
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestParquetIsReadInEveryCodec(t *testing.T) {
	t.Parallel()
	for name, codec := range codecs {
		for _, version := range []int{1, 2} {
			data := parquetFile(t, []clauseRow{{strings.Repeat("one ", 1000), 7}, {"two", 0}}, parquet.Compression(codec), parquet.DataPageVersion(version))
			items, problems := readAll(t, Config{Format: "parquet", Stdin: bytes.NewReader(data)}, "", "-")
			if len(items) != 2 || len(items[0].Document.Body) != 4000 || items[1].Document.Fields["n"] != "" || problems != nil {
				t.Error(name, version, len(items), problems)
			}
		}
	}
}

// checked is what the check of a file's pages says under limits.
func checked(t *testing.T, data []byte, limits pageLimits) string {
	t.Helper()
	in := bytes.NewReader(data)
	f, err := parquet.OpenFile(in, int64(len(data)), parquet.SkipPageIndex(true))
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(checkPages(f, in, limits))
}

func TestParquetBombsAreNamed(t *testing.T) {
	t.Parallel()
	roomy := pageLimits{page: 1 << 20, values: 1000, group: 2 << 20}
	long := []clauseRow{{Text: strings.Repeat("x", 100_000)}}
	for name, codec := range codecs {
		data := parquetFile(t, long, parquet.Compression(codec))
		if got := checked(t, data, roomy); got != "<nil>" {
			t.Error(name, got)
		}
		if got := checked(t, data, pageLimits{page: 50_000, values: 1000, group: 1 << 20}); got != "a page unpacks to more than 50000 bytes" {
			t.Error(name, got)
		}
		if got := checked(t, data, pageLimits{page: 1 << 20, values: 1000, group: 90_000}); got != "the pages of its columns unpack to more than 90000 bytes" {
			t.Error(name, got)
		}
		if name == "plain" {
			continue
		}
		got := checked(t, understated(t, data), roomy)
		if !strings.HasPrefix(got, "a page is broken") {
			t.Error(name, got)
		}
		_, problems := readAll(t, Config{Format: "parquet", Stdin: bytes.NewReader(understated(t, data))}, "", "-")
		if len(problems) != 1 || !strings.HasPrefix(problems[0], "stdin: cannot be read: a page is broken") {
			t.Error(name, problems)
		}
	}
	many := parquetFile(t, make([]clauseRow, 2000), parquet.Compression(&parquet.Zstd))
	if got := checked(t, many, roomy); got != "a page has more than 1000 values" {
		t.Error(got)
	}
}

// understated makes the first page of a file say that it unpacks to 10 bytes.
// Its head keeps its length.
func understated(t *testing.T, data []byte) []byte {
	t.Helper()
	in := bufio.NewReader(bytes.NewReader(data[4:]))
	size, err := checkThrift(in, int64(len(data)-4))
	if err != nil {
		t.Fatal(err)
	}
	var head pqformat.PageHeader
	if err := thrift.Unmarshal(&thrift.CompactProtocol{}, data[4:4+size], &head); err != nil {
		t.Fatal(err)
	}
	var old [binary.MaxVarintLen64]byte
	was := old[:binary.PutVarint(old[:], int64(head.UncompressedPageSize))]
	lie := append([]byte{10<<1 | 0x80}, bytes.Repeat([]byte{0x80}, len(was)-2)...)
	return append(bytes.Replace(data[:4+size], was, append(lie, 0), 1), data[4+size:]...)
}

// An LZ4 block that is broken would be unpacked again and again, each time
// into twice the memory.
func TestABrokenLZ4PageIsNamed(t *testing.T) {
	t.Parallel()
	data := parquetFile(t, []clauseRow{{Text: strings.Repeat("x", 1000)}}, parquet.Compression(&parquet.Lz4Raw))
	size, err := checkThrift(bufio.NewReader(bytes.NewReader(data[4:])), int64(len(data)-4))
	if err != nil {
		t.Fatal(err)
	}
	copy(data[4+size:], bytes.Repeat([]byte{0xff}, 8))
	_, problems := readAll(t, Config{Format: "parquet", Stdin: bytes.NewReader(data)}, "", "-")
	want := []string{"stdin: cannot be read: a page is broken; write it anew, with smaller pages"}
	if diff := cmp.Diff(want, problems); diff != "" {
		t.Error(diff)
	}
}

// A text that is in a file once may be in a row any number of times.
func TestAParquetRowThatGrowsIsNamed(t *testing.T) {
	t.Parallel()
	type row struct {
		Text []string `parquet:"text,dict"`
	}
	texts := make([]string, 500)
	for i := range texts {
		texts[i] = strings.Repeat("x", 1000)
	}
	data := parquetFile(t, []row{{texts}, {texts[:1]}})
	items, problems := readAll(t, Config{Format: "parquet", MaxBody: 100_000, Stdin: bytes.NewReader(data)}, "", "-")
	want := []string{"stdin:1: has 500000 bytes, more than the limit of 100000 bytes; split it"}
	if diff := cmp.Diff(want, problems); diff != "" || len(items) != 1 {
		t.Error(diff, len(items))
	}
	if len(data) > 10_000 {
		t.Errorf("%d bytes", len(data))
	}
}

// The reader of footers and heads makes room for whatever they announce.
func TestAParquetFileThatAnnouncesTooMuchIsNamed(t *testing.T) {
	t.Parallel()
	whole := func(footer string, size uint32) []byte {
		return append(binary.LittleEndian.AppendUint32([]byte("PAR1"+footer), size), "PAR1"...)
	}
	for name, data := range map[string][]byte{
		"footer": whole("\x00", 0xffff_fff0),
		"list":   whole("\x49\xfc\xf0\xff\xff\xff\x07\x00", 8), // of row groups
		"text":   whole("\x68\xf0\xff\xff\xff\x07\x00", 7),
		"short":  []byte("PAR1PAR1"),
		"nested": whole(strings.Repeat("\x1c", 1000)+strings.Repeat("\x00", 1001), 2001),
		"lists":  whole("\x49\xfc\x81\x80\x40"+strings.Repeat("\x00", 1<<20+2), 1<<20+7),
	} {
		_, problems := readAll(t, Config{Format: "parquet", Stdin: bytes.NewReader(data)}, "", "-")
		want := []string{"stdin: is a broken Parquet file, an encrypted one, or none: what it says about itself is broken; write it anew"}
		if diff := cmp.Diff(want, problems); diff != "" {
			t.Error(name, diff)
		}
	}
	data := parquetFile(t, []clauseRow{{Text: "one"}})
	copy(data[4:], "\x58\xf0\xff\xff\xff\x07") // in the head of a page
	if got := checked(t, data, parquetLimits); got != "a page is broken" {
		t.Error(got)
	}
}

// A file whose decimals were said to have two thousand million places kept its
// reader busy without an end in sight.
func TestDecimalsOfAnyNumberOfPlacesAreRead(t *testing.T) {
	t.Parallel()
	type row struct {
		Price [5]byte `parquet:"price,decimal(3:11)"`
		Whole [5]byte `parquet:"whole,decimal(0:11)"`
		Tiny  [5]byte `parquet:"tiny,decimal(2000000000:11)"`
		Text  string  `parquet:"text"`
	}
	data := parquetFile(t, []row{
		{[5]byte{0, 0, 0, 4, 0xd2}, [5]byte{0x7f, 0xff, 0xff, 0xff, 0xff}, [5]byte{4: 7}, "a"},
		{[5]byte{0xff, 0xff, 0xff, 0xff, 0xff}, [5]byte{0x80}, [5]byte{0xff, 0xff, 0xff, 0xff, 0xf9}, "b"},
	})
	items, problems := readAll(t, Config{Format: "parquet", Stdin: bytes.NewReader(data)}, "", "-")
	want := []map[string]string{
		{"price": "1.234", "whole": "549755813887", "tiny": "7e-2000000000"}, {"price": "-0.001", "whole": "-549755813888", "tiny": "-7e-2000000000"},
	}
	var got []map[string]string
	for _, it := range items {
		got = append(got, it.Document.Fields)
	}
	if diff := cmp.Diff(want, got); diff != "" || problems != nil {
		t.Error(diff, problems)
	}
}
