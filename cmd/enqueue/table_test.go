package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/drover-batch/drover/jobs"
)

// forged is a text that would clear the screen, set the title, and make up a
// line and a column.
const forged = "a\x1b[2J\x1b]0;mine\x07\u202e\r\nb\tc"

// Lists and dead letters showed some of what others had written as it was: the
// names of a batch and of a kind went to the terminal with their escapes, and
// line breaks made up lines.
func TestTerminalsWereSentWhatOthersWrote(t *testing.T) {
	t.Parallel()
	var list, letter bytes.Buffer
	rows := newTable(&list)
	rows.row("BATCH", "KIND")
	rows.row(forged, jobs.Kind(forged))
	if err := rows.flush(); err != nil {
		t.Fatal(err)
	}
	if got, want := list.String(), "BATCH  KIND\na b c  a b c\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	attempts := []jobs.Attempt{{Model: forged, Kind: forged, Billing: forged, Message: forged, Step: forged}}
	showLetter(&letter, &jobs.DeadLetter{Outcome: &jobs.Outcome{
		CustomID: forged, Source: forged, Job: forged, Batch: forged, Kind: forged, Reason: forged, Attempts: attempts,
		Skipped:  []jobs.Skip{{Model: forged, Why: forged}},
		Rejected: []jobs.Rejection{{Model: forged, Step: forged, Answer: forged, Flaws: []jobs.Flaw{{Check: forged, At: forged, Near: forged, Message: forged}}}},
	}, Job: &jobs.Job{}}, attempts)
	if got := letter.String(); strings.ContainsAny(got, "\x1b\x07\r\u202e") || strings.Contains(got, "\nb") {
		t.Errorf("%q", got)
	}
}
