package jobs

import (
	"fmt"
	"time"
)

// WhenLimited says what becomes of a call that a model's quota makes wait.
type WhenLimited string

// WaitWhenLimited waits as long as it takes and never asks another model for a
// limit's sake; FallBackWhenLimited asks the next one when the wait ahead is
// more than a moment; AutoWhenLimited, the default, asks a dearer one only if
// the batch would miss its deadline otherwise, and one that costs no more if
// that is free sooner.
const (
	AutoWhenLimited     WhenLimited = "auto"
	WaitWhenLimited     WhenLimited = "wait"
	FallBackWhenLimited WhenLimited = "fallback"
)

// Validate reports a word that is none of them; empty leaves it to the chain.
func (w WhenLimited) Validate() error {
	switch w {
	case "", AutoWhenLimited, WaitWhenLimited, FallBackWhenLimited:
		return nil
	}
	return fmt.Errorf("when_limited %q: use wait, fallback or auto", string(w))
}

// Outlook is how a batch gets on in the whole fleet.
type Outlook struct {
	Left int64   // jobs without an outcome
	Rate float64 // jobs a second that got theirs, of late; 0 if nobody knows yet
}

// slack is the part of the time until a deadline that is left unplanned: rates
// vary.
const slack = 0.1

// Late reports whether a batch that goes on at its rate has jobs left at its
// deadline. Without a deadline or a rate it is not.
func (o Outlook) Late(deadline time.Time) bool { return o.Short(deadline, 1) > 0 }

// Short is which part of the jobs left, from 0 to 1, a batch that goes on at
// the given part of its rate has left at its deadline. Without a deadline or a
// rate there are none.
func (o Outlook) Short(deadline time.Time, part float64) float64 {
	if deadline.IsZero() || o.Rate <= 0 || o.Left == 0 {
		return 0
	}
	left := time.Until(deadline).Seconds() * (1 - slack)
	return min(1, max(0, 1-o.Rate*part*left/float64(o.Left)))
}
