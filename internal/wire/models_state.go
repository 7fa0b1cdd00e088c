package wire

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/drover-batch/drover/resilience"
)

// ModelState is how a configured model stands for the fleet.
type ModelState struct {
	Name, Provider string
	Circuit        resilience.Circuit
	Configured     resilience.Quota // what the configuration of this process says of its quota
	Quota          resilience.QuotaState
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
