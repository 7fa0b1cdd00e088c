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
// vary, and the last jobs take their time.
const slack = 0.1

// Late reports whether a batch that goes on at the given part of its rate has
// jobs left at its deadline. Without a deadline or a rate it is not.
func (o Outlook) Late(deadline time.Time, part float64) bool {
	if deadline.IsZero() || o.Rate <= 0 || o.Left == 0 {
		return false
	}
	left := time.Until(deadline).Seconds() * (1 - slack)
	return float64(o.Left) > o.Rate*part*left
}
