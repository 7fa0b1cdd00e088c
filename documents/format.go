package documents

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
)

// format reads one kind of file. read yields what is in the source and reports
// whether more is wanted.
type format struct {
	name       string
	pace       pace
	extensions []string
	binary     bool                   // it is told by its first bytes, whatever it is called
	sniff      func(head []byte) bool // nil: known by its extension only
	read       func(s *source) bool
}

// pace is how long a file takes, of a format in which it is one document.
type pace int

const (
	many  pace = iota // documents may be in it, in rows or as members
	quick             // one, as fast as it comes from the disk
	slow              // one, which has to be made sense of
)

// formats are tried in this order. The last one takes what nobody else knows.
func formats() []format {
	return []format{
		{"pdf", slow, []string{".pdf"}, true, begins("%PDF-"), readPDF},
		{"docx", slow, []string{".docx", ".docm", ".dotx"}, true, nil, readDOCX},
		{"xlsx", many, []string{".xlsx", ".xlsm", ".xltx"}, true, nil, readXLSX},
		{"parquet", many, []string{".parquet"}, true, begins("PAR1"), readParquet},
		{"image", quick, []string{".png", ".jpg", ".jpeg", ".webp", ".gif"}, true, looksLikeImage, readImage},
		{"zip", many, []string{".zip"}, true, begins("PK\x03\x04", "PK\x05\x06"), readZip},
		{"html", slow, []string{".html", ".htm", ".xhtml"}, false, looksLikeHTML, readHTML},
		{"jsonl", many, []string{".jsonl", ".ndjson"}, false, looksLikeJSONL, readJSONL},
		{"json", quick, []string{".json"}, false, nil, readJSON},
		{"csv", many, []string{".csv"}, false, nil, readCSV},
		{"tsv", many, []string{".tsv", ".tab"}, false, nil, readTSV},
		{"markdown", quick, []string{".md", ".markdown"}, false, nil, readText},
		{"text", quick, []string{".txt", ".text", ".log"}, false, nil, readText},
	}
}

// Formats lists the names that Config.Format accepts.
func Formats() []string {
	var names []string
	for _, f := range formats() {
		names = append(names, f.name)
	}
	slices.Sort(names)
	return names
}

// read reads a source in its format.
func read(s *source) bool { return s.guarded(s.recognise()) }

// recognise tells the format of a source. What cannot be read has one that
// says so.
func (s *source) recognise() format {
	says := func(read func(s *source) bool) format { return format{pace: quick, read: read} }
	head, err := s.in.Peek(peek)
	switch {
	case len(head) == 0 && err != nil && !errors.Is(err, io.EOF):
		return says(func(s *source) bool { return s.failed(err) })
	case len(head) == 0:
		return says((*source).empty)
	case s.format() == "" && slices.Contains(mails, strings.ToLower(path.Ext(s.name))):
		return says(func(s *source) bool {
			return s.problem(0, "is mail", "save it as text, HTML or PDF where you read it")
		})
	}
	f := formatOf(s.format(), s.name, head)
	if !f.binary && (magicOf(head) != nil || utf16Of(head) == nil && bytes.IndexByte(head, 0) >= 0) {
		return says(func(s *source) bool { return s.binary(head) })
	}
	return f
}

// format is what the user says a path is. The members of an archive tell
// themselves what they are.
func (s *source) format() string {
	if s.archive != nil {
		return ""
	}
	return s.config.Format
}

// guarded reads a source in a format. The libraries that read formats meet
// files that nobody has seen before: their panic is the file's problem and not
// the run's. One of whoever takes the documents is none of theirs.
func (s *source) guarded(f format) (more bool) {
	defer func() {
		if s.handing {
			return
		}
		if v := recover(); v != nil {
			more = s.problem(0, fmt.Sprintf("cannot be read as %s: its reader gave up (%T)", f.name, v), "save it anew or leave it out")
		}
	}()
	return f.read(s)
}

// formatOf finds the format by its name, else by the file's extension and its
// first bytes: those of a binary format count more than a name that says text.
func formatOf(name, file string, head []byte) format {
	all := formats()
	ext := strings.ToLower(path.Ext(file))
	named := slices.IndexFunc(all, func(f format) bool {
		return f.name == name || name == "" && slices.Contains(f.extensions, ext)
	})
	if named >= 0 && (name != "" || all[named].binary) {
		return all[named]
	}
	for _, f := range all {
		if f.binary && f.sniff != nil && f.sniff(head) {
			return f
		}
	}
	if named >= 0 {
		return all[named]
	}
	head = bytes.TrimSpace(bytes.TrimPrefix(head, bom8))
	for _, f := range all {
		if !f.binary && f.sniff != nil && f.sniff(head) {
			return f
		}
	}
	return all[len(all)-1]
}

func begins(prefixes ...string) func([]byte) bool {
	return func(head []byte) bool {
		return slices.ContainsFunc(prefixes, func(p string) bool { return bytes.HasPrefix(head, []byte(p)) })
	}
}

func looksLikeHTML(head []byte) bool {
	start := bytes.ToLower(head[:min(len(head), 64)])
	return bytes.HasPrefix(start, []byte("<!doctype html")) || bytes.HasPrefix(start, []byte("<html"))
}

// looksLikeJSONL accepts a first line that is an object with something after
// it that starts another, or nothing.
func looksLikeJSONL(head []byte) bool {
	first, rest, _ := bytes.Cut(head, []byte{'\n'})
	first, rest = bytes.TrimSpace(first), bytes.TrimSpace(rest)
	if len(first) == 0 || first[0] != '{' || len(rest) > 0 && rest[0] != '{' {
		return false
	}
	cut := len(rest) == 0 && len(head) > peek/2 // a line longer than the head
	return cut || json.Valid(first)
}

// mails are the extensions of mail, which looks like text and whose words and
// attachments are encoded.
var mails = []string{".eml", ".mbox", ".msg"}

// oldOffice is how documents of Office 97 begin, and encrypted ones of today.
const oldOffice = "\xd0\xcf\x11\xe0"

// magic is how a kind of file begins that holds no plain text.
type magic struct{ prefix, what, fix string }

func magicOf(head []byte) *magic {
	if len(head) > 262 && string(head[257:262]) == "ustar" {
		return &magic{"", "a tar archive", "unpack it, or pack it as a zip archive"}
	}
	for _, m := range []magic{
		{"%PDF-", "a PDF file", "leave --format out"},
		{"PK\x03\x04", "a zip archive or an office document", "leave --format out"},
		{oldOffice, "an old office document, or an encrypted one", "save it as DOCX, XLSX or PDF, without a password"},
		{"{\\rtf", "an RTF document", "save it as text"},
		{"\x1f\x8b", "compressed", "unpack it: gunzip FILE.gz"},
		{"\x28\xb5\x2f\xfd", "compressed", "unpack it: zstd -d FILE.zst"},
		{"PAR1", "a Parquet file", "leave --format out"},
		{"\x89PNG", "an image", "leave --format out"},
		{"\xff\xd8\xff", "an image", "leave --format out"},
		{"GIF89a", "an image", "leave --format out"},
		{"\x7fELF", "a program", "leave it out"},
	} {
		if bytes.HasPrefix(head, []byte(m.prefix)) {
			return &m
		}
	}
	return nil
}
