package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// snapshot is what is known of a batch at one moment.
type snapshot struct {
	done, total   int64
	partial, dead int64
	growing       bool // documents are still being read: total is not final
	cost          jobs.USD
}

// pace estimates the rate of completion: an average over about the last ten
// seconds, so that it follows a limit that changes and ignores a hiccup. At first
// it is the average since anything was done: a batch begins slowly.
type pace struct {
	began time.Time
	at    time.Time
	done  int64
	rate  float64 // per second; 0 while unknown
}

const paceWindow = 10 * time.Second

func (p *pace) update(done int64, now time.Time) {
	if p.at.IsZero() || p.rate == 0 && done == p.done {
		p.began, p.at, p.done = now, now, done
		return
	}
	passed := now.Sub(p.at)
	if passed < 200*time.Millisecond {
		return
	}
	current := max(0, float64(done-p.done)/passed.Seconds())
	weight := min(1, float64(passed)/float64(min(paceWindow, now.Sub(p.began))))
	p.rate += weight * (current - p.rate)
	p.at, p.done = now, done
}

// text is what stands behind the bar, in parts of which the last may be left
// out: 31/46, 4.2/s, ETA 4s, $0.0300 of about $0.0445. If free is set, nobody
// knows what it costs.
func (p *pace) text(s snapshot, free bool) []string {
	parts := []string{fmt.Sprintf("%d/%d", s.done, s.total)}
	if s.growing {
		parts[0] += "+"
	}
	if p.rate >= 0.05 && s.done < s.total {
		left := float64(s.total-s.done) / p.rate
		parts = append(parts, fmt.Sprintf("%.1f/s", p.rate), "ETA "+short(time.Duration(left*float64(time.Second))))
	}
	if cost := s.cost.Short(); !free {
		if s.done > 0 && s.done < s.total && s.cost > 0 {
			cost += " of about " + jobs.USD(float64(s.cost)/float64(s.done)*float64(s.total)).Short()
		}
		parts = append(parts, cost)
	}
	if s.dead > 0 {
		parts = append(parts, fmt.Sprintf("%d dead", s.dead))
	}
	if s.partial > 0 {
		parts = append(parts, fmt.Sprintf("%d partial", s.partial))
	}
	return parts
}

// fit joins as many of the parts as have room.
func fit(parts []string, width int) string {
	for n := len(parts); n > 1; n-- {
		if text := strings.Join(parts[:n], "  "); len(text) <= width {
			return text
		}
	}
	return parts[0]
}

// short shows a duration with as little precision as a person needs.
func short(d time.Duration) string {
	switch {
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		return d.Round(time.Second).String()
	case d < 100*time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return fmt.Sprintf("%dd", int(d.Hours()/24))
}
