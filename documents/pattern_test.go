package documents

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTwoStarsMatchAtAnyDepth(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{
		"top.txt": "x", "in/a.md": "a", "in/b.txt": "b", "in/c/d.md": "d", "in/c/e/f.md": "f", "in/c/e/g.txt": "g",
		"in/h.md/i.txt": "i", "in/h.md/j/k.md": "k", "in/.l.md": "l", "in/.git/m.md": "m", "in/c/.n/o.md": "o", "in/p[1].md": "p",
	})
	for pattern, want := range map[string][]string{
		"in/**/*.md":         {"a.md", "c/d.md", "c/e/f.md", "h.md/i.txt", "h.md/j/k.md", "p[1].md"},
		"in/**/**/*.md":      {"a.md", "c/d.md", "c/e/f.md", "h.md/i.txt", "h.md/j/k.md", "p[1].md"},
		"./in//**/./?.md":    {"a.md", "c/d.md", "c/e/f.md", "h.md/i.txt", "h.md/j/k.md"},
		"in/**/e/*":          {"c/e/f.md", "c/e/g.txt"},
		"in/**/c/**/*.txt":   {"c/e/g.txt"},
		"in/**/c/**/**":      {"c/d.md", "c/e/f.md", "c/e/g.txt"},
		"in/**":              {"a.md", "b.txt", "c/d.md", "c/e/f.md", "c/e/g.txt", "h.md/i.txt", "h.md/j/k.md", "p[1].md"},
		"in/**/":             {"a.md", "b.txt", "c/d.md", "c/e/f.md", "c/e/g.txt", "h.md/i.txt", "h.md/j/k.md", "p[1].md"},
		"in/**/.*/*.md":      {".git/m.md", "c/.n/o.md"},
		`in/**/p\[1\].md`:    {"p[1].md"},
		"*/**/[d-f].md":      {"in/c/d.md", "in/c/e/f.md"},
		"**/[d-f].md":        {"in/c/d.md", "in/c/e/f.md"},
		"in/c/**/f.md":       {"e/f.md"},
		"in/**/c/e/**/[^f]*": {"c/e/g.txt"},
	} {
		items, problems := readAll(t, Config{}, dir, dir+"/"+pattern)
		if diff := cmp.Diff(want, ids(items)); diff != "" || problems != nil {
			t.Errorf("%s: %s %v", pattern, diff, problems)
		}
	}
	items, problems := readAll(t, Config{}, dir, dir+"/in/**/*.txt", dir+"/top.txt")
	if diff := cmp.Diff([]string{"in/b.txt", "in/c/e/g.txt", "in/h.md/i.txt", "top.txt"}, ids(items)); diff != "" || problems != nil {
		t.Error(diff, problems)
	}
}

func TestTwoStarsTreatLinksAsFoldersDo(t *testing.T) {
	t.Parallel()
	outside := folder(t, map[string]string{"a.md": "outside"})
	dir := folder(t, map[string]string{"sub/b.md": "b", "sub/c.txt": "c"})
	for link, to := range map[string]string{"d": outside, "sub/e.md": outside + "/a.md", "f.md": "nowhere", "g.txt": "nowhere", "h.md": outside, "sub/up": dir} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	items, problems := readAll(t, Config{}, dir, dir+"/**/*.md")
	want := []string{
		"d: is a link to a folder, which is not followed; name the folder itself",
		"f.md: does not exist; check the spelling",
		"h.md: is a link to a folder, which is not followed; name the folder itself",
		"sub/up: is a link to a folder, which is not followed; name the folder itself",
	}
	if diff := cmp.Diff(want, problems); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"sub/b.md", "sub/e.md"}, ids(items)); diff != "" {
		t.Error(diff)
	}
	_, problems = readAll(t, Config{}, dir, dir+"/[d]/**/*.md")
	if diff := cmp.Diff(want[:1], problems); diff != "" {
		t.Error(diff)
	}
	items, problems = readAll(t, Config{}, dir, dir+"/d/**/*.md")
	if diff := cmp.Diff([]string{"a.md"}, ids(items)); diff != "" || problems != nil {
		t.Error(diff, problems)
	}
}

func TestPatternsThatLeadNowhereAreNamed(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{"a**b": "named so", "c/d.md": "d", "e": "e", "f*x": "f"})
	items, problems := readAll(t, Config{}, dir,
		dir+"/a**b", dir+"/c/d**", dir+"/**.md", dir+"/***/d.md", dir+"/**/[", dir+"/**/*.pdf", dir+"/e/**/*.md", dir+"/no/**/*.md", dir+`/f\**`)
	inside := ": has ** as a part of a name; put it between slashes: ** stands for folders, as in contracts/**/*.md"
	want := []string{
		"c/d**" + inside, "**.md" + inside, "***/d.md" + inside,
		"**/[: is not a valid pattern; close its brackets, or put \\ before them",
		"e/**/*.md: matches no file; check the spelling",
		"no: does not exist; check the spelling",
		"**/*.pdf: matches no file; check the spelling",
	}
	if diff := cmp.Diff(want, problems); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"a**b", "f*x"}, ids(items)); diff != "" {
		t.Error(diff)
	}
}
