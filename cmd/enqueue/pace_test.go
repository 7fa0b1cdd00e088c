package main

import (
	"strings"
	"testing"
	"time"

	"github.com/drover-batch/drover/jobs"
)

func TestPaceFollowsARateThatChanges(t *testing.T) {
	t.Parallel()
	var p pace
	now, done := time.Now(), int64(0)
	run := func(rate int64, d time.Duration) {
		for range d / time.Second {
			now, done = now.Add(time.Second), done+rate
			p.update(done, now)
		}
	}
	p.update(0, now)
	run(10, 30*time.Second)
	if p.rate < 9.9 || p.rate > 10.1 {
		t.Errorf("steady at 10/s the rate is %.2f", p.rate)
	}
	run(0, time.Second)
	if p.rate < 8 {
		t.Errorf("a hiccup brings it down to %.2f", p.rate)
	}
	run(2, time.Minute)
	if p.rate > 2.2 {
		t.Errorf("a minute at 2/s leaves it at %.2f", p.rate)
	}
	run(-5, 10*time.Second) // a replay takes jobs back
	if p.rate < 0 {
		t.Errorf("the rate is %.2f", p.rate)
	}
}

// A batch of which a handful was done in its first moment was said to take four
// times as long as it did, for half a minute.
func TestSlowBeginningIsSoonForgotten(t *testing.T) {
	t.Parallel()
	var p pace
	now, done := time.Now(), int64(37_432)
	tick := func(n int64) {
		now, done = now.Add(lookEvery), done+n
		p.update(done, now)
	}
	for range 12 {
		tick(0) // nobody is at work yet
	}
	tick(5)
	for range 5 * int(time.Second/lookEvery) {
		tick(250)
	}
	if p.rate < 900 || p.rate > 1100 {
		t.Errorf("after five seconds at 1000/s the rate is %.0f", p.rate)
	}
}

func TestProgressTellsWhatIsKnown(t *testing.T) {
	t.Parallel()
	known := &pace{rate: 4.2}
	for _, tt := range []struct {
		name string
		pace *pace
		s    snapshot
		free bool
		want string
	}{
		{"at first", &pace{}, snapshot{total: 3, growing: true}, false, "0/3+  $0.00"},
		{"on the way", known, snapshot{done: 31, total: 46, cost: 30_000}, false, "31/46  4.2/s  ETA 3.6s  $0.0300 of about $0.0445"},
		{"standing still", &pace{rate: 0.01}, snapshot{done: 1, total: 2, cost: 3 * jobs.Dollar}, false, "1/2  $3.00 of about $6.00"},
		{"done", known, snapshot{done: 46, total: 46, cost: 45_000, dead: 2, partial: 1}, false, "46/46  $0.0450  2 dead  1 partial"},
		{"without a price", known, snapshot{done: 1, total: 2}, true, "1/2  4.2/s  ETA 0.2s"},
	} {
		if got := strings.Join(tt.pace.text(tt.s, tt.free), "  "); got != tt.want {
			t.Errorf("%s: %q, expected %q", tt.name, got, tt.want)
		}
	}
}

func TestNarrowTerminalsGetTheFirstParts(t *testing.T) {
	t.Parallel()
	parts := []string{"31/46", "4.2/s", "ETA 4s"}
	for width, want := range map[int]string{80: "31/46  4.2/s  ETA 4s", 20: "31/46  4.2/s  ETA 4s", 19: "31/46  4.2/s", 5: "31/46", 1: "31/46"} {
		if got := fit(parts, width); got != want {
			t.Errorf("in %d columns: %q", width, got)
		}
	}
}

func TestDurationsAreShort(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]string{
		340 * time.Millisecond:                  "0.3s",
		75*time.Second + time.Millisecond:       "1m15s",
		3*time.Hour + 20*time.Minute:            "3h20m",
		26 * 24 * time.Hour:                     "26d",
		59*time.Minute + 59500*time.Millisecond: "1h0m0s",
	} {
		if got := short(d); got != want {
			t.Errorf("%s is %q, expected %q", d, got, want)
		}
	}
}
