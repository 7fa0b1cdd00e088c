package wire

import (
	"runtime"
	"testing"
)

func TestSmallHeapsAreCollectedLessOften(t *testing.T) {
	t.Parallel()
	for live, want := range map[uint64]int{0: 3100, 1 << 20: 3100, 4 << 20: 700, 16 << 20: 100, 200 << 20: 100} {
		if got := percentFor(live); got != want {
			t.Errorf("%d live bytes: GOGC %d, want %d", live, got, want)
		}
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
