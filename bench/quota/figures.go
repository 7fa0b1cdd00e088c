package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/drover-batch/drover/internal/audit"
)

// figures are what a scene comes to.
type figures struct {
	scene
	audit.Use
}

func write(out io.Writer, all []figures) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(cells ...string) { _, _ = fmt.Fprintln(w, strings.Join(cells, "\t")) }
	line("REPLICAS", "QUOTA A MINUTE", "USED", "429S", "JAIN", "FIRST MINUTE")
	for _, f := range all {
		line(fmt.Sprint(f.replicas), f.title(), fmt.Sprintf("%.1f %%", 100*f.Share), fmt.Sprintf("%.2f %%", 100*f.Limited),
			fmt.Sprintf("%.3f", f.Fairness), fmt.Sprintf("%.2f", f.First))
	}
	return w.Flush()
}

// title is what the scene is called, with whether replicas come and go.
func (f *figures) title() string {
	if f.churn && !strings.Contains(f.name, comeAndGo) {
		return f.name + ", " + comeAndGo
	}
	return f.name
}

// writeJSON writes one object a line. Parts are of 1, not of 100.
func writeJSON(out io.Writer, all []figures) error {
	lines := json.NewEncoder(out)
	for _, f := range all {
		err := lines.Encode(struct {
			Replicas    int     `json:"replicas"`
			Quota       string  `json:"quota"`
			Used        float64 `json:"used"`
			Limited     float64 `json:"limited"`
			Jain        float64 `json:"jain"`
			FirstMinute float64 `json:"first_minute"`
		}{f.replicas, f.title(), f.Share, f.Limited, f.Fairness, f.First})
		if err != nil {
			return err
		}
	}
	return nil
}
