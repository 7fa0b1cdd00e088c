package pool

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestCrewUsesItsGoroutinesAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrew()
		var ran atomic.Int64
		for range 3 {
			for range 10 {
				c.run(func() { time.Sleep(time.Second); ran.Add(1) })
			}
			time.Sleep(2 * time.Second)
		}
		c.run(func() { time.Sleep(time.Minute); ran.Add(1) })
		c.dismiss()
		c.wait()
		if got := ran.Load(); got != 31 {
			t.Errorf("%d functions ran, want 31", got)
		}
	})
}

func BenchmarkCrewStacks(b *testing.B) {
	deep := func() { grow(64) }
	b.Run("again", func(b *testing.B) {
		c := newCrew()
		for b.Loop() {
			done := make(chan struct{})
			c.run(func() { deep(); close(done) })
			<-done
		}
		c.dismiss()
		c.wait()
	})
	b.Run("anew", func(b *testing.B) {
		for b.Loop() {
			done := make(chan struct{})
			go func() { deep(); close(done) }()
			<-done
		}
	})
}

//go:noinline
func grow(n int) byte {
	var frame [256]byte
	if n > 0 {
		frame[n] = grow(n - 1)
	}
	return frame[n]
}
