package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drover-batch/drover/documents"
)

func TestLongCommandsSayHowFarTheyHaveCome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var told, got []int
		twelve := func(yield func(int, error) bool) {
			for i := range 12 {
				if !yield(i, nil) {
					return
				}
			}
		}
		for v := range soFar(twelve, func(done int) { told = append(told, done) }) {
			got = append(got, v)
			time.Sleep(time.Second) // of work
		}
		if !slices.Equal(told, []int{5, 10}) || len(got) != 12 {
			t.Errorf("of %v it told %v", got, told)
		}
	})
}

// Cancelling a million documents said nothing for 42 seconds.
func TestCommandThatWaitsSaysHowFarThatHasCome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		told, broken := 0, errors.New("broken")
		err := meanwhile(func() error { time.Sleep(12 * time.Second); return broken }, func() { told++ })
		if told != 2 || !errors.Is(err, broken) {
			t.Errorf("it told %d times, then %v", told, err)
		}
	})
}

// Submitting a million lines said nothing for 21 seconds, a folder of PDFs for
// minutes.
func TestReadingSaysHowFarItHasComeWhereNoDisplayDoes(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	for i := range 4 {
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("%d.txt", i)), []byte("text"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	reader, err := documents.NewReader(documents.Config{})
	if err != nil {
		t.Fatal(err)
	}
	prompt, err := documents.ParsePrompt("Sum it up: {{.Text}}", "")
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		var told []string
		f := &feeder{input: &input{paths: []string{folder}}, prompt: prompt, reader: reader, say: func(format string, args ...any) { told = append(told, fmt.Sprintf(format, args...)) }}
		for _, shown := range []bool{true, false} {
			f.shown = shown
			for range f.read(t.Context()) {
				time.Sleep(2 * time.Second) // of storing
			}
		}
		if want := []string{"3 documents read so far"}; !slices.Equal(told, want) {
			t.Errorf("it told %q, want %q", told, want)
		}
	})
}
