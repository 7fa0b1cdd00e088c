package wire

import (
	"errors"
	"testing"
)

// What was made of one batch's prompt or schema was made while all others
// waited, and once more for each job where it failed.
func TestWhatTakesLongForOneBatchHeldUpTheOthers(t *testing.T) {
	t.Parallel()
	var kept perBatch[int]
	begun, wanted := make(chan struct{}), make(chan struct{})
	broken := errors.New("broken")
	slow := func() (int, error) { close(begun); <-wanted; return 0, broken } // would panic if it were begun again
	failed := make(chan error)
	go func() {
		_, err := kept.of("slow", slow)
		failed <- err
	}()
	<-begun
	if made, err := kept.of("quick", func() (int, error) { return 1, nil }); made != 1 || err != nil {
		t.Errorf("got %d, %v", made, err)
	}
	close(wanted)
	if err := <-failed; !errors.Is(err, broken) {
		t.Error(err)
	}
	if _, err := kept.of("slow", slow); !errors.Is(err, broken) {
		t.Errorf("asked again: %v", err)
	}
}
