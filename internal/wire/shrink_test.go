package wire

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/drover-batch/drover/internal/apart"
)

// shrinkFor bounds how long a failing schedule is made smaller.
const shrinkFor = time.Minute

// shrink takes faults away, one after the other, as long as the rest of them
// fails; left are their numbers. It gives up at the deadline.
func shrink(left []int, deadline time.Time, fails func(left []int) bool) []int {
	for again := true; again; {
		again = false
		for i := len(left) - 1; i >= 0; i-- {
			if time.Now().After(deadline) {
				return left
			}
			if fewer := slices.Delete(slices.Clone(left), i, i+1); fails(fewer) {
				left, again = fewer, true
			}
		}
	}
	return left
}

// apartFrom plays a schedule in a process of its own and, if it fails, smaller
// ones until none is left that fails. It returns what the smallest one said.
func (s *schedule) apartFrom(t *testing.T) (said string, err error) {
	t.Helper()
	play := func(left []int) (string, error) {
		return apart.Run(t, fmt.Sprint("-seeds=", *seeds), "-seed="+strconv.FormatUint(s.seed, 10), "-without="+s.others(left), "-test.timeout=2m")
	}
	all := s.numbers()
	if said, err = play(all); err == nil {
		return said, nil
	}
	left := shrink(all, time.Now().Add(shrinkFor), func(left []int) bool {
		text, failed := play(left)
		if failed != nil {
			said, err = text, failed
		}
		return failed != nil
	})
	return fmt.Sprintf("the smallest schedule that failed has %d of %d faults; play it again with\n  go test ./internal/wire -run %s -seed %d -without %q\n%s",
		len(left), len(all), strings.Split(t.Name(), "/")[0], s.seed, s.others(left), said), err
}

// numbers are those of the faults that are not left out.
func (s *schedule) numbers() (all []int) {
	for i := range s.faults {
		if !s.faults[i].out {
			all = append(all, i)
		}
	}
	return all
}

// others are the numbers of all faults but these, for -without.
func (s *schedule) others(left []int) string {
	var out []string
	for i := range s.faults {
		if !slices.Contains(left, i) {
			out = append(out, strconv.Itoa(i))
		}
	}
	return strings.Join(out, ",")
}

// leaveOut keeps the faults of these numbers from happening.
func (s *schedule) leaveOut(numbers string) *schedule {
	for i := range s.faults {
		s.faults[i].out = s.faults[i].out || slices.Contains(strings.Split(numbers, ","), strconv.Itoa(i))
	}
	return s
}

func TestFailingScheduleIsShrunk(t *testing.T) {
	s := draw(4)
	if apart.Inside(t) { // it fails if two certain faults happen
		if left := s.leaveOut(*without).numbers(); slices.Contains(left, 0) && slices.Contains(left, 2) {
			t.Errorf("a planted objection:\n%s", s)
		}
		return
	}
	t.Parallel()
	if len(s.faults) < 5 {
		t.Fatalf("a schedule of more faults is needed than\n%s", s)
	}
	said, err := s.apartFrom(t)
	if err == nil {
		t.Fatalf("the planted objection was not raised:\n%s", said)
	}
	for _, words := range []string{"has 2 of " + strconv.Itoa(len(s.faults)) + " faults", `-seed 4 -without "1,3`, "a planted objection", "  0: ", "  2: "} {
		if !strings.Contains(said, words) {
			t.Errorf("the report lacks %q:\n%s", words, said)
		}
	}
	if strings.Contains(said, "  1: ") {
		t.Errorf("the report tells of faults that do not matter:\n%s", said)
	}
}

func TestShrinkingEndsInTime(t *testing.T) {
	t.Parallel()
	tried := 0
	left := shrink([]int{0, 1, 2, 3}, time.Now().Add(-time.Second), func([]int) bool { tried++; return true })
	if len(left) != 4 || tried != 0 {
		t.Errorf("%d are left after %d tries past the deadline", len(left), tried)
	}
}
