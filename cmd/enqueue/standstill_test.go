package main

import (
	"testing"

	"github.com/drover-batch/drover/jobs"
)

func TestStandstillIsToldOnceUntilTheBatchGoesOn(t *testing.T) {
	t.Parallel()
	var l standstill
	looks := func(n int, p jobs.Progress) (told int) {
		for range n {
			if l.lasts(&standing{Progress: p, Done: p.Done()}) {
				told++
			}
		}
		return told
	}
	for _, step := range []struct {
		p    jobs.Progress
		want int
	}{
		{jobs.Progress{State: jobs.Live, Total: 9, Queued: 5, Running: 2}, 1},
		{jobs.Progress{State: jobs.Live, Total: 9, Queued: 4, Running: 2}, 1},
		{jobs.Progress{State: jobs.Paused, Total: 9, Queued: 4, Running: 2}, 0},
		{jobs.Progress{State: jobs.Enqueueing, Total: 9}, 0},
	} {
		if told := looks(3*still, step.p); told != step.want {
			t.Errorf("of %+v it was told %d times", step.p, told)
		}
	}
}
