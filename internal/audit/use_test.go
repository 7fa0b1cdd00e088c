package audit

import (
	"math"
	"net/http"
	"testing"
	"time"

	"github.com/drover-batch/drover/llm/simulator"
)

// every makes calls at even distances.
func every(d time.Duration, n int, who string, status int) (calls []Asked) {
	for i := range n {
		calls = append(calls, Asked{simulator.Entry{At: time.Unix(0, 0).Add(time.Duration(i) * d), Status: status, Input: 30, Output: 10}, who})
	}
	return calls
}

func TestMeterTellsUseAndFairness(t *testing.T) {
	t.Parallel()
	minute := time.Unix(60, 0)
	all := Presence{From: time.Unix(0, 0), To: time.Unix(3600, 0)}
	both := map[string]Presence{"a": all, "b": all}
	even := append(every(time.Second, 60, "a", http.StatusOK), every(time.Second, 60, "b", http.StatusOK)...)
	for _, tt := range []struct {
		name  string
		meter Meter
		want  Use
	}{
		{"all of it, evenly", Meter{Limit: simulator.Limit{RequestsPerMinute: 120}, Calls: even, There: both}, Use{1, 0, 1, 0}},
		{"one has all", Meter{Limit: simulator.Limit{RequestsPerMinute: 120}, Calls: every(time.Second, 60, "a", http.StatusOK), There: both}, Use{0.5, 0, 0.5, 0}},
		{"somebody else has half", Meter{
			Limit: simulator.Limit{RequestsPerMinute: 120}, There: map[string]Presence{"a": all},
			Calls: append(every(time.Second, 60, "a", http.StatusOK), every(time.Second, 60, Stranger, http.StatusOK)...),
		}, Use{1, 0, 1, 0}},
		{"half are refused", Meter{
			Limit: simulator.Limit{RequestsPerMinute: 60}, There: map[string]Presence{"a": all},
			Calls: append(every(time.Second, 60, "a", http.StatusOK), every(time.Second, 60, "a", http.StatusTooManyRequests)...),
		}, Use{1, 0.5, 1, 0}},
		{"tokens, of which more are counted", Meter{
			Limit: simulator.Limit{TokensPerMinute: 4800, Counts: 1.5}, There: both, Calls: even,
		}, Use{1.5, 0, 1, 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := tt.meter.Between(time.Unix(0, 0), minute)
			got.First = 0
			for _, pair := range [][2]float64{{got.Share, tt.want.Share}, {got.Limited, tt.want.Limited}, {got.Fairness, tt.want.Fairness}} {
				if math.Abs(pair[0]-pair[1]) > 1e-9 {
					t.Fatalf("got %+v, want %+v", got, tt.want)
				}
			}
		})
	}
}

func TestFirstMinuteIsTheWorstSoFar(t *testing.T) {
	t.Parallel()
	calls := append(every(500*time.Millisecond, 40, "a", http.StatusOK), Asked{simulator.Entry{At: time.Unix(59, 0), Status: http.StatusOK}, "a"})
	m := Meter{Limit: simulator.Limit{RequestsPerMinute: 60}, Calls: calls}
	if f := m.Between(time.Unix(0, 0), time.Unix(60, 0)).First; f < 2 || f > 2.2 {
		t.Errorf("twice the quota for twenty seconds is %v", f)
	}
	m.Since = time.Unix(19, 0)
	if f := m.Between(time.Unix(0, 0), time.Unix(60, 0)).First; f > 0.2 {
		t.Errorf("after that there are three calls, and it is %v", f)
	}
}
