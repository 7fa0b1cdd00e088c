package wire

import (
	"testing"

	"github.com/drover-batch/drover/jobs"
)

// Each look at a batch that was cancelled before anybody was asked read all of
// its outcomes.
func TestCostOfABatchThatAskedNobodyIsNotReadFromTheBook(t *testing.T) {
	inWorld(t, second, func(w *world) {
		w.submit(jobs.Batch{ID: "first"}, short(1)...)
		w.start("a")
		w.untilOver("first")
		w.stop("a")
		w.submit(jobs.Batch{ID: "contracts"}, short(300)...)
		_, err := w.client.Queue.Cancel(w.ctx, "contracts")
		w.must(err)
		before := w.client.NATS.Stats().InMsgs
		spent, ambiguous, err := w.client.Spent(w.ctx, "contracts")
		w.must(err)
		if read := w.client.NATS.Stats().InMsgs - before; spent != 0 || ambiguous != 0 || read > 5 {
			t.Errorf("%s spent, %s ambiguous, for which %d messages were read", spent, ambiguous, read)
		}
	})
}
