package documents

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/drover-batch/drover/jobs"
)

var (
	errEncrypted = errors.New("is encrypted")
	errLarge     = errors.New("has more text than a document may have")
	errSlow      = fmt.Errorf("took longer than %s to read", pdfTimeout)
)

// pdfTimeout bounds the work on one PDF file, whatever is in it.
const pdfTimeout = 60 * time.Second

// readPDF reads the text of a PDF file as one document, a form feed between its
// pages.
func readPDF(s *source) bool {
	b, err := s.blob(true)
	if err != nil {
		return s.failed(err)
	}
	defer b.discard()
	head := make([]byte, min(b.size, 1024))
	if _, err := b.ReadAt(head, 0); err != nil {
		return s.failed(err)
	}
	if !bytes.Contains(head, []byte("%PDF-")) {
		return s.problem(0, "is called .pdf and is no PDF file", "give it the name of what it is, or leave it out")
	}
	pages, err := s.pages(b)
	switch {
	case s.ctx.Err() != nil:
		return false
	case errors.Is(err, errEncrypted):
		return s.problem(0, "is encrypted", "save it without a password: qpdf --decrypt --password=… FILE.pdf PLAIN.pdf")
	case errors.Is(err, errLarge):
		return s.tooLarge(0, 0)
	case errors.Is(err, errSlow):
		return s.problem(0, err.Error(), "print it to a new PDF file, or leave it out")
	case err != nil:
		return s.problem(0, "is a broken PDF file: "+err.Error(), "save it anew or leave it out")
	}
	text := paginated(pages)
	if text == nil {
		return s.problem(0, "has no text, as scans have none", "recognise its text first: ocrmypdf FILE.pdf FILE.pdf")
	}
	return s.document("", 0, jobs.Document{Body: text})
}

// pages returns the text of every page, with the source's own reader or else the
// next that is free.
func (s *source) pages(b *blob) ([]string, error) {
	reader := s.reader
	if reader == nil {
		reader = <-s.ahead.pdfs.ask()
		defer s.ahead.pdfs.put(reader)
	}
	ctx, cancel := context.WithTimeoutCause(s.ctx, pdfTimeout, errSlow)
	defer cancel()
	pages, err := reader.read(ctx, s.config, b)
	if errors.Is(context.Cause(ctx), errSlow) {
		err = errSlow
	}
	return pages, err
}

// paginated joins pages of text, a form feed between them. Without any text
// there is no result.
func paginated(pages []string) []byte {
	blank := true
	inTeX := slices.ContainsFunc(pages, func(page string) bool { return strings.Contains(page, "\x1c") })
	for i, page := range pages {
		page = unfold(page)
		if inTeX {
			page = fromTeX.Replace(page)
		}
		pages[i] = tidy(page)
		blank = blank && pages[i] == ""
	}
	if blank {
		return nil
	}
	return []byte(strings.Join(pages, pageBreak))
}

// fromTeX reads what TeX's bitmap fonts leave: codes of the encoding T1, of
// which the one for fi is in any text, rather than characters.
var fromTeX = strings.NewReplacer("\x10", "“", "\x11", "”", "\x15", "–", "\x16", "—",
	"\x1b", "ff", "\x1c", "fi", "\x1d", "fl", "\x1e", "ffi", "\x1f", "ffl")

var (
	manyLines  = regexp.MustCompile(`\n{3,}`)
	wideSpaces = regexp.MustCompile(` {5,}`)
)

// tidy takes out of a page what only costs tokens: the space around it, at the
// ends of its lines and between its columns, and characters that no text has.
func tidy(page string) string {
	page = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return r
		case r == '\u00ad' || r < ' ' || r == 0x7f || r == '\ufffe':
			return -1
		}
		return r
	}, strings.ToValidUTF8(strings.ReplaceAll(page, "\r\n", "\n"), "\uFFFD"))
	lines := strings.Split(page, "\n")
	dedent(lines)
	page = strings.Trim(strings.Join(lines, "\n"), "\n")
	if page == "" {
		return ""
	}
	page = wideSpaces.ReplaceAllString(manyLines.ReplaceAllString(page, "\n\n"), "    ")
	return page + "\n"
}

// dedent takes away what space all lines begin with, and what they end with.
func dedent(lines []string) {
	indent := -1
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, " \t")
		if in := len(lines[i]) - len(strings.TrimLeft(lines[i], " ")); lines[i] != "" && (indent < 0 || in < indent) {
			indent = in
		}
	}
	for i, line := range lines {
		if line != "" {
			lines[i] = line[indent:]
		}
	}
}

// pdfReader reads PDF files, with pdftotext where there is one.
type pdfReader struct {
	program *string   // pdftotext; empty if there is none, nil if not looked for
	engine  pdfEngine // in WebAssembly, from its first use
}

// pdfEngine returns the text of every page, and stops when ctx is done, after
// which it is of no use any more.
type pdfEngine interface {
	read(ctx context.Context, b *blob, most int) ([]string, error)
	close()
}

func (r *pdfReader) close() {
	if r.engine != nil {
		r.engine.close()
		r.engine = nil
	}
}

// read returns the text of every page.
func (r *pdfReader) read(ctx context.Context, c *Config, b *blob) ([]string, error) {
	if r.program == nil {
		path := ""
		if !c.Isolate {
			path, _ = exec.LookPath("pdftotext")
		}
		r.program = &path
	}
	if *r.program != "" {
		return pdfToText(ctx, *r.program, b.path, c.MaxBody)
	}
	if r.engine == nil {
		engine, err := startPDFium()
		if err != nil {
			return nil, err
		}
		r.engine = engine
	}
	pages, err := r.engine.read(ctx, b, c.MaxBody)
	if ctx.Err() != nil { // which leaves it in the middle of something
		r.close()
	}
	return pages, err
}
