package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/drover-batch/drover/llm/simulator"
)

// step is something that is done to the fleet.
type step struct {
	at, lasts time.Duration
	what      string  // see deck
	workers   []int   // to whom
	link      string  // nats, redis or provider
	weather   weather // on that link
	words     string  // for the weather or the outage
	model     string
	fault     simulator.Fault
	node      int // of NATS; a cluster's leader if there are several
}

func (s *step) String() string {
	text := s.what
	for _, w := range s.workers {
		text += fmt.Sprintf(" w%d", w+1)
	}
	for _, more := range []string{s.link, s.words} {
		if more != "" {
			text += " " + more
		}
	}
	if s.lasts > 0 {
		text += ", for " + s.lasts.Round(10*time.Millisecond).String()
	}
	return text
}

// deck is what can be done. It is dealt shuffled, again and again, so that a
// long enough schedule has everything in it.
var deck = []string{
	"kill", "kill", "freeze", "stop", "rolling restart",
	"kill nats", "keep nats away", "kill redis", "flush redis", "kill and flush",
	"weather", "weather", "weather", "outage", "cancel", "replay", "kill the enqueuer",
}

// program is what decides a schedule.
type program struct {
	seed    uint64
	last    time.Duration // all steps are over by then
	workers int
	spared  int      // of them: the first ones are neither killed nor stopped
	every   float64  // seconds between two steps at the least; four times as many at the most
	only    []string // cards of the deck, if not all of them
}

// cards are those that are played with.
func (p program) cards() []string {
	if len(p.only) > 0 {
		return p.only
	}
	return deck
}

// planner draws a schedule.
type planner struct {
	*rand.Rand
	program
	busy map[string]time.Duration // until when each thing has its fault
	hand []string                 // cards of the deck
}

// plan is what is done to the fleet, in order.
func (p program) plan() []step {
	d := &planner{Rand: rand.New(rand.NewPCG(p.seed, 1)), program: p, busy: map[string]time.Duration{}}
	var steps []step
	for at := d.between(1, 2); at < p.last-time.Second; at += d.between(p.every, 4*p.every) {
		if s, ok := d.next(at); ok {
			steps = append(steps, s)
		}
	}
	return steps
}

// next plays the first card that can be played now. The others stay in hand.
func (p *planner) next(at time.Duration) (step, bool) {
	if cards := p.cards(); len(p.hand) < max(1, len(cards)/2) {
		more := slices.Clone(cards)
		p.Shuffle(len(more), func(i, j int) { more[i], more[j] = more[j], more[i] })
		p.hand = append(p.hand, more...)
	}
	for i, card := range p.hand {
		if s, ok := p.step(at, card); ok {
			p.hand = slices.Delete(p.hand, i, i+1)
			return s, true
		}
	}
	return step{}, false
}

func (p *planner) between(from, to float64) time.Duration {
	return time.Duration((from + (to-from)*p.Float64()) * float64(time.Second))
}

// step draws how a card is played, unless it would befall what has a fault
// already, or last too long.
func (p *planner) step(at time.Duration, card string) (step, bool) {
	s := step{at: at, what: card}
	var needs []string
	who := p.spared + p.IntN(p.workers-p.spared)
	switch s.what {
	case "kill":
		s.lasts, s.workers = p.between(0.2, 3), []int{who}
	case "freeze": // longer than the lease
		s.lasts, s.workers = lease+p.between(1, 5), []int{who}
	case "stop":
		s.lasts, s.workers = p.between(0, 1), []int{who}
	case "rolling restart":
		for w := p.spared; w < p.workers; w++ {
			s.workers = append(s.workers, w)
		}
	case "kill nats":
		s.lasts, s.node, needs = p.between(0.2, 4), p.IntN(3), []string{"nats"}
	case "keep nats away": // longer than an answer is kept in memory, and a worker dies meanwhile
		s.lasts, s.node, s.workers, needs = storePatience+p.between(1, 5), p.IntN(3), []int{who}, []string{"nats"}
	case "kill redis":
		s.lasts, needs = p.between(0.2, 4), []string{"redis"}
	case "flush redis":
		needs = []string{"redis"}
	case "kill and flush":
		s.lasts, s.workers, needs = p.between(0.1, 2), []int{who}, []string{"redis"}
	case "weather":
		s.lasts, s.workers = p.between(0.5, 8), []int{who}
		s.link = []string{"nats", "redis", "provider"}[p.IntN(3)]
		s.words, s.weather = p.cloud()
	case "outage":
		s.lasts, needs = p.between(2, 6), []string{"provider"}
		s.model = []string{"small", "large", ""}[p.IntN(3)]
		s.fault = []simulator.Fault{"503", "500", simulator.Hang, simulator.Drop}[p.IntN(4)]
		s.words = strings.TrimSpace("of " + s.model + " with " + string(s.fault))
	case "kill the enqueuer":
		s.lasts, needs = p.between(0, 1), []string{"enqueuer"}
	}
	for _, w := range s.workers {
		needs = append(needs, fmt.Sprint("w", w))
	}
	return s, p.free(&s, needs)
}

// settles is how long what was broken has before it is broken again.
const settles = 1500 * time.Millisecond

func (p *planner) free(s *step, needs []string) bool {
	end := s.at + s.lasts
	if s.what == "rolling restart" || s.what == "stop" {
		end += time.Duration(len(s.workers)) * (grace + 2*time.Second)
	}
	if end > p.last {
		return false
	}
	for _, n := range needs {
		if s.at < p.busy[n] {
			return false
		}
	}
	for _, n := range needs {
		p.busy[n] = end + settles
	}
	return true
}

func (p *planner) cloud() (string, weather) {
	switch p.IntN(4) {
	case 0:
		return "cut", weather{cut: true}
	case 1:
		d := p.between(0.05, 0.5).Round(time.Millisecond)
		return "delayed by " + d.String(), weather{delay: d}
	case 2:
		return "dead", weather{dead: true}
	}
	return "swallows replies", weather{swallow: true}
}
