package wire

import (
	"strings"
	"testing"

	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/jobs"
)

// after is a fleet with this policy for ambiguous calls.
func withPolicy(p jobs.AfterAmbiguous) scene {
	return scene{provider: second.provider, tune: func(c *config.Config) { c.Retry.Ambiguous = p }}
}

// broken is ten documents, three of which break the first call to each model:
// by a hang, a connection cut before the answer, an answer cut in the middle.
func broken() []string {
	docs := short(10)
	for i, how := range []string{"hang", "drop", "cut"} {
		docs[i] = "[[simulate:" + how + "*1]] " + docs[i]
	}
	return docs
}

func TestAmbiguousCallIsAskedAgainNextOrNotAtAll(t *testing.T) {
	for _, row := range []struct {
		policy jobs.AfterAmbiguous
		paid   int
		models string // asked for one of the three
		status jobs.Status
	}{
		{jobs.AskAgain, 13, "small small", jobs.Answered},
		{jobs.AskNext, 13, "small large", jobs.Dead},
		{jobs.BuryAmbiguous, 10, "small", jobs.Dead},
	} {
		t.Run(string(row.policy), func(t *testing.T) {
			inWorld(t, withPolicy(row.policy), func(w *world) {
				w.submit(jobs.Batch{ID: "contracts"}, broken()...)
				w.start("a", "b")
				w.untilOver("contracts")
				all := w.outcomes("contracts")
				for _, id := range []string{"0", "1", "2"} {
					o := all[id]
					var models []string
					for _, a := range o.Attempts {
						models = append(models, a.Model)
					}
					if o.Status != row.status || strings.Join(models, " ") != row.models || !o.Attempts[0].Ambiguous() {
						t.Errorf("%s is %s after %q, %s of %s ambiguous: %s", id, o.Status, models, o.Ambiguous(), o.Cost, o.Reason)
					}
				}
				if w.paid() != row.paid {
					t.Errorf("paid for %d calls of 10 jobs, want %d", w.paid(), row.paid)
				}
				_, ambiguous, err := w.client.Spent(w.ctx, "contracts")
				w.must(err)
				if sum := all["0"].Ambiguous() + all["1"].Ambiguous() + all["2"].Ambiguous(); ambiguous != sum {
					t.Errorf("%s is ambiguous in the sums, %s in the outcomes", ambiguous, sum)
				}
			})
		})
	}
}

func TestLetterBuriedInDoubtIsAnsweredByItsReplay(t *testing.T) {
	inWorld(t, withPolicy(jobs.BuryAmbiguous), func(w *world) {
		w.submit(jobs.Batch{ID: "contracts"}, broken()...)
		w.start("a")
		w.untilOver("contracts")
		letters := w.letters("contracts")
		if len(letters) != 3 {
			t.Fatalf("%d letters of 3", len(letters))
		}
		for id, l := range letters {
			o := l.Outcome
			if want := map[string]jobs.Kind{"0": jobs.Timeout, "1": jobs.Unreachable, "2": jobs.Unreachable}[id]; o.Kind != want || !strings.Contains(o.Reason, "only a replay asks again") {
				t.Errorf("%s died of %s: %s", id, o.Kind, o.Reason)
			}
			w.must(w.client.Queue.Replay(w.ctx, l))
		}
		w.untilOver("contracts")
		w.answered("contracts")
	})
}
