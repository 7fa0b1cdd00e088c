package wire

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/resilience"
)

// ModelState is how a configured model stands for the fleet.
type ModelState struct {
	Name, Provider string
	Circuit        resilience.Circuit
	Configured     resilience.Quota // what the configuration of this process says of its quota
	Quota          resilience.QuotaState
}

// CircuitNotes say what is out of the ordinary with the model.
func (m *ModelState) CircuitNotes() []string {
	var notes []string
	c := &m.Circuit
	switch c.State {
	case resilience.Open:
		again := max(0, time.Until(c.Until)).Round(time.Second)
		notes = append(notes, fmt.Sprintf("%s in a row: asked again in %v", jobs.Counted(c.Failures, "failure"), again))
	case resilience.HalfOpen:
		notes = append(notes, "let on probation")
	}
	if c.Apart > 0 {
		notes = append(notes, fmt.Sprintf("%d of %s cannot reach it: look at their network and keys", c.Apart, jobs.Counted(c.Workers, "worker")))
	}
	return notes
}

// QuotaNotes say what is out of the ordinary with its quota.
func (m *ModelState) QuotaNotes() []string {
	var notes []string
	if q := &m.Quota; q.Paused > 0 {
		notes = append(notes, fmt.Sprintf("its provider asked for a pause: %v", q.Paused.Round(time.Second)))
	}
	if q := &m.Quota; q.Share < 1 {
		notes = append(notes, fmt.Sprintf("%.0f %% of its limits after 429s", 100*q.Share))
	}
	return notes
}

// Simulated reports whether the configuration of this process names no models, so
// that those of the built-in simulator are shown, whatever the workers have.
func (s *Servers) Simulated() bool { return s.config.Simulated }

// Models tells how the configured models stand, sorted by name. Models that
// share a quota have the same.
func (s *Servers) Models(ctx context.Context) ([]ModelState, error) {
	names := slices.Sorted(maps.Keys(s.config.Models))
	all := make([]ModelState, len(names))
	shared := make([]string, len(names))
	limits := quotas(s.config)
	for i, name := range names {
		m := s.config.Models[name]
		shared[i] = cmp.Or(m.Quota, name)
		all[i] = ModelState{Name: name, Provider: m.Provider, Configured: limits[shared[i]]}
	}
	circuits, err := resilience.Circuits(ctx, s.Redis, s.keys, names...)
	if err != nil {
		return nil, err
	}
	states, err := resilience.Quotas(ctx, s.Redis, s.keys, shared...)
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i].Circuit, all[i].Quota = circuits[i], states[i]
	}
	return all, nil
}
