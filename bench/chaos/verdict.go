package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/drover-batch/drover/bench/process"
	"github.com/drover-batch/drover/internal/audit"
	"github.com/drover-batch/drover/jobs"
)

// verdict is what is left of a run.
type verdict struct {
	Seed       uint64         `json:"seed"`
	For        time.Duration  `json:"for"`
	Command    string         `json:"command"` // that repeats it
	Faults     map[string]int `json:"faults"`  // how many of each kind
	Figures    audit.Figures  `json:"figures"`
	Growth     []growth       `json:"growth,omitempty"` // of a soak
	Objections []string       `json:"objections"`
	Stories    []string       `json:"stories,omitempty"`
}

// mostStories is how many jobs' stories are told at the most.
const mostStories = 5

// judge has the evidence examined, and adds what only the rig knows.
func (r *rig) judge(e *audit.Evidence, over error, grew []growth) *verdict {
	found := audit.Examine(e)
	v := &verdict{Seed: r.seed, For: r.last, Command: r.again(), Faults: map[string]int{}, Figures: found.Figures}
	for _, f := range e.Faults {
		v.Faults[string(f.Kind)]++
	}
	if over != nil {
		v.Objections = append(v.Objections, strings.Split(over.Error(), "\n")...)
	}
	v.Growth = grew
	for i := range grew {
		if grew[i].tooMuch() {
			v.Objections = append(v.Objections, grew[i].String())
		}
	}
	for _, w := range r.workers {
		v.Objections = append(v.Objections, w.objections()...)
	}
	told := map[audit.Job]bool{}
	for _, o := range found.Objections {
		v.Objections = append(v.Objections, o.String())
		if !told[o.Job] && len(told) < mostStories {
			told[o.Job] = true
			v.Stories = append(v.Stories, found.Story(o.Job))
		}
	}
	return v
}

// objections are ends of the process that nobody brought about. One that could
// not reach NATS or Redis when it started says so and is started again.
func (w *worker) objections() (list []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.crashes {
		if c != "exit status 1" {
			list = append(list, fmt.Sprintf("%s ended in its own way: %s", w.name, c))
		}
	}
	return list
}

func (v *verdict) write(out io.Writer, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(v)
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name string, value any, more ...string) {
		_, _ = fmt.Fprintf(w, "%s\t%v\t%s\n", name, value, strings.Join(more, ", "))
	}
	f := &v.Figures
	_, _ = fmt.Fprintln(w)
	line("faults", process.Sum(v.Faults), process.Counts(v.Faults)...)
	line("jobs accepted", f.Accepted)
	line("outcomes", f.Outcomes)
	line("lost", f.Lost)
	line("double outcomes", f.Doubles)
	line("calls paid for", f.Paid)
	line("  needed", f.Needed)
	line("  extra", process.Sum(f.Extra), process.Counts(f.Extra)...)
	line("  on no record", f.Unrecorded)
	line("from last fault to last outcome", f.Recovery.Round(time.Millisecond))
	_ = w.Flush()
	_, _ = fmt.Fprintf(w, "\nACCOUNT\tBILLED\tRECORDED\tLIMIT\tOVERSHOOT\n")
	for _, a := range f.Accounts {
		limit := "none"
		if a.Limit > 0 {
			limit = cents(a.Limit)
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", a.Name, cents(a.Billed), cents(a.Recorded), limit, cents(a.Overshoot))
	}
	_ = w.Flush()
	if len(v.Growth) > 0 {
		_, _ = fmt.Fprintf(w, "\nGROWTH\tSECOND QUARTER\tLAST\tALLOWED\n")
	}
	for _, g := range v.Growth {
		_, _ = fmt.Fprintf(w, "%s\t%.4g\t%.4g\t%.4g\n", g.Name, g.Second, g.Last, g.Allowed)
	}
	_ = w.Flush()
	for _, o := range v.Objections {
		_, _ = fmt.Fprintf(out, "\nOBJECTION: %s", o)
	}
	for _, s := range v.Stories {
		_, _ = fmt.Fprintf(out, "\n\n%s", s)
	}
	word := "Nothing to object to."
	if len(v.Objections) > 0 {
		word = fmt.Sprintf("%d objections.", len(v.Objections))
	}
	_, err := fmt.Fprintf(out, "\n%s Again: %s\n", word, v.Command)
	return err
}

func cents(u jobs.USD) string { return fmt.Sprintf("$%.4f", float64(u)/float64(jobs.Dollar)) }
