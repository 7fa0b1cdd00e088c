package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// ledgerLine is an account as scripts read it. Amounts are in US dollars.
type ledgerLine struct {
	Name      string             `json:"name"`
	Of        string             `json:"of"` // budget or batch
	Window    string             `json:"window,omitempty"`
	Turn      string             `json:"turn,omitempty"`
	Start     time.Time          `json:"start,omitzero"`
	End       time.Time          `json:"end,omitzero"`
	Limit     *float64           `json:"limit_usd"` // null for none
	Set       bool               `json:"set,omitempty"`
	Spent     float64            `json:"spent_usd"`
	Held      float64            `json:"held_usd"`
	Presumed  float64            `json:"presumed_usd"`
	Ambiguous float64            `json:"ambiguous_usd"`
	Left      *float64           `json:"left_usd"` // null without a limit
	Alerted   float64            `json:"alerted,omitempty"`
	Models    map[string]float64 `json:"models_usd"`
	Batches   map[string]float64 `json:"batches_usd"`
}

func (a *account) line() ledgerLine {
	l := ledgerLine{
		Name: a.name, Of: "budget", Window: string(a.Window), Turn: a.Turn, Start: a.Start, End: a.End, Set: a.Set,
		Spent: dollars(a.Spent), Held: dollars(a.Held), Presumed: dollars(a.Presumed), Ambiguous: dollars(a.Ambiguous),
		Alerted: a.Alerted, Models: inDollars(a.Models), Batches: inDollars(a.Batches),
	}
	if a.batch != nil {
		l.Of = "batch"
	}
	if a.Limit > 0 {
		limit, left := dollars(a.Limit), dollars(a.Left())
		l.Limit, l.Left = &limit, &left
	}
	return l
}

func inDollars(m map[string]jobs.USD) map[string]float64 {
	out := make(map[string]float64, len(m))
	for name, u := range m {
		out[name] = dollars(u)
	}
	return out
}

func (c *cli) listAccounts(all []*account) error {
	if len(all) == 0 && !c.json {
		c.say("no budgets, and no batch that has spent anything: budgets: in drover.yaml, or --budget of a batch, sets a limit")
	}
	table := newTable(c.out)
	for i, a := range all {
		if c.json {
			if err := c.print(a.line()); err != nil {
				return err
			}
			continue
		}
		if i == 0 {
			table.row("NAME", "WINDOW", "TURN", "LIMIT", "SPENT", "HELD", "PRESUMED", "AMBIGUOUS", "LEFT")
		}
		table.row(a.name, cmp.Or(string(a.Window), "-"), cmp.Or(a.Turn, "-"), a.limit(), a.Spent, a.Held, a.Presumed, a.Ambiguous, a.left())
	}
	return table.flush()
}

func (a *account) limit() string {
	if a.Limit == 0 {
		return "none"
	}
	return a.Limit.String()
}

func (a *account) left() string {
	if a.Limit == 0 {
		return "-"
	}
	return a.Left().String()
}

// showAccount tells everything of an account, the newest turn last.
func (c *cli) showAccount(turns []*account) error {
	for i, a := range turns {
		if c.json {
			if err := c.print(a.line()); err != nil {
				return err
			}
			continue
		}
		if i > 0 {
			_, _ = fmt.Fprintln(c.out)
		}
		if err := a.write(c.out); err != nil {
			return err
		}
	}
	return nil
}

func (a *account) write(w io.Writer) error {
	table := newTable(w)
	row := func(name string, value any, note string) { table.row(name, fmt.Sprint(value)+note) }
	set, alerted := "", ""
	if a.Set {
		set = ", set while workers ran"
	}
	if a.Alerted > 0 {
		alerted = fmt.Sprintf(", %.4g %% or more: an alert was raised", a.Alerted*100)
	}
	row("name", a.Title, "")
	if !a.End.IsZero() {
		row("window", a.Window, fmt.Sprintf(", this turn from %s until %s UTC", a.Start.UTC().Format(time.DateTime), a.End.UTC().Format(time.DateTime)))
	}
	row("limit", a.limit(), set)
	row("spent", a.Spent, alerted)
	row("presumed", a.Presumed, " of that, of calls whose worker died")
	row("ambiguous", a.Ambiguous, " of that, of calls that may have been billed")
	row("held", a.Held, " by calls that are running, at most")
	row("left", a.left(), "")
	for _, part := range []struct {
		what string
		sums map[string]jobs.USD
	}{{"model", a.Models}, {"batch", a.Batches}} {
		for _, name := range slices.SortedFunc(maps.Keys(part.sums), func(x, y string) int {
			return cmp.Or(cmp.Compare(part.sums[y], part.sums[x]), cmp.Compare(x, y))
		}) {
			table.row(part.what, name, part.sums[name])
		}
	}
	return table.flush()
}
