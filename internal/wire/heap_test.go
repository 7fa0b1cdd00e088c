package wire

import (
	"runtime"
	"testing"
	"time"
)

func TestSmallHeapsAreCollectedLessOften(t *testing.T) {
	t.Parallel()
	for live, want := range map[uint64]int{0: 3200, 1 << 20: 3100, 4 << 20: 700, 16 << 20: 100, 200 << 20: 100} {
		if got := (heap{live: live}).percent(1 << 30); got != want {
			t.Errorf("%d live bytes: GOGC %d, want %d", live, got, want)
		}
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
		if got := after.percent(after.garbage(before)); got != want {
			t.Errorf("%d bytes in half a second: GOGC %d, want %d", made, got, want)
		}
	}
	dear := before
	dear.at, dear.made, dear.spent = began.Add(time.Second), before.made+10<<20, 200*time.Millisecond
	if got := dear.percent(dear.garbage(before)); got != 50 {
		t.Errorf("10 MiB a second, a collection of 200 ms: GOGC %d, want 50, one in five seconds", got)
	}
	if got := before.percent(before.garbage(heap{})); got != 100 {
		t.Errorf("nothing known of the pace: GOGC %d, want 100", got)
	}
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
