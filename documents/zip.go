package documents

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
)

// archive is what its members share: how deep they are and how much they may
// still unpack to.
type archive struct {
	depth int
	left  int64
}

// maxDepth is how many archives may be inside one another.
const maxDepth = 4

// readZip reads an archive's members as if it were a folder, in the order of
// their names. Their sources are archive.zip/folder/member.pdf.
func readZip(s *source) bool {
	b, err := s.blob(false)
	if err != nil {
		return s.failed(err)
	}
	defer b.discard()
	z, err := zip.NewReader(b, b.size)
	if err != nil {
		return s.problem(0, "is a broken archive, or cut off", "pack it anew")
	}
	if office := officeOf(z); office != nil {
		s.kept = b
		return office(s)
	}
	shared := s.archive
	switch {
	case shared == nil:
		shared = &archive{left: unpacked(b.size)}
	case shared.depth >= maxDepth:
		return s.problem(0, fmt.Sprintf("is an archive inside %d others", shared.depth), "unpack the outer ones")
	}
	inside := &archive{depth: shared.depth + 1, left: shared.left}
	more := s.members(z, inside)
	shared.left = inside.left
	return more
}

// officeOf recognises documents that are zip archives and are not called so.
func officeOf(z *zip.Reader) func(*source) bool {
	has := (&parts{Reader: z}).has
	switch {
	case slices.ContainsFunc(z.File, func(f *zip.File) bool { return strings.HasPrefix(f.Name, "word/document") }):
		return readDOCX
	case has("xl/workbook.xml"):
		return readXLSX
	case has("[Content_Types].xml"), has("mimetype"), has("META-INF/MANIFEST.MF"):
		return func(s *source) bool {
			return s.problem(0, "is an office document or a program of a kind that is not read", "save it as PDF, DOCX or XLSX")
		}
	}
	return nil
}

func (s *source) members(z *zip.Reader, in *archive) bool {
	names := make(map[*zip.File]string, len(z.File))
	files := slices.DeleteFunc(slices.Clone(z.File), func(f *zip.File) bool {
		names[f] = memberName(f)
		return f.FileInfo().IsDir() || hidden(names[f])
	})
	if len(files) == 0 {
		return s.problem(0, "is an archive that holds no files", "leave it out")
	}
	slices.SortStableFunc(files, func(a, b *zip.File) int { return strings.Compare(names[a], names[b]) })
	for _, f := range files {
		if s.ctx.Err() != nil || !s.member(f, names[f], in) {
			return false
		}
	}
	return true
}

func (s *source) member(f *zip.File, name string, in *archive) bool {
	m := newSource(s.walk, s.id+"/"+name, s.name+"/"+name, int64(f.UncompressedSize64), strings.NewReader(""))
	m.archive = in
	switch {
	case f.Flags&1 != 0:
		return m.problem(0, "is encrypted", "unpack it with its password first")
	case !f.Mode().IsRegular():
		return m.problem(0, "is not a regular file", "leave it out")
	case f.UncompressedSize64 > uint64(in.left):
		return m.problem(0, "would unpack to more than its archive may", "unpack the archive yourself if you trust it")
	}
	r, err := f.Open()
	if errors.Is(err, zip.ErrAlgorithm) {
		return m.problem(0, "is compressed in a way that is not read", "unpack it first")
	}
	if err != nil {
		return m.problem(0, "is a broken member of its archive", "pack it anew")
	}
	defer func() { _ = r.Close() }()
	in.left -= int64(f.UncompressedSize64)
	m.in.Reset(&member{r})
	return read(m)
}

// member is a file in an archive, whose errors are the archive's.
type member struct{ r io.Reader }

func (m *member) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = errors.New("its archive is broken or cut off")
	}
	return n, err
}

// memberName is the path of a member below its archive, whatever it claims: it
// never leads out of it and holds nothing that is not to be shown.
func memberName(f *zip.File) string {
	name := f.Name
	if !utf8.ValidString(name) { // macOS writes UTF-8 without saying so
		name, _ = charmap.CodePage437.NewDecoder().String(name)
	}
	name = strings.Map(func(r rune) rune {
		switch {
		case r == '\\':
			return '/'
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == '\u2028' || r == '\u2029':
			return '_'
		}
		return r
	}, name)
	return strings.TrimPrefix(path.Clean("/"+name), "/")
}

// hidden reports what a folder of that path would not have read either.
func hidden(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if strings.HasPrefix(part, ".") || part == "__MACOSX" {
			return true
		}
	}
	return name == ""
}
