package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

// loadPath is where a loaded model tells what it was busy with.
const loadPath = "/bench/load"

// loaded is a model whose calls take between shortest and longest, evenly
// spread, and which knows how many are in flight.
type loaded struct {
	http.Handler
	shortest, longest time.Duration

	mu      sync.Mutex
	flying  int
	since   time.Time
	spent   time.Duration // by all calls together
	samples []moment
}

// moment is how much time calls have spent in the model by then.
type moment struct {
	At    time.Time
	Spent time.Duration
}

// ServeHTTP implements http.Handler.
func (l *loaded) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == loadPath {
		l.mu.Lock()
		defer l.mu.Unlock()
		_ = json.NewEncoder(w).Encode(l.samples)
		return
	}
	l.change(1)
	defer l.change(-1)
	t := time.NewTimer(l.shortest + rand.N(l.longest-l.shortest))
	defer t.Stop()
	select {
	case <-t.C:
		l.Handler.ServeHTTP(w, r)
	case <-r.Context().Done():
	}
}

func (l *loaded) change(by int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.spent += time.Duration(l.flying) * now.Sub(l.since)
	l.flying, l.since = l.flying+by, now
}

// sample takes note ten times a second.
func (l *loaded) sample(ctx context.Context) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			l.change(0)
			l.mu.Lock()
			l.samples = append(l.samples, moment{l.since, l.spent})
			l.mu.Unlock()
		case <-ctx.Done():
			return
		}
	}
}

// load asks the model what it was busy with so far.
func (t *task) load(ctx context.Context) (samples []moment, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(t.Model, "/v1")+loadPath, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("asking the model for its load: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	return samples, json.NewDecoder(res.Body).Decode(&samples)
}

// inFlight is how many calls were in flight on average between two times, 0 if
// nobody looked then.
func inFlight(samples []moment, from, to time.Time) float64 {
	var first, last moment
	for _, m := range samples {
		if m.At.Before(from) || m.At.After(to) {
			continue
		}
		if first.At.IsZero() {
			first = m
		}
		last = m
	}
	if !last.At.After(first.At) {
		return 0
	}
	return float64(last.Spent-first.Spent) / float64(last.At.Sub(first.At))
}
