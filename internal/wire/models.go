package wire

import (
	crand "crypto/rand"
	"fmt"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/drover-batch/drover/llm"
	"github.com/drover-batch/drover/resilience"
)

// models makes a client for every model and the chains of them. One retry
// budget serves all chains: an outage is the process's, not a chain's.
func (w *Worker) models() error {
	c := w.parts.Config
	client := w.parts.Client
	if client == nil {
		client = &http.Client{Transport: llm.Transport(c.Worker.Slots)}
	}
	w.links = make(map[string]resilience.Link, len(c.Models))
	for name, m := range c.Models {
		asker, err := llm.New(m, client)
		if err != nil {
			return fmt.Errorf("preparing the models: %w", err)
		}
		w.links[name] = resilience.Link{Model: &m, Asker: asker}
	}
	retry := resilience.Retry{Tries: c.Retry.Tries, Most: c.Retry.Most, Base: c.Retry.Base, Max: c.Retry.Max, Ambiguous: c.Retry.Ambiguous, Budget: new(resilience.RetryBudget), Random: rand.Float64}
	w.chains = make(map[string]*resilience.Chain, len(c.Chains))
	detours := new(resilience.Detours)
	outages := &resilience.Outages{
		Tell: func(what string) { w.parts.Log.Warn().Msg(what) },
		Over: func(model string) { w.parts.Log.Info().Msg(model + " answers again") },
	}
	around := &resilience.Recent{Every: 10 * time.Minute}
	for name, from := range c.Chains {
		chain := &resilience.Chain{
			Name: name, Gate: w.admission(), Retry: retry, Patience: c.Retry.Patience,
			WhenLimited: from.WhenLimited, Detours: detours, Outages: outages,
			Guardrails: c.Rails(name),
			NewID:      crand.Text,
			Worker:     w.parts.ID, Cache: w.recall, Stopping: w.stopping,
			Budgeted: w.ledger.Applies,
			Freed:    w.parts.Queue.Freed,
			OnError: func(err error) {
				if around.News(err.Error()) {
					w.parts.Log.Warn().Err(err).Msg("around a call")
				}
			},
		}
		for _, step := range from.Models {
			chain.Links = append(chain.Links, w.links[step])
		}
		w.chains[name] = chain
	}
	return nil
}
