package documents

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// stuck is a PDF reader that finds no end.
type stuck struct{ closed bool }

func (*stuck) read(ctx context.Context, _ *blob, _ int) ([]string, error) {
	<-ctx.Done()
	return nil, fmt.Errorf("in the middle of something: %w", ctx.Err())
}

func (s *stuck) close() { s.closed = true }

func TestAPDFThatTakesTooLongIsNamed(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"a.pdf": "%PDF-1.7\n", "b.txt": "goes on"})
	synctest.Test(t, func(t *testing.T) {
		var got []string
		engine, none, begun := &stuck{}, "", time.Now()
		w := &walk{config: &Config{MaxBody: 100}, ctx: t.Context(), ids: newRegister(), ahead: newAhead(t.Context())}
		reader := &pdfReader{program: &none, engine: engine}
		w.ahead.pdfs.free = []*pdfReader{reader}
		w.yield = func(it Item, p *Problem) bool {
			if p != nil {
				got = append(got, p.Reason+"; "+p.Fix)
				if !engine.closed || reader.engine != nil {
					t.Error("the next file would be read by what is stuck")
				}
			} else {
				got = append(got, it.CustomID)
			}
			return true
		}
		w.run([]string{dir})
		want := []string{"took longer than 1m0s to read; print it to a new PDF file, or leave it out", "b.txt"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if took := time.Since(begun); took != pdfTimeout {
			t.Errorf("took %s", took)
		}
	})
}

func TestAProgramThatWritesOnAndOnIsEnded(t *testing.T) {
	t.Parallel()
	program := filepath.Join(t.TempDir(), "pdftotext")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho begun\nexec tail -f /dev/null\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := pdfToText(t.Context(), program, "a.pdf", 3); !errors.Is(err, errLarge) {
		t.Error(err)
	}
}
