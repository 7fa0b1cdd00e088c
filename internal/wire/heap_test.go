package wire

import (
	"runtime"
	"testing"
	"time"
)

func TestSmallHeapsAreCollectedLessOften(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		live, garbage uint64
		want          int
	}{
		{0, 1 << 30, 12800}, {1 << 20, 1 << 30, 12700}, {4 << 20, 1 << 30, 3100}, {16 << 20, 1 << 30, 700}, // busy
		{0, 0, 3200}, {1 << 20, 0, 3100}, {4 << 20, 0, 700}, {16 << 20, 0, 100}, // at rest
		{16 << 20, 48 << 20, 300}, {200 << 20, 1 << 30, 100},
	} {
		if got := percent(heap{live: c.live}, c.garbage, busyHeap); got != c.want {
			t.Errorf("%d live bytes and %d of garbage in a second: GOGC %d, want %d", c.live, c.garbage, got, c.want)
		}
	}
}

func TestHeapGrowsOnlyWhileMuchGarbageKeepsComing(t *testing.T) {
	t.Parallel()
	h := heap{live: 16 << 20, roots: 24 << 20}
	for n, garbage := range []uint64{1 << 30, 1 << 30, 1 << 30} { // a thousand connections are made
		h.room = h.roomFor(garbage, h.room)
		if h.room > 51<<20 {
			t.Errorf("after %d collections there is room for %d bytes, want hardly more than the 40 MiB of Go's own rule", n+1, h.room)
		}
	}
	for range 20 {
		h.room = h.roomFor(1<<30, h.room)
	}
	if want := uint64(busyHeap - 16<<20); h.room != want {
		t.Errorf("kept busy there is room for %d bytes, want %d", h.room, want)
	}
	if h.room = h.roomFor(20<<20, h.room); h.room != 20<<20 {
		t.Errorf("with 20 MiB a second there is room for %d bytes, want those", h.room)
	}
}

func TestLargeHeapsAreCollectedOnceASecond(t *testing.T) {
	t.Parallel()
	began := time.Now()
	before := heap{at: began, live: 90 << 20, roots: 10 << 20, made: 1 << 30}
	for made, want := range map[uint64]int{ // in half a second
		5 << 20: 10, 25 << 20: 50, 50 << 20: 100, 500 << 20: 100,
	} {
		after := before
		after.at, after.made = began.Add(collectEvery/2), before.made+made
		if got := percent(after, after.garbage(before), 0); got != want {
			t.Errorf("%d bytes in half a second: GOGC %d, want %d", made, got, want)
		}
	}
	dear := before
	dear.at, dear.made, dear.spent = began.Add(time.Second), before.made+10<<20, 200*time.Millisecond
	if got := percent(dear, dear.garbage(before), 0); got != 50 {
		t.Errorf("10 MiB a second, a collection of 200 ms: GOGC %d, want 50, one in five seconds", got)
	}
	if got := percent(before, before.garbage(heap{}), 0); got != 100 {
		t.Errorf("nothing known of the pace: GOGC %d, want 100", got)
	}
}

func percent(h heap, garbage, before uint64) int {
	h.room = h.roomFor(garbage, before)
	return h.percent()
}

func TestEveryCollectionIsNoticed(t *testing.T) {
	t.Parallel()
	noticed := make(chan struct{}, 1000)
	afterEach(func() {
		select {
		case noticed <- struct{}{}:
		default:
		}
	})
	for range 4 {
		<-noticed
		runtime.GC()
	}
}
