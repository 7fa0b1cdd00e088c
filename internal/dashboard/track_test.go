package dashboard

import (
	"strings"
	"testing"
	"time"
)

// grown is a track that was looked at every two seconds.
func grown(counts ...int64) track {
	var t track
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for i, n := range counts {
		t.add(at.Add(time.Duration(i)*2*time.Second), n)
	}
	return t
}

func TestRateIsOfTheLastSeconds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		counts []int64
		want   float64
	}{
		{"nothing yet", []int64{7}, 0},
		{"a first pair", []int64{0, 10}, 5},
		{"long ago does not count", []int64{0, 1000, 2000, 2010, 2020, 2030, 2040, 2050}, 5},
		{"a replay takes nothing back", []int64{10, 4}, 0},
	} {
		if got := grown(c.counts...).rate(); got != c.want {
			t.Errorf("%s: %v a second, want %v", c.name, got, c.want)
		}
	}
}

func TestTrackForgetsWhatIsLongAgo(t *testing.T) {
	t.Parallel()
	counts := make([]int64, 2000)
	if n := len(grown(counts...).points); n > 302 {
		t.Errorf("%d points of ten minutes, two seconds apart", n)
	}
}

func TestChartIsDrawnOnceThereIsSomething(t *testing.T) {
	t.Parallel()
	if c := chart(grown(0, 0, 0, 0)); c != nil {
		t.Errorf("drawn of nothing: %+v", c)
	}
	c := chart(grown(0, 20, 60, 60))
	if c == nil || c.Top != "20.0/s" || c.Over != "6 s" || c.Line != "0.0,52.0 300.0,4.0 600.0,100.0" {
		t.Errorf("got %+v", c)
	}
	long := make([]int64, 300)
	for i := range long {
		long[i] = int64(i * i)
	}
	if n := strings.Count(chart(grown(long...)).Line, ","); n > chartPoints+1 {
		t.Errorf("%d points", n)
	}
}
