package dashboard

import (
	"fmt"
	"strings"
	"time"
)

// chartView is how a rate went over the last minutes, as the points of a line in
// a field of 600 by 100.
type chartView struct {
	Line string
	Top  string // the rate at the upper edge
	Over string // how far back it goes
}

const chartPoints = 120

// chart draws the rates of a track, or nothing while there is too little.
func chart(t track) *chartView {
	if len(t.points) < 3 {
		return nil
	}
	first, last := t.points[0].at, t.points[len(t.points)-1].at
	step := max(last.Sub(first)/chartPoints, trackLeast)
	type rate struct {
		at time.Time
		n  float64
	}
	var rates []rate
	top, from := 0.0, t.points[0]
	for _, p := range t.points[1:] {
		if p.at.Sub(from.at) < step {
			continue
		}
		n := per(from, p)
		rates, top, from = append(rates, rate{p.at, n}), max(top, n), p
	}
	if len(rates) < 2 || top == 0 {
		return nil
	}
	var line strings.Builder
	for _, r := range rates {
		x := 600 * float64(r.at.Sub(rates[0].at)) / float64(max(1, last.Sub(rates[0].at)))
		fmt.Fprintf(&line, "%.1f,%.1f ", x, 100-96*r.n/top)
	}
	return &chartView{Line: strings.TrimSpace(line.String()), Top: rateText(top), Over: short(last.Sub(first))}
}
