package wire

import (
	"testing"
	"time"

	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/jobs"
)

// A job that waits in its slot for a quota was called, and paid for, up to half
// a minute after its batch was given up.
func TestJobThatWaitsForItsTurnIsNotCalledOnceItsBatchIsStopped(t *testing.T) {
	for name, stop := range map[string]func(w *world){
		"cancelled": func(w *world) { _, err := w.client.Queue.Cancel(w.ctx, "contracts"); w.must(err) },
		"paused":    func(w *world) { w.must(w.client.Queue.Pause(w.ctx, "contracts", "lunch")) },
	} {
		t.Run(name, func(t *testing.T) {
			s := second
			s.tune = func(c *config.Config) {
				c.Quotas = map[string]config.Quota{"small": {Requests: 30}, "large": {Requests: 30}}
			}
			inWorld(t, s, func(w *world) {
				w.submit(jobs.Batch{ID: "contracts", Chain: "cheap"}, short(60)...)
				w.start("a")
				time.Sleep(10 * time.Second)
				stop(w)
				time.Sleep(3 * time.Second) // for those that are on their way
				before := len(w.provider.Ledger(0))
				time.Sleep(time.Minute)
				if after := len(w.provider.Ledger(0)); after != before {
					t.Errorf("%d calls were made of a batch that is %s", after-before, name)
				}
				if name == "paused" {
					w.must(w.client.Queue.Resume(w.ctx, "contracts"))
				}
				w.untilOver("contracts")
			})
		})
	}
}
