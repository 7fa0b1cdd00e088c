package main

import (
	"testing"

	"github.com/drover-batch/drover/jobs"
)

// A conversation that an earlier process began was counted in what the batch had
// cost before.
func TestProgressCountsEachCallOnce(t *testing.T) {
	t.Parallel()
	var sum tally
	sum.cost = 5
	sum.outcome(&jobs.Outcome{Run: 2, Worker: "now", Attempts: []jobs.Attempt{
		{Run: 1, Worker: "now", Cost: 1}, {Run: 2, Worker: "before", Cost: 4}, {Run: 2, Worker: "now", Cost: 20},
	}})
	if sum.cost != 25 {
		t.Errorf("it counts %v", sum.cost)
	}
}
