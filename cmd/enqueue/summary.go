package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/drover-batch/drover/documents"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/queue"
)

// tally counts for the progress line: what the batch had cost before, and what
// this process does.
type tally struct {
	mu      sync.Mutex
	partial int64
	cost    jobs.USD
}

func (t *tally) outcome(o *jobs.Outcome) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range o.Attempts {
		if a := &o.Attempts[i]; a.Run == o.Run && a.Worker == o.Worker { // earlier runs and processes were counted in their time
			t.cost += a.Cost
		}
	}
	if o.Degraded == jobs.Partial {
		t.partial++
	}
}

func (t *tally) waste(attempts []jobs.Attempt) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range attempts {
		t.cost += attempts[i].Cost
	}
}

func (t *tally) snapshot(p jobs.Progress, growing bool) snapshot {
	t.mu.Lock()
	defer t.mu.Unlock()
	return snapshot{done: p.Done(), total: p.Total, partial: t.partial, dead: p.Dead, growing: growing, cost: t.cost}
}

// summary is what a batch came to. It is made from the outcomes themselves.
type summary struct {
	took                                   time.Duration
	answered, partial, cached, unavailable int64
	dead, expired, cancelled               int64
	left, problems                         int64
	checked                                rungs
	usage                                  jobs.Usage
	cost, ambiguous, wasted                jobs.USD
	models                                 map[string]*modelSummary
	unpriced                               []string // models whose price nobody knows
}

type modelSummary struct {
	answers, calls, failed int64
	usage                  jobs.Usage
	cost, ambiguous        jobs.USD
}

func newSummary(took time.Duration) *summary {
	return &summary{took: took, models: map[string]*modelSummary{}}
}

// add counts one outcome.
func (s *summary) add(o *jobs.Outcome) {
	switch o.Status {
	case jobs.Answered:
		s.answered++
	case jobs.Dead:
		s.dead++
	case jobs.Expired:
		s.expired++
	case jobs.WasCancelled:
		s.cancelled++
	}
	switch o.Degraded {
	case jobs.Partial:
		s.partial++
	case jobs.Cached:
		s.cached++
	case jobs.Unavailable:
		s.unavailable++
	}
	s.checked.add(o)
	if o.Model != "" && o.Degraded != jobs.Cached {
		s.model(o.Model).answers++
	}
	s.attempts(o.Attempts)
}

func (s *summary) attempts(list []jobs.Attempt) {
	for i := range list {
		a := &list[i]
		m := s.model(a.Model)
		m.calls++
		if a.Kind != "" {
			m.failed++
		}
		m.usage = m.usage.Add(a.Usage)
		m.cost += a.Cost
		s.usage = s.usage.Add(a.Usage)
		s.cost += a.Cost
		if a.Billing == jobs.Presumed {
			s.ambiguous += a.Cost
			m.ambiguous += a.Cost
		}
	}
}

// waste adds what was spent without an outcome.
func (s *summary) waste(ctx context.Context, q *queue.Queue, batch string) error {
	before := s.cost
	for w, err := range q.Wastes(ctx, batch) {
		if err != nil {
			return fmt.Errorf("reading what was spent in vain: %w", err)
		}
		s.attempts(w.Attempts)
	}
	s.wasted = s.cost - before
	return nil
}

func (s *summary) model(name string) *modelSummary {
	m := s.models[name]
	if m == nil {
		m = &modelSummary{}
		s.models[name] = m
	}
	return m
}

func (s *summary) total() int64 { return s.answered + s.unanswered() }

// unanswered is how many outcomes are none that the user wanted.
func (s *summary) unanswered() int64 { return s.dead + s.expired + s.cancelled }

// write prints the summary for people.
func (s *summary) write(w io.Writer, t *target) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
	p("\n%s in %s\n", s.counts(), short(s.took))
	if s.checked.any() {
		p("checked answers: %s\n", s.checked)
	}
	p("%d tokens in, %d out; cost %s\n\n", s.usage.Input, s.usage.Output, s.bill())
	table := newFigures(w)
	last := []any{""} // which ends a column
	if s.ambiguous > 0 {
		last = []any{"ambiguous", ""}
	}
	table.row(append([]any{"model", "answers", "calls", "failed", "tokens in", "tokens out", "cost"}, last...)...)
	for _, name := range slices.Sorted(maps.Keys(s.models)) {
		m := s.models[name]
		cost := m.cost.String()
		if slices.Contains(s.unpriced, name) {
			cost = "unknown"
		}
		if s.ambiguous > 0 {
			last[0] = m.ambiguous
		}
		table.row(append([]any{name, m.answers, m.calls, m.failed, m.usage.Input, m.usage.Output, cost}, last...)...)
	}
	_ = table.flush()
	tell(w, "\n%s", t.told())
}

// counts is how many documents came to what: 46 answered, 1 of them partial,
// 2 dead.
func (s *summary) counts() string {
	text := fmt.Sprintf("%d answered", s.answered)
	for _, part := range []struct {
		n    int64
		what string
	}{
		{s.partial, "of them partial"}, {s.cached, "of them cached"}, {s.unavailable, "of them your fallback text"},
		{s.dead, "dead"}, {s.expired, "expired"}, {s.cancelled, "cancelled"}, {s.left, "not done yet"}, {s.problems, "left out"},
	} {
		if part.n > 0 || part.what == "dead" {
			text += fmt.Sprintf(", %d %s", part.n, part.what)
		}
	}
	return text
}

// bill is what it cost, and how sure that is.
func (s *summary) bill() string {
	text := s.cost.String()
	switch {
	case len(s.unpriced) > 0 && s.cost == 0:
		text = "unknown"
	case len(s.unpriced) > 0:
		text += " without " + strings.Join(s.unpriced, " and ") + ", whose price is unknown"
	}
	if s.ambiguous > 0 {
		text += fmt.Sprintf(", of which %s is ambiguous: sent, but nobody confirmed it", s.ambiguous)
	}
	if s.wasted > 0 {
		text += fmt.Sprintf(", of which %s led to no outcome", s.wasted)
	}
	return text
}

// machine is the summary for scripts: one line of JSON.
func (s *summary) machine(batch string, state jobs.State) []byte {
	type model struct {
		Answers int64      `json:"answers"`
		Calls   int64      `json:"calls"`
		Failed  int64      `json:"failed"`
		Usage   jobs.Usage `json:"usage"`
		Cost    *float64   `json:"cost_usd"` // null: no price is known
		Doubt   float64    `json:"ambiguous_usd"`
	}
	models := map[string]model{}
	for name, m := range s.models {
		models[name] = model{m.answers, m.calls, m.failed, m.usage, known(m.cost, !slices.Contains(s.unpriced, name)), dollars(m.ambiguous)}
	}
	return documents.JSON(map[string]any{
		"batch": batch, "state": state,
		"answered": s.answered, "partial": s.partial, "cached": s.cached, "unavailable": s.unavailable,
		"dead": s.dead, "expired": s.expired, "cancelled": s.cancelled, "left": s.left, "left_out": s.problems,
		"usage": s.usage, "cost_usd": known(s.cost, len(s.unpriced) == 0), "ambiguous_usd": dollars(s.ambiguous), "wasted_usd": dollars(s.wasted),
		"seconds": s.took.Seconds(), "models": models, "checked": s.checked,
	})
}

// known is a cost for scripts: nil if it is nothing because no price is known.
func known(cost jobs.USD, priced bool) *float64 {
	if cost == 0 && !priced {
		return nil
	}
	return new(dollars(cost))
}
