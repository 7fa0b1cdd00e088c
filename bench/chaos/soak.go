package main

import (
	"context"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/drover-batch/drover/bench/process"
)

// minute is how long one round of a soak is: a set of batches and of faults.
const minute = time.Minute

// sample is what was measured at one moment: levels by name, bytes and keys
// too, and how many outcomes there were by then.
type sample struct {
	outcomes float64
	levels   map[string]float64
}

// measure says how much of something may be added. Where per is 0, the last
// quarter may have a quarter more than the second, and slack. Otherwise it may
// have that much more for each outcome in between.
type measure struct {
	name  string
	slack float64
	per   float64
	ratio bool // it is divided by the number of outcomes first
	least bool // it comes and goes: the least of a quarter is compared, not its middle
}

// growth is what became of a measure.
type growth struct {
	Name    string  `json:"name"`
	Second  float64 `json:"second_quarter"`
	Last    float64 `json:"last_quarter"`
	Allowed float64 `json:"allowed"`
}

func (g *growth) tooMuch() bool { return g.Last > g.Allowed }

// What a worker that was never killed may take, in its own words, and what may
// be left in Redis and NATS for each outcome: what was presumed of workers that
// died is remembered for a day, and each batch has a few records of its own.
var (
	ofWorker = map[string]measure{
		"process_resident_memory_bytes": {name: "memory of w1, MiB", slack: 16},
		"go_goroutines":                 {name: "goroutines of w1", slack: 30},
		"process_open_fds":              {name: "descriptors of w1", slack: 20},
	}
	keysMeasure   = measure{name: "keys in Redis for good", slack: 100, per: 0.1}
	memoryMeasure = measure{name: "memory of Redis, MiB", slack: 8}
)

// ofStream is what a stream may hold. Outcomes, dead letters and waste are
// there to stay.
func ofStream(name string) measure {
	for _, kept := range []string{"_OUTCOMES", "_DEAD", "_WASTE"} {
		if strings.HasSuffix(name, kept) {
			return measure{name: "bytes in " + name + " per outcome", slack: 200, ratio: true}
		}
	}
	return measure{name: "bytes in " + name, slack: 512 << 10, per: 200, least: strings.HasSuffix(name, "_JOBS")}
}

// sampler measures again and again until it is stopped.
type sampler struct {
	r        *rig
	js       jetstream.JetStream
	measures map[string]measure
	samples  []sample
	stopped  context.CancelFunc
	running  sync.WaitGroup
}

func (r *rig) startSampling(ctx context.Context) (*sampler, error) {
	js, err := jetstream.New(r.servers.NATS)
	if err != nil {
		return nil, err
	}
	s := &sampler{r: r, js: js, measures: map[string]measure{}}
	ctx, s.stopped = context.WithCancel(ctx)
	s.running.Go(func() {
		for ctx.Err() == nil {
			if one, ok := s.take(ctx); ok {
				s.samples = append(s.samples, one)
			}
			process.Pause(ctx, max(5*time.Second, r.last/500))
		}
	})
	return s, nil
}

func (s *sampler) stop() []growth {
	s.stopped()
	s.running.Wait()
	return grown(s.samples, s.measures)
}

var metric = regexp.MustCompile(`(?m)^(\w+) (\S+)$`)

// take measures everything once; not ok while something cannot be reached.
func (s *sampler) take(ctx context.Context) (one sample, ok bool) {
	one.levels = map[string]float64{}
	note := func(m measure, v float64) {
		s.measures[m.name] = m
		one.levels[m.name] = v
	}
	for _, m := range metric.FindAllStringSubmatch(s.r.workers[0].get("/metrics"), -1) {
		if of, wanted := ofWorker[m[1]]; wanted {
			v, _ := strconv.ParseFloat(m[2], 64) // the worker's own words
			if strings.HasSuffix(of.name, "MiB") {
				v /= 1 << 20
			}
			note(of, v)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	keys, err1 := s.lasting(ctx)
	memory, err2 := s.r.redis.client.InfoMap(ctx, "memory").Result()
	if err1 != nil || err2 != nil {
		return one, false
	}
	used, _ := strconv.ParseFloat(memory["Memory"]["used_memory"], 64)
	note(keysMeasure, keys)
	note(memoryMeasure, used/(1<<20))
	streams := s.js.ListStreams(ctx)
	for info := range streams.Info() {
		note(ofStream(info.Config.Name), float64(info.State.Bytes))
		if strings.HasSuffix(info.Config.Name, "_OUTCOMES") {
			one.outcomes = float64(info.State.Msgs)
		}
	}
	return one, streams.Err() == nil && one.outcomes > 0 && len(one.levels) > len(ofWorker)+2
}

// lasting counts the keys in Redis that do not expire by themselves.
func (s *sampler) lasting(ctx context.Context) (float64, error) {
	info, err := s.r.redis.client.InfoMap(ctx, "keyspace").Result()
	if err != nil {
		return 0, err
	}
	var keys, expiring float64
	if db := info["Keyspace"]["db0"]; db != "" {
		_, err = fmt.Sscanf(db, "keys=%g,expires=%g", &keys, &expiring)
	}
	return keys - expiring, err
}

// grown compares the last quarter with the second.
func grown(samples []sample, measures map[string]measure) []growth {
	n := len(samples) / 4
	if n == 0 {
		return nil
	}
	second, last := samples[n:2*n], samples[len(samples)-n:]
	more := middle(last, func(s *sample) float64 { return s.outcomes }) - middle(second, func(s *sample) float64 { return s.outcomes })
	var all []growth
	for name, m := range measures {
		level := func(s *sample) float64 {
			v, there := s.levels[name]
			switch {
			case !there:
				return math.NaN()
			case m.ratio:
				return v / s.outcomes
			}
			return v
		}
		typical := middle
		if m.least {
			typical = least
		}
		g := growth{Name: name, Second: typical(second, level), Last: typical(last, level)}
		if g.Allowed = g.Second + m.slack + m.per*more; m.per == 0 {
			g.Allowed += g.Second / 4
		}
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b growth) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// middle is the median of what is known, least its minimum.
func middle(of []sample, value func(*sample) float64) float64 { return sorted(of, value, 2) }
func least(of []sample, value func(*sample) float64) float64  { return sorted(of, value, math.MaxInt) }

// sorted is the value after one part of so many, once they are in order.
func sorted(of []sample, value func(*sample) float64, parts int) float64 {
	var known []float64
	for i := range of {
		if v := value(&of[i]); !math.IsNaN(v) {
			known = append(known, v)
		}
	}
	if len(known) == 0 {
		return 0
	}
	slices.Sort(known)
	return known[len(known)/parts]
}

func (g *growth) String() string {
	return fmt.Sprintf("%s grew from %.4g in the second quarter to %.4g in the last; %.4g is allowed", g.Name, g.Second, g.Last, g.Allowed)
}
