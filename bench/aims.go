package main

import (
	"io"
	"slices"
	"strconv"
	"text/tabwriter"
)

// aim is a figure that the project set itself.
type aim struct {
	name   string
	wanted float64
	most   bool // at the most rather than at least
	unit   string
}

// The aims by name, as sections report them.
const (
	aimRate        = "256 in flight, fsynced, model over HTTP"
	aimPeers       = "256 in flight, fsynced: rate against the best peer"
	aimPeersCPU    = "256 in flight, fsynced: CPU a job against that peer"
	aimLoose       = "256 in flight, not fsynced: rate against the best peer"
	aimLooseCPU    = "256 in flight, not fsynced: CPU a job against that peer"
	aimGuards      = "guards, 64 in flight, fsynced: CPU a job"
	aimCalls       = "Redis calls a job, 64 and 256 in flight"
	aimStubbed     = "model stubbed out, 256 in flight, fsynced: share of the bare loop"
	aimStubbedFree = "model stubbed out, 256 in flight, not fsynced: share of the bare loop"
	aimBusy500     = "slots busy, 500 calls of 0.2 to 2 s"
	aimBusy2000    = "slots busy, 2,000 calls of 0.2 to 2 s"
	aimBusy5000    = "slots busy, 5,000 calls of 0.2 to 2 s"
	aimMemory      = "resident memory of a call over TLS and HTTP/2"
	aimGap         = "longest gap between completions while work is pending"
	aimEnqueue     = "enqueueing JSONL lines, fsynced"
	aimMillion     = "enqueueing a million lines, fsynced"
)

// aims in the order in which they are shown.
var aims = []aim{
	{aimPeers, 2.5, false, "times"},
	{aimPeersCPU, 0.45, true, "times"},
	{aimLoose, 2.5, false, "times"},
	{aimLooseCPU, 0.45, true, "times"},
	{aimRate, 7000, false, "jobs/s"},
	{aimGuards, 12, true, "µs"},
	{aimCalls, 0.1, true, "calls"},
	{aimStubbed, 70, false, "%"},
	{aimStubbedFree, 70, false, "%"},
	{aimBusy500, 97, false, "%"},
	{aimBusy2000, 97, false, "%"},
	{aimBusy5000, 97, false, "%"},
	{aimMemory, 56, true, "KiB"},
	{aimGap, 2, true, "s"},
	{aimEnqueue, 25_000, false, "lines/s"},
	{aimMillion, 60, true, "s"},
}

// reached notes what was measured for an aim. Of several figures the worst
// counts; one that is not positive was not measured.
func (t *table) reached(name string, figure float64) {
	a := aims[slices.IndexFunc(aims, func(a aim) bool { return a.name == name })]
	if t.figures == nil {
		t.figures = map[string]float64{}
	}
	before, again := t.figures[name]
	if figure > 0 && (!again || a.most && figure > before || !a.most && figure < before) {
		t.figures[name] = figure
	}
}

// verdict is what became of an aim.
type verdict struct {
	Aim      string  `json:"aim"`
	Wanted   float64 `json:"wanted"`
	Most     bool    `json:"at_most"`
	Unit     string  `json:"unit"`
	Measured float64 `json:"measured,omitzero"`
	Ratio    float64 `json:"ratio,omitzero"` // measured ÷ wanted
	Met      bool    `json:"met"`
}

// verdicts are those of the aims that were measured, or all.
func (t *table) verdicts(all bool) (list []verdict) {
	for _, a := range aims {
		figure, measured := t.figures[a.name]
		if !measured && !all {
			continue
		}
		list = append(list, verdict{
			a.name, a.wanted, a.most, a.unit, figure, figure / a.wanted,
			measured && (figure == a.wanted || a.most == (figure < a.wanted)),
		})
	}
	return list
}

// cells are one line of the table of aims.
func (v verdict) cells() []string {
	bound, word := "at least ", "missed"
	if v.Most {
		bound = "at most "
	}
	wanted := bound + precise(v.Wanted) + " " + v.Unit
	if v.Measured == 0 {
		return []string{v.Aim, wanted, "not measured", "–", "–"}
	}
	if v.Met {
		word = "met"
	}
	return []string{v.Aim, wanted, precise(v.Measured) + " " + v.Unit, strconv.FormatFloat(v.Ratio, 'f', 2, 64), word}
}

func writeAims(out io.Writer, list []verdict) error {
	if len(list) == 0 {
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line(w, "")
	line(w, "AIM", "WANTED", "MEASURED", "RATIO", "")
	for _, v := range list {
		line(w, v.cells()...)
	}
	return w.Flush()
}

// precise prints a number with the digits that matter: 0.086, 2.5, 97.3, 7,012.
func precise(n float64) string {
	switch {
	case n >= 1000:
		return number(n)
	case n >= 100:
		return strconv.FormatFloat(n, 'f', 0, 64)
	}
	return strconv.FormatFloat(n, 'g', 3, 64)
}
