//go:build unix

package main

import (
	"syscall"
	"testing"
)

func TestWorkerThatIsStoppedWhileItBeginsExitsWithZero(t *testing.T) {
	b := begin(t)
	if err := syscall.Kill(syscall.Getpid(), syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := <-b.ended; code != 0 {
		t.Errorf("it ended with %d", code)
	}
}
