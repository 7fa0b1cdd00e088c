package queue

import (
	"testing"

	"github.com/drover-batch/drover/jobs"
)

// That nobody knows what a batch has cost was found in its outcomes, by reading
// until there was one that had asked anybody.
func TestBatchTellsThatNobodyKnowsWhatItHasCost(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		free, unpriced := paid("1", 1, 0), paid("2", 1, 0)
		free.Billing, unpriced.Unpriced = jobs.Free, true
		b := batch("b")
		w.enqueue(b, 3)
		s := w.source("worker")
		for i, a := range []jobs.Attempt{free, unpriced, unpriced} {
			d := w.take(s, 1)[0]
			w.must(d.Done(w.ctx, answer(d, "worker", a)))
			if p := w.progress("b"); p.Unpriced != (i > 0) {
				t.Errorf("after %d outcomes unpriced is %v", i+1, p.Unpriced)
			}
		}
		m, err := w.q.manifest(w.ctx, "b")
		w.must(err)
		before := m.revision
		w.must(w.q.unpriced(w.ctx, "b"))
		if m, err = w.q.manifest(w.ctx, "b"); err != nil || m.revision != before {
			t.Errorf("it is noted twice: revision %d, then %d, %v", before, m.revision, err)
		}
	})
}
