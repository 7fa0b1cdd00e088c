package budget

import (
	"fmt"
	"strings"
	"time"
)

// Window is how long a budget's sum runs before it starts again at nothing.
type Window string

// The windows of a budget. Weeks begin on Monday.
const (
	Forever Window = ""
	Day     Window = "day"
	Week    Window = "week"
	Month   Window = "month"
)

func (w Window) valid() bool { return w == Forever || w == Day || w == Week || w == Month }

// windowOf tells a window from the name of one of its turns.
func windowOf(turn string) Window {
	switch {
	case turn == "":
		return Forever
	case strings.Contains(turn, "W"):
		return Week
	case len(turn) == len(time.DateOnly):
		return Day
	}
	return Month
}

func (w Window) preposition() string {
	if w == Day {
		return "on"
	}
	return "in"
}

// span is one turn of a window: from start up to and without end.
type span struct {
	name       string // 2025-11-23, 2025-W47, 2025-11
	start, end time.Time
}

func (s *span) holds(t time.Time) bool { return !t.Before(s.start) && t.Before(s.end) }

// span returns the turn that t belongs to.
func (w Window) span(t time.Time, loc *time.Location) *span {
	local := t.In(loc)
	s := w.spanOf(local.Year(), local.Month(), local.Day(), loc)
	switch { // a clock set back across midnight
	case t.Before(s.start):
		return w.spanOf(local.Year(), local.Month(), local.Day()-1, loc)
	case !t.Before(s.end):
		return w.spanOf(local.Year(), local.Month(), local.Day()+1, loc)
	}
	return s
}

func (w Window) spanOf(y int, m time.Month, d int, loc *time.Location) *span {
	day := time.Date(y, m, d, 0, 0, 0, 0, time.UTC) // a date, in no zone
	var next time.Time
	var name string
	switch w {
	case Day:
		name, next = day.Format(time.DateOnly), day.AddDate(0, 0, 1)
	case Week:
		day = day.AddDate(0, 0, -(int(day.Weekday())+6)%7)
		year, week := day.ISOWeek()
		name, next = fmt.Sprintf("%d-W%02d", year, week), day.AddDate(0, 0, 7)
	default:
		day = day.AddDate(0, 0, 1-day.Day())
		name, next = day.Format("2006-01"), day.AddDate(0, 1, 0)
	}
	return &span{name, begin(day, loc), begin(next, loc)}
}

// begin returns the first instant of the date in the location, also where the
// clock skips or repeats midnight.
func begin(date time.Time, loc *time.Location) time.Time {
	y, m, d := date.Date()
	t := time.Date(y, m, d, 0, 0, 0, 0, loc)
	from, until := t.ZoneBounds()
	if t.Day() != d { // skipped, and rendered as an hour of the day before
		return until
	}
	if from.IsZero() {
		return t
	}
	_, now := t.Zone()
	_, was := from.Add(-1).Zone()
	if first := t.Add(time.Duration(now-was) * time.Second); first.Before(from) && first.Before(t) {
		return first
	}
	return t
}
