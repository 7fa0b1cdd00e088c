package wire

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"

	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/queue"
)

// abreast is how many letters are seen to at a time. Each takes several writes
// that the broker has to have on disk one after the other; those of many go
// together.
const abreast = 64

// EachLetter does something to dead letters, several at a time, and returns to how
// many. Those of a batch that was cancelled, or whose deadline has gone by, and
// those that somebody else replays otherwise, keep none of the others from it, and
// are told of at the end.
func EachLetter(letters iter.Seq2[*jobs.DeadLetter, error], do func(*jobs.DeadLetter) error) (int, error) {
	seen := letterCount{stay: map[string]int64{}, why: map[string]error{}, taken: map[string]int64{}}
	free := make(chan struct{}, abreast)
	var busy sync.WaitGroup
	for l, err := range letters {
		if err != nil {
			seen.note("", err)
		}
		if seen.failed() {
			break
		}
		free <- struct{}{}
		busy.Go(func() {
			seen.note(l.Job.Batch, do(l))
			<-free
		})
	}
	busy.Wait()
	return seen.done, seen.err()
}

// letterCount is what has become of letters.
type letterCount struct {
	mu     sync.Mutex
	done   int
	stay   map[string]int64 // by batch
	why    map[string]error
	taken  map[string]int64 // replayed otherwise by somebody else
	broken error
}

func (c *letterCount) note(batch string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case errors.Is(err, queue.ErrCancelled):
		c.stay[batch]++
		c.why[batch] = errors.New("it was cancelled")
	case errors.Is(err, queue.ErrPastDeadline):
		c.stay[batch]++
		c.why[batch] = queue.ErrPastDeadline
	case errors.Is(err, queue.ErrReplayedOtherwise):
		c.taken[batch]++
	case err != nil:
		c.broken = cmp.Or(c.broken, err)
	default:
		c.done++
	}
}

func (c *letterCount) failed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.broken != nil
}

// err is what kept letters as they were.
func (c *letterCount) err() error {
	kept := []error{c.broken}
	for _, batch := range slices.Sorted(maps.Keys(c.stay)) {
		kept = append(kept, fmt.Errorf("%s of batch %s left as before: %w", jobs.Counted(c.stay[batch], "dead letter"), batch, c.why[batch]))
	}
	for _, batch := range slices.Sorted(maps.Keys(c.taken)) {
		kept = append(kept, fmt.Errorf("%s of batch %s: %w", jobs.Counted(c.taken[batch], "dead letter"), batch, queue.ErrReplayedOtherwise))
	}
	return errors.Join(kept...)
}
