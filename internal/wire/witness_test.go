package wire

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// witness takes down what a world objects to, where a test would fail.
type witness struct {
	testing.TB
	mu   sync.Mutex
	said []string
}

func (w *witness) note(text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = append(w.said, strings.TrimSpace(text))
}

func (w *witness) Failed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.said) > 0
}

func (w *witness) Fail()                     { w.note("it failed") }
func (w *witness) FailNow()                  { w.Fatal("it failed") }
func (w *witness) Error(args ...any)         { w.note(fmt.Sprintln(args...)) }
func (w *witness) Errorf(f string, a ...any) { w.note(fmt.Sprintf(f, a...)) }
func (w *witness) Fatalf(f string, a ...any) { w.Fatal(fmt.Sprintf(f, a...)) }
func (w *witness) Log(...any)                {}
func (w *witness) Logf(string, ...any)       {}

func (w *witness) Fatal(args ...any) {
	w.note(fmt.Sprintln(args...))
	runtime.Goexit()
}

// watch plays a scene before a witness, and returns what was objected to and
// how often the protocol was wrong.
func (s scene) watch(t *testing.T, f func(w *world), told func(objections []string, mistakes int64)) {
	t.Helper()
	s.stage(t, func(w *world) {
		saw := &witness{TB: w.TB}
		w.TB, w.broker.TB = saw, saw
		over := make(chan struct{})
		go func() { // which Fatal may end
			defer close(over)
			s.live(w, f)
		}()
		<-over
		told(saw.said, w.mistaken.Load())
	})
}
