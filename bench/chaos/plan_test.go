package main

import (
	"fmt"
	"reflect"
	"testing"
	"time"
)

func aMinute(seed uint64) []step {
	return program{seed: seed, last: time.Minute, workers: 3, every: 0.5}.plan()
}

func TestSeedDecidesTheSchedule(t *testing.T) {
	t.Parallel()
	if a, b := aMinute(7), aMinute(7); !reflect.DeepEqual(a, b) {
		t.Error("the same seed gave two schedules")
	}
	if a, b := aMinute(7), aMinute(8); reflect.DeepEqual(a, b) {
		t.Error("two seeds gave one schedule")
	}
}

func TestScheduleEndsInTimeAndBreaksNothingTwice(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for seed := range uint64(50) {
		until := map[string]time.Duration{}
		for _, s := range aMinute(seed) {
			seen[s.what] = true
			if s.at+s.lasts > time.Minute {
				t.Errorf("seed %d: %v at %v is not over in time", seed, &s, s.at)
			}
			broken := []string{}
			for _, w := range s.workers {
				broken = append(broken, fmt.Sprint("w", w))
			}
			if s.what == "kill nats" || s.what == "keep nats away" {
				broken = append(broken, "nats")
			}
			for _, b := range broken {
				if s.at < until[b] {
					t.Errorf("seed %d: %v at %v, and %s is broken already", seed, &s, s.at, b)
				}
				until[b] = s.at + s.lasts
			}
		}
	}
	for _, what := range deck {
		if !seen[what] {
			t.Errorf("fifty schedules never %s", what)
		}
	}
}

func TestSparedWorkerIsNeitherKilledNorStopped(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		for _, s := range (program{seed: seed, last: time.Minute, workers: 3, spared: 1, every: 0.5}).plan() {
			for _, w := range s.workers {
				if w == 0 && s.what != "weather" && s.what != "freeze" {
					t.Errorf("seed %d: %v at %v", seed, &s, s.at)
				}
			}
		}
	}
}

func TestMinuteHasEnoughInIt(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		if n := len(aMinute(seed)); n < 12 {
			t.Errorf("seed %d does %d things in a minute", seed, n)
		}
	}
}
