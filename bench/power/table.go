package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/drover-batch/drover/bench/process"
	"github.com/drover-batch/drover/jobs"
)

// kept reports whether nothing is to be objected to where every write was
// synced. Elsewhere losses are what is to be found out.
func kept(trials []*trial) bool {
	return !slices.ContainsFunc(trials, func(t *trial) bool { return t.How != unsynced && len(t.Objections) > 0 })
}

// write prints one column for each way, summed over its trials.
func write(out io.Writer, trials []*trial, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(trials)
	}
	w := tabwriter.NewWriter(out, 0, 0, 3, ' ', 0)
	for _, what := range []how{synced, unsynced, crammed} {
		of := slices.DeleteFunc(slices.Clone(trials), func(t *trial) bool { return t.How != what })
		if len(of) > 0 {
			report(w, what, of)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for i, t := range trials {
		for _, o := range t.Objections[:min(len(t.Objections), 3)] {
			_, _ = fmt.Fprintf(out, "\ntrial %d, %s: %s", i+1, t.How, o)
		}
		if more := len(t.Objections) - 3; more > 0 {
			_, _ = fmt.Fprintf(out, "\ntrial %d, %s: and %d more", i+1, t.How, more)
		}
		if t.How != unsynced {
			for _, s := range t.Stories {
				_, _ = fmt.Fprintf(out, "\n\n%s", s)
			}
		}
	}
	_, err := fmt.Fprintln(out)
	return err
}

func report(w io.Writer, what how, of []*trial) {
	line := func(name string, value any, more ...string) {
		_, _ = fmt.Fprintf(w, "%s\t%v\t%s\n", name, value, strings.Join(more, ", "))
	}
	total := func(f func(*trial) int) (n int) {
		for _, t := range of {
			n += f(t)
		}
		return n
	}
	extra := map[string]int{}
	var forgotten jobs.USD
	var recovery time.Duration
	for _, t := range of {
		for why, n := range t.Figures.Extra {
			extra[why] += n
		}
		for _, a := range t.Figures.Accounts {
			forgotten += max(0, a.Billed-a.Recorded)
		}
		recovery = max(recovery, t.Figures.Recovery)
	}
	_, _ = fmt.Fprintf(w, "\n%s\t%s\t\n", strings.ToUpper(string(what)), plural(len(of), "trial"))
	if what != crammed {
		line("jobs accepted before the cut", total(func(t *trial) int { return t.Accepted }))
		line("outcomes stored before the cut", total(func(t *trial) int { return t.Stored }))
		line("  of them gone after it", total(func(t *trial) int { return t.Gone }))
	} else {
		line("calls begun while it was full", total(func(t *trial) int { return t.Calls }), "in "+of[0].Held.Round(time.Second).String())
		line("NATS had to be started again", of[0].Restarted)
	}
	line("jobs accepted in the end", total(func(t *trial) int { return t.Figures.Accepted }))
	line("jobs lost", total(func(t *trial) int { return t.Figures.Lost }))
	line("double outcomes", total(func(t *trial) int { return t.Figures.Doubles }))
	line("calls paid for", total(func(t *trial) int { return t.Figures.Paid }))
	line("  more than once", process.Sum(extra), process.Counts(extra)...)
	line("  on no record", total(func(t *trial) int { return t.Figures.Unrecorded }))
	line("billed and forgotten by the sums", forgotten)
	line("longest until the last outcome", recovery.Round(100*time.Millisecond))
	line("objections", total(func(t *trial) int { return len(t.Objections) }))
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
