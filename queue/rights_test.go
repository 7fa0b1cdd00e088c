package queue

import (
	"errors"
	"testing"

	"github.com/nats-io/nats.go"
)

// TestRightsAreFoundOutAndNothingIsStored asks as a user who may do all of it. The
// shipped users are asked by the tests of the dashboard.
func TestRightsAreFoundOutAndNothingIsStored(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1)
		stored := func() (n uint64) {
			for _, name := range []string{"DROVER_JOBS", "DROVER_OUTCOMES", "DROVER_DEAD", "KV_DROVER_BATCHES", "KV_DROVER_SETTINGS"} {
				s, err := w.q.js.Stream(w.ctx, name)
				w.must(err)
				n += s.CachedInfo().State.LastSeq
			}
			return n
		}
		before := stored()
		rights, err := w.q.Rights(w.ctx)
		w.must(err)
		for _, deed := range []Deed{ChangeBatches, CancelBatches, ReplayLetters, DropLetters, SetLimits} {
			if !rights[deed] {
				t.Errorf("it may not %s", deed)
			}
		}
		if after := stored(); after != before {
			t.Errorf("%d messages were stored", after-before)
		}
		w.q.nc.Close()
		if rights, err := w.q.Rights(w.ctx); rights != nil || !errors.Is(err, nats.ErrConnectionClosed) {
			t.Errorf("while NATS is away it may %v, %v", rights, err)
		}
	})
}
