package wire

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/queue"
)

// lettersOf are dead letters of these batches, of jobs called 0, 1, 2 and so on.
func lettersOf(batches ...string) iter.Seq2[*jobs.DeadLetter, error] {
	return func(yield func(*jobs.DeadLetter, error) bool) {
		for i, batch := range batches {
			if !yield(&jobs.DeadLetter{Job: &jobs.Job{CustomID: fmt.Sprint(i), Batch: batch}}, nil) {
				return
			}
		}
	}
}

// Of all letters, those behind the first of a cancelled batch were never
// replayed.
func TestLettersOfACancelledBatchKeepNoOthersFromTheirReplay(t *testing.T) {
	t.Parallel()
	ends := map[string]error{"gone": queue.ErrCancelled, "late": queue.ErrPastDeadline}
	letters := lettersOf("good", "gone", "late", "gone", "good")
	var mu sync.Mutex
	var replayed []string
	n, err := EachLetter(letters, func(l *jobs.DeadLetter) error {
		if end := ends[l.Job.Batch]; end != nil {
			return fmt.Errorf("replaying: %w", end)
		}
		mu.Lock()
		defer mu.Unlock()
		replayed = append(replayed, l.Job.CustomID)
		return nil
	})
	slices.Sort(replayed)
	if want := []string{"0", "4"}; n != 2 || !slices.Equal(replayed, want) {
		t.Errorf("%d, %q are replayed, want %q", n, replayed, want)
	}
	said := fmt.Sprint(err)
	for _, want := range []string{"2 dead letters of batch gone left as before: it was cancelled", "1 dead letter of batch late left as before: the batch's deadline"} {
		if !strings.Contains(said, want) {
			t.Errorf("got %q, want %q in it", said, want)
		}
	}
	broken := errors.New("NATS is away")
	if n, err := EachLetter(letters, func(*jobs.DeadLetter) error { return broken }); n != 0 || !errors.Is(err, broken) {
		t.Errorf("%d, %v", n, err)
	}
}

// One after the other, 925 letters took half a minute.
func TestLettersDoNotWaitForOneAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const total = 100
		letters := lettersOf(slices.Repeat([]string{"contracts"}, total)...)
		var now, most atomic.Int64
		began := time.Now()
		n, err := EachLetter(letters, func(*jobs.DeadLetter) error {
			most.Store(max(most.Load(), now.Add(1)))
			defer now.Add(-1)
			time.Sleep(time.Second)
			return nil
		})
		if took := time.Since(began); n != total || err != nil || took > 4*time.Second || most.Load() > abreast {
			t.Errorf("%d letters, %v, after %v, %d at a time", n, err, took, most.Load())
		}
	})
}
