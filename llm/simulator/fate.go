package simulator

import (
	"bytes"
	"hash/fnv"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// fate is what is going to happen to a call.
type fate struct {
	fault   Fault // "" is none
	latency time.Duration
}

// faults decides the fate of calls.
type faults struct {
	seed   uint64
	median time.Duration
	spread float64

	mu      sync.Mutex
	odds    []chance
	outages []Outage
	since   time.Time         // what the outages' times count from
	asked   map[string]uint32 // how often each prompt was
}

// chance is one fault's share of what happens by chance.
type chance struct {
	fault Fault
	upTo  float64
}

func newFaults(cfg *Config) *faults {
	f := &faults{seed: cfg.Seed, median: cfg.Latency, spread: cfg.Spread, asked: make(map[string]uint32)}
	f.set(cfg.Odds, cfg.Outages)
	return f
}

func (f *faults) set(odds Odds, outages []Outage) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.odds, f.outages, f.since = nil, slices.Clone(outages), time.Now()
	names := make([]Fault, 0, len(odds))
	for fault := range odds {
		names = append(names, fault)
	}
	slices.Sort(names)
	sum := 0.0
	for _, fault := range names {
		sum += odds[fault]
		f.odds = append(f.odds, chance{fault, sum})
	}
}

// SetFaults replaces what goes wrong by chance and by schedule, from now on.
func (s *Server) SetFaults(odds Odds, outages []Outage) error {
	script := Config{Odds: odds, Outages: slices.Clone(outages)}
	if err := script.validate(); err != nil {
		return err
	}
	s.faults.set(script.Odds, script.Outages)
	return nil
}

// fate prefers what the document asks for, then the schedule, then chance.
func (f *faults) fate(q *question, prompt string, body []byte, now time.Time) fate {
	model := q.model
	marked, times, isMarked := marker(body, model)
	f.mu.Lock()
	defer f.mu.Unlock()
	if !isMarked && len(f.odds) == 0 && len(f.outages) == 0 && f.spread == 0 {
		return fate{latency: f.median}
	}
	nth := f.nth(model + "\x00" + prompt)
	r := f.random(model, prompt, nth)
	latency := f.median
	if f.spread > 0 {
		latency = time.Duration(float64(latency) * math.Exp(f.spread*r.NormFloat64()))
	}
	if isMarked && (times == 0 || nth+uint32(q.turns) <= times) {
		return fate{marked, latency}
	}
	for i := range f.outages {
		if o := &f.outages[i]; o.covers(model, now.Sub(f.since)) {
			return fate{o.Fault, latency}
		}
	}
	roll := r.Float64()
	for _, c := range f.odds {
		if roll < c.upTo {
			return fate{c.fault, latency}
		}
	}
	return fate{latency: latency}
}

func (o *Outage) covers(model string, at time.Duration) bool {
	return (o.Model == "" || o.Model == model) && at >= o.From && (o.For == 0 || at < o.From+o.For)
}

// mostPrompts bounds the memory for how often each prompt was asked.
const mostPrompts = 1 << 20

func (f *faults) nth(prompt string) uint32 {
	if len(f.asked) >= mostPrompts {
		clear(f.asked)
	}
	f.asked[prompt]++
	return f.asked[prompt]
}

// random depends on the seed, the request and how often it was made, and not
// on what else arrives.
func (f *faults) random(model, prompt string, nth uint32) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(model + "\x00" + prompt))
	return rand.New(rand.NewPCG(f.seed, h.Sum64()+uint64(nth)))
}

// marker finds the first fault that a document asks of the model:
// [[simulate:500]], [[simulate:500*2]] for the first two times only (0 is
// always), [[simulate:500@small]] of the model small only.
func marker(body []byte, model string) (fault Fault, times uint32, ok bool) {
	for {
		_, rest, found := bytes.Cut(body, []byte("[[simulate:"))
		if !found || len(rest) == 0 {
			return "", 0, false
		}
		body = rest
		text, _, found := strings.Cut(string(rest[:min(len(rest), 100)]), "]]")
		if !found {
			continue
		}
		text, whose, some := strings.Cut(text, "@")
		name, count, _ := strings.Cut(text, "*")
		if fault = Fault(name); fault.validate() != nil || some && whose != model {
			continue
		}
		if n, err := strconv.ParseUint(count, 10, 32); err == nil {
			times = uint32(n)
		}
		return fault, times, true
	}
}
