package resilience

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// dearFirst turns the chain round and has the ledger spare the large model
// whenever a cheaper one may answer.
func dearFirst(s *scene) {
	s.chain.Links[0], s.chain.Links[1] = s.chain.Links[1], s.chain.Links[0]
	s.enter = func(c *jobs.Call) (Pass, error) {
		if c.Cheaper {
			return Pass{Refusal: &Refusal{Guard: LedgerGuard, Final: true, Cheaper: true, Reason: "from 80 % on cheaper models come first"}}, nil
		}
		return Pass{}, nil
	}
}

func TestSoftLimitMovesToTheCheaperModel(t *testing.T) {
	onStage(t, func(s *scene) {
		dearFirst(s)
		o := s.ends(jobs.Answered)
		equal(s, "model", o.Model, "small")
		equal(s, "degraded", o.Degraded, jobs.Partial)
		equal(s, "reason", o.Reason, "answered by small because large was spared: from 80 % on cheaper models come first")
		equal(s, "calls to large", s.large.calls, 0)
	})
}

func TestSoftLimitLeavesNobodyWithoutAnAnswer(t *testing.T) {
	onStage(t, func(s *scene) {
		dearFirst(s)
		s.small.script = []reply{fails(jobs.Refused)}
		o := s.ends(jobs.Answered)
		equal(s, "model", o.Model, "large")
		equal(s, "reason", o.Reason, "answered by large because small failed with refused: no")
	})
}

func TestSoftLimitWaitsForTheCheaperModel(t *testing.T) {
	onStage(t, func(s *scene) {
		dearFirst(s)
		spare := s.enter
		s.enter = func(c *jobs.Call) (Pass, error) {
			if c.Model.Name == "small" {
				return Pass{Refusal: &Refusal{Guard: LimiterGuard, Wait: 40 * time.Second}}, nil
			}
			return spare(c)
		}
		s.waits(40 * time.Second)
		equal(s, "calls to large", s.large.calls, 0)
	})
}

func TestSoftLimitSparesTheDearModelWhileTheCheapOneBeforeItIsBusy(t *testing.T) {
	onStage(t, func(s *scene) {
		s.enter = func(c *jobs.Call) (Pass, error) {
			switch {
			case c.Model.Name == "small":
				return Pass{Refusal: &Refusal{Guard: LimiterGuard, Wait: 40 * time.Second}}, nil
			case c.Cheaper:
				return Pass{Refusal: &Refusal{Guard: LedgerGuard, Final: true, Cheaper: true}}, nil
			}
			return Pass{}, nil
		}
		s.waits(40 * time.Second)
	})
}

func TestCheaperModelWithoutRoomDoesNotCount(t *testing.T) {
	onStage(t, func(s *scene) {
		dearFirst(s)
		s.small.tokens, s.large.tokens = 100_000, 100_000
		o := s.ends(jobs.Answered)
		equal(s, "model", o.Model, "large")
		equal(s, "degraded", o.Degraded, "")
	})
}

func TestSpentMoneyExpiresIfAskedTo(t *testing.T) {
	for name, row := range map[string]struct{ batch, budget jobs.Spent }{
		"by the batch":                          {jobs.ExpireWhenSpent, ""},
		"by the budget":                         {"", jobs.ExpireWhenSpent},
		"by the budget though the batch buries": {jobs.BuryWhenSpent, jobs.ExpireWhenSpent},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(s *scene) {
				s.task.Batch.WhenSpent = row.batch
				s.chain.Links = s.chain.Links[:1]
				s.enter = refusing("all", Refusal{Guard: LedgerGuard, Reason: "$1.00 of the budget of $1.00 of acme is spent", Final: true, Then: row.budget})
				o := s.ends(jobs.Expired)
				equal(s, "kind", o.Kind, jobs.OverBudget)
				equal(s, "reason", o.Reason, "the money does not suffice: small was not available: $1.00 of the budget of $1.00 of acme is spent")
			})
		})
	}
}

func TestPauseTellsWhatTheCallsNeed(t *testing.T) {
	onStage(t, func(s *scene) {
		s.enter = refusing("all", Refusal{Guard: LedgerGuard, Reason: "spent", Final: true})
		d := s.waits(30 * time.Second)
		if want := map[string]jobs.USD{"small": 2100, "large": 21_000}; !maps.Equal(d.Short.Needs, want) {
			s.Errorf("it needs %v, want %v", d.Short.Needs, want)
		}
	})
}

func TestCallTellsWhetherACheaperModelMayAnswerInstead(t *testing.T) {
	dear := &jobs.Price{Input: 50 * jobs.Dollar, Output: 50 * jobs.Dollar}
	for name, row := range map[string]struct {
		play func(s *scene)
		want string
	}{
		"none comes later":             {func(s *scene) { s.small.script = []reply{fails(jobs.Refused)} }, "small false, large false"},
		"one comes later":              {func(s *scene) { s.chain.Links[0].Model.Price = dear; s.small.script = []reply{fails(jobs.Refused)} }, "small true, large false"},
		"one that costs as much":       {func(s *scene) { s.chain.Links[1].Model.Price = s.chain.Links[0].Model.Price }, "small false"},
		"one whose price nobody knows": {func(s *scene) { s.chain.Links[1].Model.Price = nil }, "small false"},
		"one without room": {func(s *scene) {
			s.chain.Links[0].Model.Price, s.chain.Links[1].Model.Context = dear, 50
		}, "small false"},
		"one that is waited for": {func(s *scene) {
			s.enter = refusing("small", Refusal{Guard: BreakerGuard, Circuit: Open, Wait: time.Minute})
		}, "large true"},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, func(s *scene) {
				row.play(s)
				s.run()
				var got []string
				for _, c := range s.entered {
					got = append(got, fmt.Sprintf("%s %v", c.Model.Name, c.Cheaper))
				}
				equal(s, "calls", strings.Join(got, ", "), row.want)
			})
		})
	}
}
