package main

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/resilience"
)

// modelState is a configured model for scripts.
type modelState struct {
	Model    string     `json:"model"`
	Provider string     `json:"provider"`
	Circuit  string     `json:"circuit"`
	Failures int        `json:"failures"` // in a row
	Until    *time.Time `json:"open_until,omitempty"`
	Workers  int        `json:"workers"` // that heard of it in the last minute
	Apart    int        `json:"workers_apart"`
	Quota    string     `json:"quota"`
	InFlight int64      `json:"in_flight"`
	Paused   float64    `json:"paused_seconds"`
	Share    float64    `json:"share"` // of the limits that 429s have left

	Requests flow `json:"requests"`
	Tokens   flow `json:"tokens"`
}

// flow is what is asked of a quota and what it lets through, a minute.
type flow struct {
	Asked float64 `json:"per_minute"`
	Limit int64   `json:"limit_per_minute,omitempty"`
	By    string  `json:"limit_by,omitempty"` // configured, headers or 429s
}

func flowOf(f resilience.Flow, configured int64) flow {
	limit, by := f.Limit(configured)
	return flow{f.Asked, limit, by}
}

func modelStateOf(m wire.ModelState) modelState {
	s := modelState{
		Model: m.Name, Provider: m.Provider,
		Circuit: m.Circuit.State, Failures: m.Circuit.Failures, Workers: m.Circuit.Workers, Apart: m.Circuit.Apart,
		Quota: m.Quota.Name, InFlight: m.Quota.InFlight, Paused: m.Quota.Paused.Seconds(), Share: m.Quota.Share,
		Requests: flowOf(m.Quota.Requests, m.Configured.RequestsPerMinute),
		Tokens:   flowOf(m.Quota.Tokens, m.Configured.TokensPerMinute),
	}
	if m.Circuit.State == resilience.Open {
		s.Until = &m.Circuit.Until
	}
	return s
}

func newModels(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "models",
		Short: "Show how the models stand: their circuits, and what is used of their quotas",
		Long: `Shows each configured model with its circuit and its quota, as they stand for
all workers together. Models that share a quota show the same. A limit is
the configured one unless its provider's headers tell a lower one (headers), or
429s have shown it where nobody tells (429s). What is used is an average over the
last ten seconds.`,
		Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd.Context(), func(ctx context.Context, s *wire.Servers) error {
				c.tellSimulated(s)
				all, err := s.Models(ctx)
				if err != nil {
					return err
				}
				return c.listModels(all)
			})
		},
	}
}

// tellSimulated says that the models that are shown may not be the workers'.
func (c *cli) tellSimulated(s *wire.Servers) {
	if s.Simulated() {
		c.say("note: no drover.yaml is named, so models, quotas and budgets are those of the built-in simulator: name the workers' own with --config")
	}
}

func (c *cli) listModels(all []wire.ModelState) error {
	table := newTable(c.out)
	if !c.json {
		table.row("MODEL", "CIRCUIT", "QUOTA", "IN FLIGHT", "REQUESTS/MIN", "TOKENS/MIN", "NOTE")
	}
	for _, m := range all {
		s := modelStateOf(m)
		if c.json {
			if err := c.print(s); err != nil {
				return err
			}
			continue
		}
		table.row(s.Model, s.Circuit, s.Quota, s.InFlight, s.Requests, s.Tokens, strings.Join(append(m.CircuitNotes(), m.QuotaNotes()...), "; "))
	}
	return table.flush()
}

// String is how much is used of how much, and who says so unless the
// configuration does: 480 of 500 (headers).
func (f flow) String() string {
	used := jobs.Grouped(int64(f.Asked + 0.5))
	switch f.By {
	case "":
		return used
	case "configured":
		return used + " of " + jobs.Grouped(f.Limit)
	}
	return used + " of " + jobs.Grouped(f.Limit) + " (" + f.By + ")"
}
