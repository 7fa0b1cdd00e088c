package wire

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"sync"

	"github.com/drover-batch/drover/documents"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/queue"
)

// tallyFile is where in the data folder embedded servers keep what the book
// came to when it was last added up.
const tallyFile = "tally.json"

// tallyFormat is another one whenever a tally holds something else than before.
const tallyFormat = 1

// tally is what the book comes to, so that it need not be added up at each look
// while nothing happens. It counts for the one state of the book that it was
// made of.
type tally struct {
	path  string
	mu    sync.Mutex
	added bool // something that the file has not

	Format  int                              `json:"format"`
	Mark    string                           `json:"mark"`
	Whole   bool                             `json:"whole"` // Batches are all there are
	Batches map[string][]jobs.Spend          `json:"batches"`
	Ends    map[string]map[jobs.Status]int64 `json:"ends"`
}

// openTally reads the file. One that is not as it was written counts for
// nothing.
func openTally(folder string) *tally {
	t := &tally{path: filepath.Join(folder, tallyFile)}
	data, err := os.ReadFile(t.path)
	if err != nil || len(data) < 2*sha256.Size || checksum(data[2*sha256.Size:]) != string(data[:2*sha256.Size]) ||
		json.Unmarshal(data[2*sha256.Size:], t) != nil || t.Format != tallyFormat {
		t.Mark = ""
	}
	t.Format = tallyFormat
	return t
}

func checksum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// save writes the file, for the next process, which adds up the book itself if
// it cannot be written.
func (t *tally) save() {
	if !t.added {
		return
	}
	data, err := json.Marshal(t)
	if err != nil {
		return
	}
	_ = documents.WriteAtomically(t.path, func(w io.Writer) error {
		_, err := w.Write(append([]byte(checksum(data)), data...))
		return err
	})
}

// of is what the book has of a batch, or of all if it is empty.
func (t *tally) of(ctx context.Context, q *queue.Queue, batch string) ([]jobs.Spend, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.catchUp(ctx, q); err != nil {
		return nil, err
	}
	known, ok := t.Batches[batch]
	switch {
	case batch == "" && t.Whole:
		var all []jobs.Spend
		for _, some := range t.Batches {
			all = append(all, some...)
		}
		return all, nil
	case batch != "" && (ok || t.Whole):
		return known, nil
	}
	totals, err := q.Totals(ctx, batch)
	if err != nil {
		return nil, err
	}
	if mark, err := q.BookMark(ctx); err != nil || mark != t.Mark { // it has changed meanwhile
		return totals, err
	}
	t.added = true
	if batch != "" {
		t.Batches[batch] = totals
		return totals, nil
	}
	t.Whole, t.Batches = true, map[string][]jobs.Spend{}
	for _, s := range totals {
		t.Batches[s.Batch] = append(t.Batches[s.Batch], s)
	}
	return totals, nil
}

// catchUp forgets what is not so any more.
func (t *tally) catchUp(ctx context.Context, q *queue.Queue) error {
	mark, err := q.BookMark(ctx)
	if err == nil && t.Mark != mark {
		t.Mark, t.Whole, t.Batches, t.Ends = mark, false, map[string][]jobs.Spend{}, map[string]map[jobs.Status]int64{}
	}
	return err
}

// ends counts the outcomes of a batch by how their jobs ended.
func (t *tally) ends(ctx context.Context, q *queue.Queue, batch string) (map[jobs.Status]int64, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.catchUp(ctx, q); err != nil {
		return nil, err
	}
	if known, ok := t.Ends[batch]; ok {
		return known, nil
	}
	ends, err := q.Ends(ctx, batch)
	if err != nil {
		return nil, err
	}
	if mark, err := q.BookMark(ctx); err != nil || mark != t.Mark {
		return ends, err
	}
	t.added, t.Ends[batch] = true, ends
	return ends, nil
}

// book is the book as the tally has it.
func (t *tally) book(ctx context.Context, q *queue.Queue) iter.Seq2[jobs.Spend, error] {
	return func(yield func(jobs.Spend, error) bool) {
		totals, err := t.of(ctx, q, "")
		if err != nil {
			yield(jobs.Spend{}, err)
			return
		}
		for i, s := range totals {
			s.Call = fmt.Sprint("tally:", i)
			if !yield(s, nil) {
				return
			}
		}
	}
}
