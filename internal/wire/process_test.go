package wire

import (
	"context"
	"errors"
	"os"
	"testing"
)

// Not in parallel: the signals are the process's.
func TestFirstSignalEndsTakingAndTheSecondWorking(t *testing.T) {
	nth := make(chan int)
	taking, working, release := StopOnSignals(t.Context(), func(n int) { nth <- n })
	defer release()
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for want, ends := range []context.Context{taking, working} {
		if working.Err() != nil || ends.Err() != nil {
			t.Fatalf("after %d signals taking is %v and working %v", want, taking.Err(), working.Err())
		}
		if err := self.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		if got := <-nth; got != want+1 {
			t.Errorf("signal %d is told as the %d.", want+1, got)
		}
		<-ends.Done()
		if !errors.Is(context.Cause(ends), ErrStopped) {
			t.Errorf("signal %d: %v", want+1, context.Cause(ends))
		}
	}
}
