package wire

import (
	"context"
	"maps"

	"github.com/drover-batch/drover/jobs"
)

// goOn ends the pauses of batches that lacked money and have it now: a limit
// was raised, here or in drover.yaml, or what was held came back.
func (w *Worker) goOn(ctx context.Context) error {
	list, err := w.shortages.List(ctx)
	if err != nil || len(list) == 0 {
		return err
	}
	epoch, err := w.gate.Script().Epoch(ctx, w.parts.Redis)
	if err == nil && epoch == "" { // nobody knows what is spent, and there may be no call to find it out
		err = w.rebuild(ctx)
	}
	if err != nil {
		return err
	}
	for _, b := range list {
		enough, err := w.affords(ctx, b)
		if err != nil {
			return err
		}
		if !enough {
			continue
		}
		ended, err := w.parts.Queue.GoOn(ctx, b.ID)
		if err != nil {
			return err
		}
		if ended {
			w.parts.Log.Info().Str("batch", b.ID).Msg("there is money again: the batch goes on")
		}
	}
	return nil
}

// heed has what waits for the next turn of a budget look again when a limit was
// set.
func (w *Worker) heed(ctx context.Context) error {
	limits, err := w.ledger.Limits(ctx, w.parts.Redis)
	if err != nil {
		return err
	}
	if w.limits != nil && !maps.Equal(limits, w.limits) {
		w.source.Wake()
	}
	w.limits = limits
	return nil
}

// affords reports whether one of the calls that the batch is paused for fits. If
// none of them is to a model that this worker has, they are called otherwise by
// now, and what the batch needs is for its next job to find out.
func (w *Worker) affords(ctx context.Context, b *jobs.Batch) (bool, error) {
	_, renamed := w.chains[b.Chain]
	for name, need := range b.Needs {
		m, ok := w.parts.Config.Models[name]
		if !ok {
			continue
		}
		renamed = false
		call := &jobs.Call{Batch: b.ID, Tenant: b.Tenant, Model: &m, Limit: b.Budget, Worst: need}
		if need == 0 && m.Price == nil && w.ledger.Applies(call) {
			continue
		}
		fits, err := w.ledger.Fits(ctx, w.parts.Redis, call)
		if fits || err != nil {
			return fits, err
		}
	}
	return renamed, nil
}
