package wire

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// leastHeap is how large the heap grows before garbage is collected. A worker
// holds little: with Go's own rule, when the heap has doubled, it would collect
// many times a second.
const leastHeap = 32 << 20

// Garbage is collected every collectEvery where Go's rule would let more of it
// gather, but for no more than a mostOfCore-th of a core: a worker with a
// thousand slow calls in flight makes little of it, and a collection a second
// costs it next to nothing.
const (
	collectEvery = time.Second
	mostOfCore   = 25
)

// SpareCollector lets the process collect garbage less often while it holds
// little, for good: 32 MiB are given away for a tenth of the CPU; and more often
// while it holds much and makes little garbage. It does nothing where GOGC is
// set. It is to be called once, by main.
func SpareCollector() {
	if os.Getenv("GOGC") != "" {
		return
	}
	var last heap
	afterEach(func() {
		now := lookAtHeap()
		debug.SetGCPercent(now.percent(now.garbage(last)))
		last = now
	})
}

// heap is the state of the heap after a collection, in bytes.
type heap struct {
	at    time.Time
	live  uint64
	roots uint64        // stacks and globals, which Go's rule counts as live
	made  uint64        // all that was ever allocated
	spent time.Duration // CPU that all collections took which something else could have used
}

// garbage is how much gathers until the next collection should be, at the pace
// since the last; the most that there is before the first.
func (h heap) garbage(last heap) uint64 {
	took := h.at.Sub(last.at)
	if last.at.IsZero() || took <= 0 {
		return h.live + h.roots
	}
	next := max(collectEvery, mostOfCore*(h.spent-last.spent))
	return uint64(float64(h.made-last.made) * next.Seconds() / took.Seconds())
}

// percent is the GOGC that lets so much garbage gather: no more than Go's own
// rule would, and more where the heap would not even come to leastHeap.
func (h heap) percent(garbage uint64) int {
	rule := max(h.live+h.roots, leastHeap/32)
	room := min(garbage, rule)
	if h.live+room < leastHeap {
		room = leastHeap - h.live
	}
	return int(100 * room / rule)
}

func lookAtHeap() heap {
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"}, {Name: "/gc/scan/stack:bytes"}, {Name: "/gc/scan/globals:bytes"}, {Name: "/gc/heap/allocs:bytes"},
		{Name: "/cpu/classes/gc/total:cpu-seconds"}, {Name: "/cpu/classes/gc/mark/idle:cpu-seconds"},
	}
	metrics.Read(samples)
	spent := samples[4].Value.Float64() - samples[5].Value.Float64()
	return heap{
		at: time.Now(), live: samples[0].Value.Uint64(),
		roots: samples[1].Value.Uint64() + samples[2].Value.Uint64(), made: samples[3].Value.Uint64(),
		spent: time.Duration(spent * float64(time.Second)),
	}
}

// afterEach calls f now and after every collection, which is when the runtime
// finds that nobody holds the mark any more.
func afterEach(f func()) {
	f()
	mark := &struct{ self *byte }{new(byte)}
	runtime.AddCleanup(mark, afterEach, f)
}
