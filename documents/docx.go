package documents

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/drover-batch/drover/jobs"
)

// readDOCX reads a Word document as one document in Markdown: headings, lists
// with their numbers, tables, footnotes. Deleted and hidden text is left out,
// and so are the headers and footers of its pages.
func readDOCX(s *source) bool {
	z, b, problem := s.office("a Word document")
	if problem != nil {
		return problem()
	}
	defer b.discard()
	text, err := docx(&parts{z, unpacked(b.size)}, s.config.MaxBody)
	switch {
	case errors.Is(err, errLarge):
		return s.tooLarge(0, 0)
	case errors.Is(err, errBomb):
		return s.problem(0, err.Error(), "leave it out")
	case err != nil:
		return s.problem(0, "is a broken Word document: "+err.Error(), "save it anew or leave it out")
	case len(text) == 0:
		return s.problem(0, "is a Word document without text", "put text in it or leave it out")
	}
	return s.document("", 0, jobs.Document{Body: text})
}

// office opens a source that should be a zip archive, or returns what reports
// that it is none.
func (s *source) office(kind string) (*zip.Reader, *blob, func() bool) {
	b, err := s.blob(false)
	if err != nil {
		return nil, nil, func() bool { return s.failed(err) }
	}
	head := make([]byte, len(oldOffice))
	if _, err := b.ReadAt(head, 0); err == nil && string(head) == oldOffice {
		b.discard()
		return nil, nil, func() bool {
			return s.problem(0, "is encrypted, or of Office 97", "save it without a password, as "+kind+" of today")
		}
	}
	z, err := zip.NewReader(b, b.size)
	if err != nil {
		b.discard()
		return nil, nil, func() bool {
			return s.problem(0, "is no "+strings.TrimPrefix(kind, "a ")+", or cut off", "save it anew or leave it out")
		}
	}
	return z, b, nil
}

var errBomb = errors.New("unpacks to far more than it may")

// parts are the files in an office document.
type parts struct {
	*zip.Reader
	left int64 // bytes that may still be unpacked
}

// xml returns a decoder of a part, or nil if there is none. It knows no
// entities but XML's own five, so none can be made to grow.
func (p *parts) xml(name string) (*xml.Decoder, func(), error) {
	for _, f := range p.File {
		if f.Name != name {
			continue
		}
		if f.UncompressedSize64 > uint64(p.left) {
			return nil, nil, errBomb
		}
		p.left -= int64(f.UncompressedSize64)
		r, err := f.Open()
		if err != nil {
			return nil, nil, err
		}
		return xml.NewDecoder(r), func() { _ = r.Close() }, nil
	}
	return nil, func() {}, nil
}

// docx is the text of a Word document.
func docx(p *parts, most int) ([]byte, error) {
	at := p.wordParts()
	styles, err := readStyles(p, at)
	if err != nil {
		return nil, err
	}
	w := &word{styles: styles, most: most}
	if err := w.read(p, at["document"]); err != nil {
		return nil, err
	}
	if w.parts == 0 {
		return nil, errors.New(at["document"] + " is missing")
	}
	for _, notes := range []string{"footnotes", "endnotes"} {
		if err := w.read(p, at[notes]); err != nil {
			return nil, err
		}
	}
	text := bytes.TrimSpace(w.out.Bytes())
	if len(text) == 0 {
		return nil, nil
	}
	return append(bytes.ToValidUTF8(text, []byte("\uFFFD")), '\n'), nil
}

// maxNesting is how deep elements may be in one another.
const maxNesting = 1000

// read adds the text of a part.
func (w *word) read(p *parts, name string) error {
	d, done, err := p.xml(name)
	if d == nil || err != nil {
		return err
	}
	defer done()
	w.parts++
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		switch t := t.(type) {
		case xml.StartElement:
			if len(w.path) >= maxNesting {
				return fmt.Errorf("%s: its elements are nested too deeply", name)
			}
			if skipped(t) {
				err = d.Skip()
			} else {
				w.path = append(w.path, t.Name.Local)
				w.start(t)
			}
		case xml.EndElement:
			w.path = w.path[:len(w.path)-1]
			w.end(t.Name.Local)
		case xml.CharData:
			w.chars(t)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if w.size() > w.most {
			return errLarge
		}
	}
}

// skipped are elements that hold no text of the document: what was deleted or
// moved away, earlier formats, and a second version for older programs.
func skipped(e xml.StartElement) bool {
	switch e.Name.Local {
	case "del", "moveFrom", "Fallback", "rPrChange", "pPrChange", "tblPrChange", "sectPr", "tblPr", "tcBorders":
		return true
	}
	return false
}

// val is an attribute of an element, whatever namespace it is in.
func val(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// off reports whether a switch such as <w:vanish w:val="0"/> is off.
func off(e xml.StartElement) bool {
	v := val(e, "val")
	return v == "0" || v == "false" || v == "off"
}
