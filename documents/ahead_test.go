package documents

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// engine takes a while for each PDF file, by its name, and counts how many are
// read at once.
type engine struct{ now, most *atomic.Int32 }

func (e engine) read(ctx context.Context, b *blob, _ int) ([]string, error) {
	if n := e.now.Add(1); n > e.most.Load() {
		e.most.Store(n)
	}
	defer e.now.Add(-1)
	took := time.Second
	if strings.Contains(b.path, "long") {
		took = 10 * time.Second
	}
	select {
	case <-time.After(took):
		return []string{"the text of " + filepath.Base(b.path)}, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (engine) close() {}

// side is a walk with so many PDF readers side by side.
func side(ctx context.Context, readers int) (*walk, *atomic.Int32) {
	w := &walk{config: &Config{MaxBody: 1 << 20}, ctx: ctx, ids: newRegister(), ahead: newAhead(ctx)}
	w.ahead.pdfs.free, w.ahead.most = nil, 2*readers
	var now, most atomic.Int32
	for range readers {
		none := ""
		w.ahead.pdfs.put(&pdfReader{program: &none, engine: engine{&now, &most}})
	}
	return w, &most
}

func TestSlowFilesAreReadSideBySideAndHandedOverInOrder(t *testing.T) {
	t.Parallel()
	pdf := "%PDF-1.7\n"
	dir := folder(t, map[string]string{
		"01-long.pdf": pdf, "02.pdf": pdf, "03.txt": "text", "04.pdf": pdf, "05.pdf": "no PDF", "06.eml": "mail", "07.csv": "a\n1\n2\n",
		"08.pdf": pdf, "09-long.pdf": pdf, "10/11.pdf": pdf, "10/12.pdf": pdf, "13.html": "<p>text</p>", "14.txt": "",
	})
	if err := os.Symlink(dir, filepath.Join(dir, "15.pdf")); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		w, most := side(t.Context(), 3)
		var got []string
		w.yield = func(it Item, p *Problem) bool {
			if p != nil {
				rel, _ := filepath.Rel(dir, p.Source)
				it.CustomID = rel + ": " + p.Reason
			}
			got = append(got, it.CustomID)
			return true
		}
		begun := time.Now()
		w.run([]string{dir})
		want := []string{
			"01-long.pdf", "02.pdf", "03.txt", "04.pdf", "05.pdf: is called .pdf and is no PDF file", "06.eml: is mail", "07.csv:2", "07.csv:3",
			"08.pdf", "09-long.pdf", "10/11.pdf", "10/12.pdf", "13.html", "14.txt: is empty", "15.pdf: is a link to a folder, which is not followed",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if took := time.Since(begun); took != 20*time.Second || most.Load() != 3 { // 25 s one after the other
			t.Errorf("took %s, %d at once", took, most.Load())
		}
	})
}

func TestADocumentReadAheadTwiceIsNamedOnce(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"a.pdf": "%PDF-1.7\n", "b.pdf": "%PDF-1.7\n"})
	synctest.Test(t, func(t *testing.T) {
		w, _ := side(t.Context(), 2)
		var got []string
		w.yield = func(it Item, p *Problem) bool {
			if p != nil {
				it.CustomID = p.Reason
			}
			got = append(got, it.CustomID)
			return true
		}
		w.run([]string{dir, filepath.Join(dir, "a.pdf")})
		if diff := cmp.Diff([]string{"a.pdf", "b.pdf", "has been read already"}, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestLargeFilesAreNotReadAhead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range 4 {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(i, ".pdf")))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString("%PDF-1.7\n"); err != nil {
			t.Fatal(err)
		}
		if err := f.Truncate(aheadBytes/2 + 1); err != nil { // with a hole, which takes no room
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		w, most := side(t.Context(), 3)
		n := 0
		w.yield = func(Item, *Problem) bool { n++; return true }
		w.run([]string{dir})
		if most.Load() != 1 || n != 4 {
			t.Errorf("%d at once of %d", most.Load(), n)
		}
	})
}

func TestWhoeverStopsReadingWaitsForNoFile(t *testing.T) {
	t.Parallel()
	files := map[string]string{"0.pdf": "%PDF-1.7\n"}
	for i := range 9 {
		files[fmt.Sprint(1+i, "-long.pdf")] = "%PDF-1.7\n"
	}
	dir := folder(t, files)
	for _, stop := range []string{"enough", "cancelled"} {
		t.Run(stop, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				w, _ := side(ctx, 3)
				var got []string
				w.yield = func(it Item, _ *Problem) bool {
					got = append(got, it.CustomID)
					if stop == "cancelled" {
						cancel()
						return true
					}
					return false
				}
				begun := time.Now()
				w.run([]string{dir})
				if took := time.Since(begun); took != time.Second || !slices.Equal(got, []string{"0.pdf"}) {
					t.Errorf("took %s: %v", took, got)
				}
			})
		})
	}
}
