package audit

import (
	"slices"
	"time"

	"github.com/drover-batch/drover/llm/simulator"
)

// checkQuotas: the calls that reached the provider never came faster than a
// quota allows, but for its burst. What was allowed and then held up by a
// frozen worker or a slow network arrives together, and a Redis that was
// flushed has forgotten what was used of the burst.
func (a *Audit) checkQuotas() {
	for _, q := range a.Quotas {
		perSecond := float64(q.Requests) / 60
		room := float64(q.Burst) + a.heldUp().Seconds()*perSecond
		level, last, flushes := 0.0, time.Time{}, a.flushes()
		for _, e := range a.arrivals(q.Models) {
			for len(flushes) > 0 && flushes[0].Before(e.At) {
				level, flushes = max(0, level-float64(q.Burst)), flushes[1:]
			}
			if !last.IsZero() {
				level = max(0, level-e.At.Sub(last).Seconds()*perSecond)
			}
			last = e.At
			if level++; level > room+1 {
				a.object(Job{}, "quota %s of %d requests a minute was exceeded at %s by call %s", q.Name, q.Requests, clock(e.At), e.ID)
				break
			}
		}
	}
}

func (a *Audit) arrivals(models []string) []simulator.Entry {
	var of []simulator.Entry
	for _, e := range a.Ledger {
		if slices.Contains(models, e.Model) {
			of = append(of, e)
		}
	}
	slices.SortFunc(of, func(x, y simulator.Entry) int { return x.At.Compare(y.At) })
	return of
}

func (a *Audit) heldUp() (longest time.Duration) {
	for _, f := range a.Faults {
		if f.Kind == Freeze || f.Kind == Network {
			longest = max(longest, f.To.Sub(f.From))
		}
	}
	return longest
}

func (a *Audit) flushes() (at []time.Time) {
	for _, f := range a.Faults {
		if f.Kind == Flush {
			at = append(at, f.From)
		}
	}
	slices.SortFunc(at, time.Time.Compare)
	return at
}
