package main

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/drover-batch/drover/llm/simulator"
)

// scene is one fleet against one provider.
type scene struct {
	name     string
	replicas int
	limit    simulator.Limit // what the provider enforces

	requests, tokens int // what is configured; 0 is nothing

	churn  bool          // replicas join, leave and are killed
	others float64       // part of the limit that somebody else uses
	change int           // the limit of requests from the middle on; 0 is none
	outage time.Duration // of the provider, before the measuring begins
	longer time.Duration // until the measuring begins
	calls  time.Duration // how long one takes in the median, default half a second
}

// lasts is how long a call takes in the median.
func (s *scene) lasts() time.Duration { return cmp.Or(s.calls, latency) }

// comeAndGo is what a scene with churn is called.
const comeAndGo = "replicas come and go"

// burst is how much of a quota the provider lets through at once.
const burst = 2 * time.Second

func asked(perMinute int) scene {
	return scene{limit: simulator.Limit{RequestsPerMinute: perMinute, Burst: burst}, requests: perMinute}
}

func counted() scene {
	const perMinute = 200_000
	return scene{limit: simulator.Limit{TokensPerMinute: perMinute, Burst: burst}, tokens: perMinute}
}

// scenes are all there are for so many replicas. Those that are not about the
// number of replicas are played by four, or by as many as were asked for; so is
// the smallest quota, unless everything is to be played.
func scenes(replicas []int, churn, full bool) []scene {
	some := replicas[len(replicas)-1]
	if slices.Contains(replicas, 4) {
		some = 4
	}
	var all []scene
	add := func(name string, n int, s scene, change func(*scene)) {
		s.name, s.replicas = name, n
		if change != nil {
			change(&s)
		}
		all = append(all, s)
	}
	for _, n := range replicas {
		for _, s := range []struct {
			name string
			scene
		}{{"600 requests", asked(600)}, {"6000 requests", asked(6000)}, {"200000 tokens", counted()}} {
			if full || n == some || s.requests != 600 {
				add(s.name, n, s.scene, func(s *scene) { s.churn = churn })
			}
		}
	}
	if !churn {
		add("6000 requests, "+comeAndGo, some, asked(6000), func(s *scene) { s.churn = true })
		add("200000 tokens, "+comeAndGo, some, counted(), func(s *scene) { s.churn = true })
	}
	add("60 requests", some, asked(60), func(s *scene) { s.longer = 10 * time.Second })
	add("200000 tokens, calls of 15 s", some, counted(), func(s *scene) { s.calls, s.longer = 15*time.Second, 50*time.Second })
	add("configured 5 % too high", some, asked(1200), func(s *scene) { s.requests = 1260 })
	add("tokens estimated 5 % too low", some, counted(), func(s *scene) { s.limit.Counts = 1.05 })
	add("another user takes a fifth", some, asked(1200), func(s *scene) { s.others, s.longer = 0.2, 10*time.Second })
	add("no limit and no headers", some, asked(1200), func(s *scene) { s.requests, s.limit.Silent, s.longer = 0, true, 20*time.Second })
	add("tokens, no limit and no headers", some, counted(), func(s *scene) { s.tokens, s.limit.Silent, s.longer = 0, true, 20*time.Second })
	add("no limit and no headers, and it halves", some, asked(1200), func(s *scene) {
		s.requests, s.limit.Silent, s.change, s.longer = 0, true, 600, 30*time.Second
	})
	add("after an outage", some, asked(1200), func(s *scene) { s.outage, s.longer = 10*time.Second, 20*time.Second })
	return all
}

// named are the scenes whose names contain one of the words.
func named(all []scene, words []string) []scene {
	return slices.DeleteFunc(all, func(s scene) bool {
		return !slices.ContainsFunc(words, func(w string) bool { return strings.Contains(s.name, w) })
	})
}

// perSecond is about how many calls a second the quota allows.
func (s *scene) perSecond() float64 {
	if s.limit.TokensPerMinute > 0 {
		return float64(s.limit.TokensPerMinute) / typical / 60
	}
	return float64(s.limit.RequestsPerMinute) / 60
}
