package dashboard

import "time"

const (
	trackOver  = 10 * time.Minute // how far back a track goes
	rateOver   = 10 * time.Second // what a rate is an average of, at the least
	trackLeast = 2 * time.Second  // less says nothing about a rate
)

// track is how a count has grown of late. A copy stays as it is while the
// original goes on.
type track struct {
	points []point // the oldest first
}

type point struct {
	at time.Time
	n  int64
}

// add notes the count and returns by how much it has grown since the last time.
func (t *track) add(at time.Time, n int64) int64 {
	grown := int64(0)
	if last := len(t.points); last > 0 {
		grown = max(0, n-t.points[last-1].n)
	}
	t.points = append(t.points, point{at, n})
	for len(t.points) > 2 && at.Sub(t.points[0].at) > trackOver {
		t.points = t.points[1:]
	}
	return grown
}

// rate is how much the count grew by in a second lately, 0 while nobody knows.
func (t track) rate() float64 {
	for i := len(t.points) - 2; i >= 0; i-- {
		if last := t.points[len(t.points)-1]; i == 0 || last.at.Sub(t.points[i].at) >= rateOver {
			return per(t.points[i], last)
		}
	}
	return 0
}

func per(from, to point) float64 {
	passed := to.at.Sub(from.at)
	if passed < trackLeast {
		return 0
	}
	return max(0, float64(to.n-from.n)/passed.Seconds())
}
