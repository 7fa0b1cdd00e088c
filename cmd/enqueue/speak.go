package main

import (
	"fmt"
	"io"

	"github.com/drover-batch/drover/documents"
	"github.com/drover-batch/drover/jobs"
)

// print writes v as one line of JSON to standard output.
func (c *cli) print(v any) error {
	_, err := c.out.Write(documents.JSON(v))
	return err
}

// say tells people something, on standard error.
func (c *cli) say(format string, args ...any) { tell(c.err, format, args...) }

func tell(w io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintln(w, documents.Terminal(fmt.Sprintf(format, args...)))
}

// plain makes text from outside safe to show as part of one line.
func plain(s string) string { return documents.Line(s) }

// clip shortens a text to about n characters.
func clip(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n]) + "…"
}

func dollars(u jobs.USD) float64 { return float64(u) / float64(jobs.Dollar) }
