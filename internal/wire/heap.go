package wire

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
)

// leastHeap is how large the heap grows before garbage is collected. A worker
// holds little: with Go's own rule, when the heap has doubled, it would collect
// many times a second. From half of it on that rule holds.
const leastHeap = 32 << 20

// SpareCollector lets the process collect garbage less often while it holds
// little, for good: 32 MiB are given away for a tenth of the CPU. It does
// nothing where GOGC is set. It is to be called once, by main.
func SpareCollector() {
	if os.Getenv("GOGC") == "" {
		afterEach(func() { debug.SetGCPercent(percentFor(liveHeap())) })
	}
}

// percentFor is the GOGC that has a heap with so many live bytes collected no
// earlier than at leastHeap.
func percentFor(live uint64) int {
	return max(100, int(100*leastHeap/max(live, leastHeap/32))-100)
}

func liveHeap() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// afterEach calls f now and after every collection, which is when the runtime
// finds that nobody holds the mark any more.
func afterEach(f func()) {
	f()
	mark := &struct{ self *byte }{new(byte)}
	runtime.AddCleanup(mark, afterEach, f)
}
