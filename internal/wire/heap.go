package wire

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// The heap may grow to leastHeap before garbage is collected, and to busyHeap
// where that much garbage gathers within collectEvery, time and again: it gets
// there by a slower-th at each collection. A worker holds little: with Go's own
// rule, when the heap has doubled, it would collect many times a second.
const (
	leastHeap = 32 << 20
	busyHeap  = 128 << 20
	slower    = 8
)

// Garbage is collected every collectEvery where Go's rule would let more of it
// gather, but for no more than a mostOfCore-th of a core: a worker with a
// thousand slow calls in flight makes little of it, and a collection a second
// costs it next to nothing.
const (
	collectEvery = time.Second
	mostOfCore   = 25
)

// SpareCollector lets the process collect garbage less often while it holds
// little, for good: up to 128 MiB are given away for a fifth of the CPU; and more
// often while it holds much and makes little garbage. It does nothing where GOGC is
// set. It is to be called once, by main.
func SpareCollector() {
	if os.Getenv("GOGC") != "" {
		return
	}
	var last heap
	afterEach(func() {
		now := lookAtHeap()
		now.room = now.roomFor(now.garbage(last), last.room)
		debug.SetGCPercent(now.percent())
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
	room  uint64        // for garbage, until the next
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

// roomFor is how much garbage may gather: no more than Go's own rule would let,
// or the heap has room for below busyHeap, to which the room before grows; and
// more where the heap would not even come to leastHeap.
func (h heap) roomFor(garbage, before uint64) uint64 {
	busy := min(below(busyHeap, h.live), before+before/slower)
	return max(min(garbage, max(h.rule(), busy)), below(leastHeap, h.live))
}

// rule is how much garbage Go lets gather with a GOGC of 100.
func (h heap) rule() uint64 { return max(h.live+h.roots, leastHeap/32) }

// percent is the GOGC that makes this room.
func (h heap) percent() int { return int(100 * h.room / h.rule()) }

// below is how far a heap of live bytes is below size.
func below(size, live uint64) uint64 { return max(size, live) - live }

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
