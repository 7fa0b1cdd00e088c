package main

import (
	"math"
	"testing"
)

func TestGrowthIsTold(t *testing.T) {
	t.Parallel()
	measures := map[string]measure{
		"memory": {name: "memory", slack: 16},
		"keys":   {name: "keys", slack: 10, per: 0.1},
		"kept":   {name: "kept", slack: 10, ratio: true},
	}
	steady := func(i float64) map[string]float64 {
		return map[string]float64{"memory": 100 + math.Mod(i, 7), "keys": 50 + i, "kept": 300 * 100 * i}
	}
	for _, test := range []struct {
		grows string
		level func(i float64) map[string]float64
	}{
		{"", steady},
		{"memory", func(i float64) map[string]float64 { l := steady(i); l["memory"] += 4 * i; return l }},
		{"keys", func(i float64) map[string]float64 { l := steady(i); l["keys"] += 30 * i; return l }},
		{"kept", func(i float64) map[string]float64 { l := steady(i); l["kept"] *= i / 10; return l }},
	} {
		var samples []sample
		for i := 1.0; i <= 40; i++ {
			samples = append(samples, sample{outcomes: 100 * i, levels: test.level(i)})
		}
		all := grown(samples, measures)
		if len(all) != len(measures) {
			t.Errorf("told of %d measures", len(all))
		}
		for _, g := range all {
			if g.tooMuch() != (g.Name == test.grows) {
				t.Errorf("when %q grows: %v", test.grows, &g)
			}
		}
	}
}
