package queue

import (
	"testing"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// A claim whose renewal was answered by nobody could not be renewed any more,
// lapsed, and another job paid for the same request.
func TestClaimWhoseRenewalLostItsReplyIsKept(t *testing.T) {
	inBrokenWorld(t, Config{}, func(w *world) {
		l := &line{}
		nc := w.connect(l)
		defer nc.Close()
		c, _, err := w.open(nc).Claim(w.ctx, "request", jobs.NewID("b", "0"), 30*time.Second)
		w.must(err)
		l.deaf.Store(true)
		if err := c.Renew(w.ctx, 30*time.Second); err == nil {
			t.Error("nothing was lost")
		}
		l.cut()
		time.Sleep(2 * time.Second)
		w.must(c.Renew(w.ctx, 30*time.Second))
		w.must(c.Release(w.ctx))
		_, fresh, err := w.q.Claim(w.ctx, "request", jobs.NewID("b", "1"), 30*time.Second)
		if err != nil || !fresh {
			t.Errorf("it is not let go of: %v", err)
		}
	})
}
