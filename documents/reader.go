package documents

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"

	"github.com/drover-batch/drover/jobs"
)

// Config is how documents are read. The zero value is a good choice.
type Config struct {
	// Format is what every PATH is read as: one of Formats. Default: each
	// file's name decides, else its first bytes.
	Format string

	// MaxBody is the most bytes a document may have. Default 32 MiB.
	MaxBody int

	// Isolate reads PDF files in a sandbox only. By default pdftotext reads
	// them, which is several times faster, if it is on the PATH.
	Isolate bool

	// Except are files and folders that are passed over without a word, wherever
	// they are found: what is written while documents are read, or was before.
	Except []string

	// Stdin is what the PATH "-" reads. Default os.Stdin.
	Stdin io.Reader
}

// Item is one document and the id its result will be found by.
type Item struct {
	CustomID string
	Document jobs.Document
}

// Reader reads documents. It holds no state between calls of Read and may be
// used by several goroutines, except for standard input.
type Reader struct {
	c Config
}

// NewReader makes a reader, or says what is wrong with the configuration.
func NewReader(c Config) (*Reader, error) {
	if c.MaxBody < 0 {
		return nil, errors.New("the most bytes of a document cannot be negative")
	}
	if c.MaxBody == 0 {
		c.MaxBody = 32 << 20
	}
	if c.Stdin == nil {
		c.Stdin = os.Stdin
	}
	if c.Format != "" && !slices.Contains(Formats(), c.Format) {
		return nil, fmt.Errorf("unknown format %q: use one of %s", c.Format, strings.Join(Formats(), ", "))
	}
	return &Reader{c}, nil
}

// Read yields every document that the paths name, or the problem with it. A
// path is a file, a folder (read recursively in the order of names, hidden
// files left out), a glob pattern, or "-" for standard input. The order is the
// same every time.
//
// It ends early when ctx is done; the caller asks ctx whether that is why.
func (r *Reader) Read(ctx context.Context, paths ...string) iter.Seq2[Item, *Problem] {
	return func(yield func(Item, *Problem) bool) {
		w := &walk{config: &r.c, ctx: ctx, yield: yield, ids: newRegister(), ahead: newAhead(ctx)}
		w.run(paths)
	}
}
