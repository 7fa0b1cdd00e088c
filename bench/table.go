package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// row is one line of the table.
type row struct {
	what   string // was measured
	figure string
	stage  stage  // whose CPU is shown; may be zero
	ratio  string // and of what
}

// table is all lines, under the headings of their sections.
type table struct {
	rows    []row
	figures map[string]float64 // by aim, see reached
}

func (t *table) heading(text string) { t.rows = append(t.rows, row{what: text}) }
func (t *table) add(r row)           { t.rows = append(t.rows, r) }

func (t *table) write(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line(w, "MEASURED", "FIGURE", "CPU A JOB", "RATIO")
	for _, r := range t.rows {
		if r.figure == "" {
			_ = w.Flush() // each section has its own widths
			line(w, "", "")
			line(w, strings.ToUpper(r.what))
			continue
		}
		line(w, "  "+r.what, r.figure, r.stage.cpu(), r.ratio)
	}
	return w.Flush()
}

func line(w io.Writer, cells ...string) {
	_, _ = fmt.Fprintln(w, strings.TrimRight(strings.Join(cells, "\t"), "\t"))
}

// number prints a number with commas: 12,345.
func number(n float64) string {
	s := strconv.FormatFloat(n, 'f', 0, 64)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func perSecond(s stage, what string) string { return number(s.rate()) + " " + what + "/s" }

func mebibytes(n uint64) string { return strconv.FormatFloat(float64(n)/(1<<20), 'f', 0, 64) + " MiB" }

// processes is the order in which they are named.
var processes = []string{"worker", "nats", "redis", "postgres", "model"}

// cpu prints what a job takes: 141 µs (worker 80, nats 50, redis 11).
func (s stage) cpu() string {
	if len(s.CPU) == 0 || s.Jobs == 0 {
		return ""
	}
	var parts []string
	for _, p := range processes {
		if used, ok := s.CPU[p]; ok {
			parts = append(parts, fmt.Sprintf("%s %.0f", p, s.each(used)))
		}
	}
	text := fmt.Sprintf("%.0f µs", s.cpuEach())
	if len(parts) > 1 {
		text += " (" + strings.Join(parts, ", ") + ")"
	}
	return text
}

// cpuEach is the CPU that a job takes over all processes, in microseconds.
func (s stage) cpuEach() float64 {
	var sum time.Duration
	for _, used := range s.CPU {
		sum += used
	}
	return s.each(sum)
}

func (s stage) each(d time.Duration) float64 {
	return float64(d) / float64(time.Microsecond) / float64(s.Jobs)
}

// share prints a ratio, and nothing if there is nothing to compare with.
func share(a, b float64, of string) string {
	if !(a > 0 && b > 0) { // not measured
		return ""
	}
	return fmt.Sprintf("%.2f of %s", a/b, of)
}
