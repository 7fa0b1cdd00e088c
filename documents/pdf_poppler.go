package documents

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// pdfToText has poppler's pdftotext read a file, and ends it when that takes
// too long or makes too much text.
func pdfToText(ctx context.Context, program, file string, most int) ([]string, error) {
	path, err := filepath.Abs(file) // never one that begins with a dash
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	cmd := exec.CommandContext(ctx, program, "-layout", "-enc", "UTF-8", "-eol", "unix", path, "-")
	cmd.WaitDelay = time.Second // for what it may have started itself
	pages := &capped{most: most, full: func() { cancel(errLarge) }}
	says := &capped{most: 4 << 10, full: func() {}}
	cmd.Stdout, cmd.Stderr = pages, says
	err = cmd.Run()
	switch {
	case errors.Is(context.Cause(ctx), errLarge):
		return nil, errLarge
	case err == nil:
		return strings.Split(strings.TrimSuffix(pages.text.String(), "\f"), "\f"), nil
	case strings.Contains(says.text.String(), "Incorrect password"):
		return nil, errEncrypted
	}
	last := strings.TrimSpace(says.text.String())
	last = last[strings.LastIndexByte(last, '\n')+1:]
	if last == "" {
		last = err.Error()
	}
	return nil, fmt.Errorf("pdftotext says %q", last)
}

// capped keeps the beginning of what is written to it, and says when that is
// not all.
type capped struct {
	text bytes.Buffer
	most int
	full func()
}

// Write implements io.Writer.
func (c *capped) Write(p []byte) (int, error) {
	if room := c.most - c.text.Len(); len(p) > room {
		c.full()
		c.text.Write(p[:max(0, room)])
		return len(p), nil
	}
	return c.text.Write(p)
}
