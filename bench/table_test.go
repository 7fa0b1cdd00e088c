package main

import (
	"strings"
	"testing"
	"time"
)

func TestNumbersHaveCommas(t *testing.T) {
	t.Parallel()
	for n, want := range map[float64]string{0: "0", 7: "7", 999.4: "999", 1000: "1,000", 200_000: "200,000", 1_234_567.8: "1,234,568", -1000: "-1,000", -999: "-999"} {
		if got := number(n); got != want {
			t.Errorf("number(%v) = %q, want %q", n, got, want)
		}
	}
}

func TestStagesAreGivenPerJob(t *testing.T) {
	t.Parallel()
	s := stage{Jobs: 1000, Took: 2 * time.Second, CPU: map[string]time.Duration{
		"redis": 20 * time.Millisecond, "worker": 100 * time.Millisecond, "nats": 30 * time.Millisecond,
	}}
	if got, want := s.cpu(), "150 µs (worker 100, nats 30, redis 20)"; got != want {
		t.Errorf("cpu %q, want %q", got, want)
	}
	if got, want := perSecond(s, "jobs"), "500 jobs/s"; got != want {
		t.Errorf("rate %q, want %q", got, want)
	}
	if got := (stage{}).cpu(); got != "" {
		t.Errorf("cpu of nothing %q, want nothing", got)
	}
}

func TestNothingIsComparedWithNothing(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		a, b float64
		want string
	}{{3, 4, "0.75 of it"}, {3, 0, ""}, {0, 4, ""}, {3, (stage{}).rate(), ""}} {
		if got := share(test.a, test.b, "it"); got != test.want {
			t.Errorf("share(%v, %v) = %q, want %q", test.a, test.b, got, test.want)
		}
	}
}

func TestTableHasItsSectionsApart(t *testing.T) {
	t.Parallel()
	var all table
	all.heading("first")
	all.add(row{"a line", "1 job/s", stage{Jobs: 1, CPU: map[string]time.Duration{"worker": 2 * time.Microsecond}}, "0.50 of it"})
	all.heading("second")
	all.add(row{what: "a much longer line", figure: "10 jobs/s"})
	var out strings.Builder
	if err := all.write(&out); err != nil {
		t.Fatal(err)
	}
	want := `MEASURED  FIGURE  CPU A JOB  RATIO

FIRST
  a line  1 job/s  2 µs  0.50 of it

SECOND
  a much longer line  10 jobs/s
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestStatIsReadPastTheProgramsName(t *testing.T) {
	t.Parallel()
	text := "4242 (a (strange) name) S 17 4242 4242 0 -1 4194560 1571 0 0 0 250 50 40 10 20 0 9 0 12345 1000 300"
	want := stat{parent: 17, used: 3 * time.Second, reaped: 500 * time.Millisecond}
	if got, ok := parseStat([]byte(text)); !ok || got != want {
		t.Errorf("%+v, %v; want %+v", got, ok, want)
	}
	for _, broken := range []string{"", "4242 (name", "4242 (name) S 1 2", strings.Replace(text, " 250 ", " x ", 1), strings.Replace(text, " 17 ", " x ", 1)} {
		if got, ok := parseStat([]byte(broken)); ok {
			t.Errorf("%q reads as %+v", broken, got)
		}
	}
}
