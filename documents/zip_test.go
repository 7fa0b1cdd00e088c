package documents

import (
	"archive/zip"
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// zipped packs members in the order given: name, content, name, content…
func zipped(t testing.TB, members ...string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(members); i += 2 {
		w, err := z.Create(members[i])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, members[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestArchivesAreReadLikeFolders(t *testing.T) {
	t.Parallel()
	inner := zipped(t, "deep.txt", "deep")
	dir := folder(t, map[string]string{"a.zip": zipped(t,
		"z.txt", "last", "in/lease.pdf", string(made(t, "lease.pdf")), "in/rows.csv", "id,x\nr1,1\n,2\n", "more.zip", inner,
		".hidden", "x", "__MACOSX/in/._lease.pdf", "x", "in/", "", "book.xlsx", string(made(t, "invoices.xlsx")), "bad.json", "{",
		"service", string(made(t, "service.docx")))})
	items, problems := readAll(t, Config{}, dir, dir)
	want := []string{"inv-1", "inv-2", "a.zip/book.xlsx/Notes:2", "a.zip/in/lease.pdf", "r1", "a.zip/in/rows.csv:3",
		"a.zip/more.zip/deep.txt", "a.zip/service", "a.zip/z.txt"}
	if diff := cmp.Diff(want, ids(items)); diff != "" {
		t.Error(diff)
	}
	named := []string{"a.zip/bad.json:1: malformed JSON at column 1: unexpected end of JSON input; if every line is an object, call it .jsonl"}
	if diff := cmp.Diff(named, problems); diff != "" {
		t.Error(diff)
	}
	from, _ := readAll(t, Config{Stdin: strings.NewReader(inner)}, "", "-")
	if len(from) != 1 || from[0].Document.Source != "stdin/deep.txt" {
		t.Error(from)
	}
}

func TestAFormatIsTheArchivesAndNotItsMembers(t *testing.T) {
	t.Parallel()
	in := zipped(t, "a.txt", "a", "b.csv", "id,x\nr1,1\n", "c.zip", zipped(t, "d.md", "d"))
	items, problems := readAll(t, Config{Format: "zip", Stdin: strings.NewReader(in)}, "", "-")
	if diff := cmp.Diff([]string{"stdin/a.txt", "r1", "stdin/c.zip/d.md"}, ids(items)); diff != "" || problems != nil {
		t.Error(diff, problems)
	}
}

func TestNamesInArchivesLeadNowhere(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"a.zip": zipped(t,
		"../../etc/passwd", "one", "/abs", "two", "..\\win\\x", "three", "a\x1b[2J\nb\u202ec", "four", "caf\x82", "five", "..", "six")})
	items, problems := readAll(t, Config{}, dir, dir)
	want := []string{"a.zip/a_[2J_b_c", "a.zip/abs", "a.zip/café", "a.zip/etc/passwd", "a.zip/win/x"}
	if diff := cmp.Diff(want, ids(items)); diff != "" || problems != nil {
		t.Error(diff, problems)
	}
}

func TestWhatCannotBeUnpackedIsNamed(t *testing.T) {
	t.Parallel()
	nested := zipped(t, "x.txt", "x")
	for range maxDepth {
		nested = zipped(t, "n.zip", nested)
	}
	locked := []byte(zipped(t, "locked.txt", "secret", "open.txt", "open"))
	locked[6] |= 1 // the encryption bit in both headers of the first member
	locked[bytes.Index(locked, []byte("PK\x01\x02"))+8] |= 1
	strange := []byte(zipped(t, "s.txt", "strange"))
	strange[8], strange[bytes.Index(strange, []byte("PK\x01\x02"))+10] = 97, 97
	damaged := []byte(zipped(t, "d.txt", strings.Repeat("damaged ", 50)))
	damaged[60] ^= 0xff
	dir := folder(t, map[string]string{
		"a.zip": string(locked), "b.zip": nested, "c.zip": string(strange), "d.zip": string(damaged),
		"e.zip": zipped(t), "f.zip": "PK\x03\x04 and nothing", "g.odt": zipped(t, "mimetype", "application/vnd.oasis.opendocument.text", "content.xml", "<x/>"),
	})
	items, problems := readAll(t, Config{}, dir, dir)
	want := []string{
		"a.zip/locked.txt: is encrypted; unpack it with its password first",
		"b.zip/n.zip/n.zip/n.zip/n.zip: is an archive inside 4 others; unpack the outer ones",
		"c.zip/s.txt: is compressed in a way that is not read; unpack it first",
		"d.zip/d.txt: cannot be read: its archive is broken or cut off; check the file and its disk",
		"e.zip: is an archive that holds no files; leave it out",
		"f.zip: is a broken archive, or cut off; pack it anew",
		"g.odt: is an office document or a program of a kind that is not read; save it as PDF, DOCX or XLSX",
	}
	if diff := cmp.Diff(want, problems); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"a.zip/open.txt"}, ids(items)); diff != "" {
		t.Error(diff)
	}
}

// Archives that a Mac makes do not say that their names are UTF-8, and the custom
// ids of their documents were "a.zip/M├╝ller.txt".
func TestNamesInAMacsArchiveAreReadable(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.CreateHeader(&zip.FileHeader{Name: "Müller/Straße.txt", NonUTF8: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "one"); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	dir := folder(t, map[string]string{"a.zip": b.String()})
	items, problems := readAll(t, Config{}, dir, dir)
	if diff := cmp.Diff([]string{"a.zip/Müller/Straße.txt"}, ids(items)); diff != "" || problems != nil {
		t.Error(diff, problems)
	}
}

// claiming is an archive of members that claim to unpack to so many bytes.
func claiming(t testing.TB, size uint64, names ...string) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range names {
		w, err := z.CreateRaw(&zip.FileHeader{Name: name, Method: zip.Deflate, CompressedSize64: 2, UncompressedSize64: size})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte{3, 0}); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestWhatUnpacksToTooMuchIsStopped(t *testing.T) {
	t.Parallel()
	const size = 200 << 20
	dir := folder(t, map[string]string{
		"a.zip":  claiming(t, size, "a.txt", "b.txt"),
		"b.docx": claiming(t, 2*size, "word/document.xml"), "c.xlsx": claiming(t, 2*size, "xl/workbook.xml"),
	})
	_, problems := readAll(t, Config{}, dir, dir)
	want := []string{
		"a.zip/a.txt: cannot be read: its archive is broken or cut off; check the file and its disk",
		"a.zip/b.txt: would unpack to more than its archive may; unpack the archive yourself if you trust it",
		"b.docx: unpacks to far more than it may; leave it out",
		"c.xlsx: unpacks to far more than it may; leave it out",
	}
	if diff := cmp.Diff(want, problems); diff != "" {
		t.Error(diff)
	}
}

func TestAMemberThatGrowsBeyondItsClaimIsBroken(t *testing.T) {
	t.Parallel()
	liar := []byte(zipped(t, "a.jsonl", strings.Repeat("{\"a\":1}\n", 1000)))
	at := bytes.Index(liar, []byte("PK\x01\x02"))
	copy(liar[at+24:], []byte{10, 0, 0, 0})
	dir := folder(t, map[string]string{"a.zip": string(liar)})
	_, problems := readAll(t, Config{}, dir, dir)
	if len(problems) == 0 || !strings.Contains(problems[len(problems)-1], "its archive is broken or cut off") {
		t.Error(problems)
	}
}
