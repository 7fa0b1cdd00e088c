package main

import (
	"encoding/json"
	"io"
	"time"
)

// jsonLine is one line of the table for programs.
type jsonLine struct {
	Section string             `json:"section"`
	What    string             `json:"what"`
	Figure  string             `json:"figure"`
	Jobs    int                `json:"jobs,omitzero"`
	Rate    float64            `json:"per_second,omitzero"`
	CPU     map[string]float64 `json:"cpu_us_a_job,omitempty"` // by process
	Ratio   string             `json:"ratio,omitzero"`
}

// writeJSON prints everything that was measured.
func (t *table) writeJSON(out io.Writer, on machine, verdicts []verdict) error {
	var lines []jsonLine
	section := ""
	for _, r := range t.rows {
		if r.figure == "" {
			section = r.what
			continue
		}
		l := jsonLine{Section: section, What: r.what, Figure: r.figure, Jobs: r.stage.Jobs, Rate: r.stage.rate(), Ratio: r.ratio}
		for name, used := range r.stage.CPU {
			if l.CPU == nil {
				l.CPU = map[string]float64{}
			}
			l.CPU[name] = r.stage.each(used)
		}
		lines = append(lines, l)
	}
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		Machine machine    `json:"machine"`
		Lines   []jsonLine `json:"lines"`
		Aims    []verdict  `json:"aims"`
	}{on, lines, verdicts})
}

// machine is what was measured on, and what else it was doing.
type machine struct {
	Began    time.Time         `json:"began"`
	Took     time.Duration     `json:"took_ns"`
	Cores    int               `json:"cores"`
	System   string            `json:"system"`
	Load     [2]float64        `json:"load"` // average of a minute, at the beginning and the end
	Versions map[string]string `json:"versions"`
}
