package wire

import (
	"context"
	"sync"

	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/resilience"
)

// allow makes the worker's allowance, if it has one.
func (w *Worker) allow() {
	amount := w.parts.Config.Worker.Allowance
	if amount == 0 {
		return
	}
	w.allowance = resilience.NewAllowance(w.gate, resilience.AllowanceConfig{
		Amount: amount, Record: w.log,
		OnAway: func(away bool) {
			if away {
				w.parts.Log.Warn().Stringer("left", w.allowance.Left()).Msg("Redis is away: calls go on with the allowance that is held for them")
				return
			}
			w.parts.Log.Info().Msg("Redis is back: calls are admitted by the fleet's guards again")
		},
	})
}

// allowing looks after the allowance until it is told to give it back, which
// takes a few seconds at the most.
func (w *Worker) allowing(working context.Context) (end func()) {
	if w.allowance == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(working))
	var running sync.WaitGroup
	running.Go(func() { w.allowance.Run(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}

// Allowance is how much is held for calls while Redis is away and has not been
// used.
func (w *Worker) Allowance() jobs.USD {
	if w.allowance == nil {
		return 0
	}
	return w.allowance.Left()
}
