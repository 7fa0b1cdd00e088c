package wire

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// digest is a world's ledger in a few letters: the calls that the provider
// noted and the outcomes that were stored, both with their times to the
// millisecond, and what was wasted.
func (w *world) digest(began time.Time) string {
	var lines []string
	at := func(t time.Time) time.Duration { return t.Sub(began).Round(time.Millisecond) }
	for _, e := range w.provider.Ledger(0) {
		lines = append(lines, fmt.Sprint("call ", w.provider.jobs[e.Prompt], " ", e.Model, e.Status, e.Fault, e.Billed, e.Delivered, " ", at(e.At)))
	}
	for batch := range w.accepted {
		for id, o := range w.outcomes(batch) {
			lines = append(lines, fmt.Sprint("outcome ", batch, "/", id, " ", o.Run, o.Status, o.Model, o.Kind, o.Cost, len(o.Attempts), " ", at(o.Finished)))
		}
		for id, attempts := range w.wastes(batch, false) {
			cost := jobs.USD(0)
			for _, a := range attempts {
				cost += a.Cost
			}
			lines = append(lines, fmt.Sprint("waste ", id, len(attempts), cost))
		}
	}
	slices.Sort(lines)
	h := fnv.New64a()
	_, _ = h.Write([]byte(strings.Join(lines, "\n")))
	return fmt.Sprintf("%016x", h.Sum64())
}
