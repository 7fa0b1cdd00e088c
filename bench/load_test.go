package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestLoadIsWhatIsInFlight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := &loaded{
			Handler:  http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }),
			shortest: time.Second, longest: time.Second + 1,
		}
		ctx, stop := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { l.sample(ctx) })
		began := time.Now()
		time.Sleep(500 * time.Millisecond)
		var calls sync.WaitGroup
		for range 10 { // in flight from 0.5 to 1.5 s
			calls.Go(func() {
				w := httptest.NewRecorder()
				l.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/v1/chat/completions", nil))
				if w.Code != http.StatusTeapot {
					t.Errorf("answered with %d", w.Code)
				}
			})
		}
		calls.Wait()
		time.Sleep(500*time.Millisecond - 1)
		stop()
		all.Wait()
		at := func(seconds float64) time.Time { return began.Add(time.Duration(seconds * float64(time.Second))) }
		for _, test := range []struct{ from, to, want float64 }{{0, 0.45, 0}, {0.65, 1.45, 10}, {0.1, 1, 5.5}, {5, 6, 0}} {
			if got := inFlight(l.samples, at(test.from), at(test.to)); got < test.want-0.1 || got > test.want+0.1 {
				t.Errorf("from %v s to %v s: %.2f in flight, want %v", test.from, test.to, got, test.want)
			}
		}
	})
}

func TestLongestGapIsBetweenOutcomes(t *testing.T) {
	t.Parallel()
	var g gaps
	at := time.Now()
	for _, after := range []time.Duration{time.Hour, time.Second, 3 * time.Second, 2 * time.Second} { // the first is no gap
		at = at.Add(after)
		g.note(at)
	}
	if g.longest != 3*time.Second {
		t.Errorf("the longest gap is %v", g.longest)
	}
}
