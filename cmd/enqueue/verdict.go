package main

import (
	"errors"
	"strings"

	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/jobs"
)

// verdict says how it ended, where that is not plain from the summary.
func (s *session) verdict(p jobs.Progress, sum *summary, why error) error {
	switch {
	case errors.Is(why, errSampled):
		return &exit{code: exitSampled}
	case errors.Is(why, wire.ErrStopped) && !(p.Over() && s.allIn(p)):
		rest := ""
		if !s.allIn(p) {
			rest = ", and with those not read yet"
		}
		s.say("Stopped. The same command goes on with the %d that are left%s.", sum.left, rest)
		return &exit{code: exitInterrupted}
	case p.State == jobs.Paused:
		s.say("Paused: %s. %s", plain(p.Reason), s.howOn(p.Reason))
		return &exit{code: exitPaused}
	case p.Dead > 0:
		s.say("The dead letters are kept: see enqueue dead list %s%s. After enqueue dead replay %[1]s%[2]s, the same command answers them.", s.batch.ID, s.where())
	}
	if sum.unanswered() > 0 || sum.problems > 0 {
		return &exit{code: exitUnanswered}
	}
	return nil
}

// allIn reports whether every document has been read and enqueued.
func (s *session) allIn(p jobs.Progress) bool {
	return s.fed.Load() && s.feeder.only == nil && p.State != jobs.Enqueueing
}

// howOn says what gets a paused batch going: where the money is spent, a higher
// limit of whoever's it is.
func (s *session) howOn(reason string) string {
	switch {
	case strings.Contains(reason, " of batch "+s.batch.ID+" "):
		return "Run the same command with a higher --budget to go on."
	case strings.Contains(reason, " is spent, "):
		return "Raise that limit, in the configuration or with enqueue budget set, and run the same command to go on."
	}
	return "Run the same command to go on."
}

// where are the flags that make other commands look into the same folder.
func (s *session) where() string {
	where := ""
	if s.data != "" {
		where += " --data " + s.data
	}
	if s.config != "" {
		where += " --config " + s.config
	}
	return where
}
