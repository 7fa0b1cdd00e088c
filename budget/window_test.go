package budget

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/drover-batch/drover/internal/lua"
	"github.com/drover-batch/drover/jobs"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	loc, err := time.LoadLocation(name)
	if err != nil {
		t.Skipf("no time zone data: %v", err)
	}
	return loc
}

func TestWindowsEndAtMidnightOfTheirPlace(t *testing.T) {
	t.Parallel()
	rows := []struct {
		what            string
		window          Window
		place, at, name string
		start, end      string
	}{
		{"a plain day", Day, "UTC", "2025-11-23T12:00:00Z", "2025-11-23", "2025-11-23T00:00:00Z", "2025-11-24T00:00:00Z"},
		{"elsewhere it is tomorrow", Day, "Asia/Tokyo", "2025-11-23T15:00:00Z", "2025-11-24", "2025-11-23T15:00:00Z", "2025-11-24T15:00:00Z"},
		{"spring, 23 hours", Day, "Europe/Berlin", "2025-03-30T10:00:00Z", "2025-03-30", "2025-03-29T23:00:00Z", "2025-03-30T22:00:00Z"},
		{"autumn, 25 hours", Day, "Europe/Berlin", "2025-10-26T10:00:00Z", "2025-10-26", "2025-10-25T22:00:00Z", "2025-10-26T23:00:00Z"},
		{"midnight skipped, before", Day, "America/Sao_Paulo", "2018-11-04T02:59:59Z", "2018-11-03", "2018-11-03T03:00:00Z", "2018-11-04T03:00:00Z"},
		{"midnight skipped, after", Day, "America/Sao_Paulo", "2018-11-04T03:00:00Z", "2018-11-04", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"},
		{"midnight repeated, first", Day, "America/Havana", "2024-11-03T04:30:00Z", "2024-11-03", "2024-11-03T04:00:00Z", "2024-11-04T05:00:00Z"},
		{"midnight repeated, again", Day, "America/Havana", "2024-11-03T05:30:00Z", "2024-11-03", "2024-11-03T04:00:00Z", "2024-11-04T05:00:00Z"},
		{"back across midnight", Day, "America/St_Johns", "2010-11-07T02:45:00Z", "2010-11-07", "2010-11-07T02:30:00Z", "2010-11-08T03:30:00Z"},
		{"last instant of a month", Month, "UTC", "2025-02-28T23:59:59.999999Z", "2025-02", "2025-02-01T00:00:00Z", "2025-03-01T00:00:00Z"},
		{"a leap day", Month, "UTC", "2024-02-29T00:00:00Z", "2024-02", "2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z"},
		{"the 31st", Month, "UTC", "2025-12-31T10:00:00Z", "2025-12", "2025-12-01T00:00:00Z", "2026-01-01T00:00:00Z"},
		{"a month with a change of clocks", Month, "America/New_York", "2025-03-20T00:00:00Z", "2025-03", "2025-03-01T05:00:00Z", "2025-04-01T04:00:00Z"},
		{"Sunday is the last of its week", Week, "UTC", "2025-11-23T23:59:59Z", "2025-W47", "2025-11-17T00:00:00Z", "2025-11-24T00:00:00Z"},
		{"Monday is the first", Week, "UTC", "2025-11-24T00:00:00Z", "2025-W48", "2025-11-24T00:00:00Z", "2025-12-01T00:00:00Z"},
		{"a week of next year", Week, "UTC", "2025-12-30T00:00:00Z", "2026-W01", "2025-12-29T00:00:00Z", "2026-01-05T00:00:00Z"},
	}
	for _, row := range rows {
		at, err := time.Parse(time.RFC3339, row.at)
		if err != nil {
			t.Fatal(err)
		}
		s := row.window.span(at, zone(t, row.place))
		start, end := s.start.UTC().Format(time.RFC3339), s.end.UTC().Format(time.RFC3339)
		if s.name != row.name || start != row.start || end != row.end {
			t.Errorf("%s: got %s from %s to %s, want %s from %s to %s", row.what, s.name, start, end, row.name, row.start, row.end)
		}
	}
}

func TestWindowsFollowOneAnotherWithoutGap(t *testing.T) {
	t.Parallel()
	places := []string{
		"UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "America/Havana", "America/St_Johns",
		"Asia/Beirut", "Asia/Gaza", "Africa/Cairo", "Pacific/Apia", "Atlantic/Azores", "Australia/Lord_Howe",
	}
	rapid.Check(t, func(t *rapid.T) {
		w := rapid.SampledFrom([]Window{Day, Week, Month}).Draw(t, "window")
		place := rapid.SampledFrom(places).Draw(t, "place")
		at := time.Unix(rapid.Int64Range(0, 2_000_000_000).Draw(t, "at"), 0)
		loc, err := time.LoadLocation(place)
		if err != nil {
			t.Skip(err)
		}
		s := w.span(at, loc)
		if !s.holds(at) {
			t.Fatalf("%v is not in its own window from %v to %v", at, s.start, s.end)
		}
		for _, inside := range []time.Time{s.start, s.end.Add(-time.Second)} {
			if got := w.span(inside, loc); *got != *s {
				t.Fatalf("%v is in %+v, but %v in %+v", at, s, inside, got)
			}
		}
		if next := w.span(s.end, loc); !next.start.Equal(s.end) || next.name <= s.name {
			t.Fatalf("%+v is followed by %+v", s, next)
		}
	})
}

func TestMonthRollsOverToTheSecond(t *testing.T) {
	t.Parallel()
	s := onMini(t, Config{Budgets: []Budget{{Tenant: "acme", Window: Month, Location: zone(t, "Europe/Berlin"), Limit: 100}}})
	end, next := time.Date(2025, 11, 30, 23, 0, 0, 0, time.UTC), time.Date(2025, 12, 31, 23, 0, 0, 0, time.UTC)

	s.clock(end.Add(-10 * time.Second))
	running := call("running", "b", small, 60)
	s.enters(t, running)
	if r := s.enters(t, call("early", "b", small, 41)); r.Wait != 500*time.Millisecond {
		t.Errorf("while something is held: %+v", r)
	}
	spent := call("spent", "b", small, 40)
	s.enters(t, spent)
	s.leaves(t, spent, jobs.Billed, 40)
	if r := s.enters(t, call("late", "b", small, 61)); r.Wait != 10*time.Second || r.Final {
		t.Errorf("until the end of the window: %+v", r)
	}

	behind := s.enter(call("behind", "b", small, 1), "", s.now())
	s.clock(end)
	if r := s.run(t, enterOp("behind", behind)); !strings.Contains(r.Why, "clock of this worker is behind") || r.Final {
		t.Errorf("a worker whose clock is behind: %+v", r)
	}
	if r := s.enters(t, call("new", "b", small, 100)); r.Refused {
		t.Errorf("in the new month: %+v", r)
	}
	s.leaves(t, running, jobs.Billed, 50)

	sums, err := s.Sums(t.Context(), s.rdb, "budget:acme-month")
	if err != nil {
		t.Fatal(err)
	}
	byTurn := map[string]Sum{}
	for _, sum := range sums {
		byTurn[sum.Turn] = sum
	}
	if got := byTurn["2025-11"]; got.Window != Month || got.Spent != 90 || got.Held != 0 || !got.End.Equal(end) {
		t.Errorf("November: %+v", got)
	}
	if got := byTurn["2025-12"]; got.Spent != 0 || got.Held != 100 || !got.Start.Equal(end) {
		t.Errorf("December: %+v", got)
	}

	ahead := s.enter(call("ahead", "b", small, 1), "", next)
	s.clock(next.Add(-3 * time.Second))
	if r := s.run(t, enterOp("ahead", ahead)); !r.Refused || r.Wait != 3*time.Second {
		t.Errorf("a worker whose clock is ahead: %+v", r)
	}
}

func TestSpentWindowIsFinalIfTheBudgetBuries(t *testing.T) {
	t.Parallel()
	s := onMini(t, Config{Budgets: []Budget{{Window: Day, Limit: 10, WhenSpent: jobs.BuryWhenSpent}}})
	c := call("a", "b", small, 10)
	s.enters(t, c)
	s.leaves(t, c, jobs.Billed, 10)
	if r := s.enters(t, call("b", "b", small, 1)); !r.Final {
		t.Errorf("got %+v", r)
	}
}

func TestSpentWindowIsWaitedForIfTheBudgetPauses(t *testing.T) {
	t.Parallel()
	for _, spent := range []jobs.Spent{"", jobs.PauseWhenSpent} {
		s := onMini(t, Config{Budgets: []Budget{{Window: Day, Limit: 10, WhenSpent: spent}}})
		s.spend(t, call("a", "b", small, 10))
		if r := s.enters(t, call("b", "b", small, 1)); !r.Refused || r.Final || r.Wait <= 0 || r.Tag != "" {
			t.Errorf("%q: got %+v", spent, r)
		}
	}
}

func TestLostCallIsOfTheDayInWhichItBegan(t *testing.T) {
	t.Parallel()
	s := onMini(t, Config{Budgets: []Budget{{Tenant: "acme", Window: Day, Limit: 100}}})
	began := time.Date(2025, 11, 23, 23, 59, 0, 0, time.UTC)
	s.clock(began)
	c := call("over midnight", "b", small, 10)
	s.enters(t, c)
	s.flushes(t)
	s.rebuilds(t, bookOf())
	s.clock(began.Add(2 * time.Minute))
	s.run(t, lua.Op{Kind: lua.Leave, Call: c.ID, Steps: []lua.Step{s.Leave(c, &jobs.Attempt{Call: c.ID, Started: began, Billing: jobs.Billed, Cost: 7})}})
	sums, err := s.Sums(t.Context(), s.rdb, "budget:acme-day")
	if err != nil {
		t.Fatal(err)
	}
	for _, sum := range sums {
		if want := map[bool]jobs.USD{true: 7}[sum.Turn == "2025-11-23"]; sum.Spent != want {
			t.Errorf("%s: spent %v, want %v", sum.Turn, sum.Spent, want)
		}
	}
}
