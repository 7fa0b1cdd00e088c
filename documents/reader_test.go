package documents

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// folder makes files below a new folder and returns it.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, body := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(body), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// readAll reads the paths and returns the items, and the problems below dir.
func readAll(t *testing.T, c Config, dir string, paths ...string) (items []Item, problems []string) {
	t.Helper()
	r, err := NewReader(c)
	if err != nil {
		t.Fatal(err)
	}
	for it, p := range r.Read(t.Context(), paths...) {
		if p != nil {
			problems = append(problems, strings.ReplaceAll(p.Error(), dir+"/", ""))
			continue
		}
		it.Document.Source = strings.TrimPrefix(it.Document.Source, dir+"/")
		items = append(items, it)
	}
	return items, problems
}

func ids(items []Item) []string {
	var out []string
	for _, it := range items {
		out = append(out, it.CustomID)
	}
	return out
}

func TestFoldersAreReadInTheOrderOfNamesWithoutHiddenFiles(t *testing.T) {
	dir := folder(t, map[string]string{
		"b.txt": "b", "a.md": "a", "sub/c": "c", ".hidden": "x", ".git/config": "x", "sub/deep/d.txt": "d", "z.txt": "z",
	})
	items, problems := readAll(t, Config{}, dir, dir)
	want := []string{"a.md", "b.txt", "sub/c", "sub/deep/d.txt", "z.txt"}
	if diff := cmp.Diff(want, ids(items)); diff != "" || problems != nil {
		t.Error(diff, problems)
	}
}

func TestCustomIDsDoNotDependOnTheSpellingOfAPath(t *testing.T) {
	dir := folder(t, map[string]string{"in/2023/a.txt": "1", "in/2024/a.txt": "2"})
	t.Chdir(dir)
	for _, tc := range []struct {
		paths []string
		want  []string
	}{
		{[]string{"in"}, []string{"2023/a.txt", "2024/a.txt"}},
		{[]string{"./in/"}, []string{"2023/a.txt", "2024/a.txt"}},
		{[]string{filepath.Join(dir, "in")}, []string{"2023/a.txt", "2024/a.txt"}},
		{[]string{"in/2023", "in/2024"}, []string{"2023/a.txt", "2024/a.txt"}},
		{[]string{"in/*/a.txt"}, []string{"2023/a.txt", "2024/a.txt"}},
		{[]string{"in/2023"}, []string{"a.txt"}},
		{[]string{"in/2024/a.txt"}, []string{"a.txt"}},
	} {
		items, problems := readAll(t, Config{}, dir, tc.paths...)
		if diff := cmp.Diff(tc.want, ids(items)); diff != "" || problems != nil {
			t.Error(tc.paths, diff, problems)
		}
	}
}

func TestABadDocumentNeverStopsTheGoodOnes(t *testing.T) {
	dir := folder(t, map[string]string{
		"1-empty.txt":   " \n",
		"2-binary.txt":  "a\x00b",
		"3-office.txt":  oldOffice + "\x00\x00",
		"4-large.txt":   strings.Repeat("x", 2000),
		"5-broken.json": "{\"a\":\n  1,}",
		"6-page.html":   "<html><script>only()</script></html>",
		"7-none.jsonl":  "\n\n",
		"8-head.csv":    "a,b\n",
		"9-good.txt":    "good",
	})
	if err := os.Symlink(filepath.Join(dir, "nowhere"), filepath.Join(dir, "0-link.txt")); err != nil {
		t.Fatal(err)
	}
	items, problems := readAll(t, Config{MaxBody: 1000}, dir, dir, filepath.Join(dir, "no.txt"), filepath.Join(dir, "*.doc"))
	want := []string{
		"no.txt: does not exist; check the spelling",
		"*.doc: matches no file; check the spelling",
		"0-link.txt: does not exist; check the spelling",
		"1-empty.txt: is empty; put text in it or leave it out",
		"2-binary.txt: is binary data, not text; convert it to text or leave it out",
		"3-office.txt: is an old office document, or an encrypted one; save it as DOCX, XLSX or PDF, without a password",
		"4-large.txt: has 2000 bytes, more than the limit of 1000 bytes; split it",
		"5-broken.json:2: malformed JSON at column 5: invalid character '}' looking for beginning of object key string; correct it",
		"6-page.html: is a page without text; save it from a browser, after its scripts have run",
		"7-none.jsonl: is empty; put text in it or leave it out",
		"8-head.csv: has a header and no rows; put rows in it or leave it out",
	}
	if diff := cmp.Diff(want, problems); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"9-good.txt"}, ids(items)); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsWrittenIsNotRead(t *testing.T) {
	dir := folder(t, map[string]string{
		"a.txt": "a", "deep/results.jsonl": `{"text":"t"}`, "results.jsonl": `{"text":"t"}`, "state/deep/b.txt": "b", "state/c.txt": "c",
	})
	except := []string{filepath.Join(dir, "results.jsonl"), filepath.Join(dir, "state"), filepath.Join(dir, "nowhere")}
	for _, path := range []string{"", "*", "**", "**/*"} {
		items, problems := readAll(t, Config{Except: except}, dir, filepath.Join(dir, path))
		if diff := cmp.Diff([]string{"a.txt", "deep/results.jsonl:1"}, ids(items)); diff != "" || problems != nil {
			t.Errorf("%q: %s%q", path, diff, problems)
		}
	}
}

func TestADuplicateNamesBothPlaces(t *testing.T) {
	dir := folder(t, map[string]string{
		"a.csv":   "id,x\n7,1\n8,2\n7,3\n",
		"b.jsonl": `{"id":8,"text":"t"}` + "\n" + `{"id":"c.txt","text":"t"}` + "\n",
		"c.txt":   "c",
		"d.json":  `{"id":"7","text":"t"}`,
	})
	items, problems := readAll(t, Config{}, dir, dir, filepath.Join(dir, "a.csv"))
	fix := "; give every document an id of its own"
	want := []string{
		`a.csv:4: the custom id "7" is taken by a.csv:2` + fix,
		`b.jsonl:1: the custom id "8" is taken by a.csv:3` + fix,
		`c.txt: the custom id "c.txt" is taken by b.jsonl:2` + fix,
		`d.json: the custom id "7" is taken by a.csv:2` + fix,
		`a.csv:2: the custom id "7" is taken by a.csv:2` + fix,
		`a.csv:3: the custom id "8" is taken by a.csv:3` + fix,
		`a.csv:4: the custom id "7" is taken by a.csv:2` + fix,
	}
	if diff := cmp.Diff(want, problems); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"7", "8", "c.txt"}, ids(items)); diff != "" {
		t.Error(diff)
	}
}

// Two files whose names differ in bytes that are no UTF-8 had results with the
// same custom id.
func TestNamesThatAreNoTextAreToldApart(t *testing.T) {
	t.Parallel()
	w := &walk{root: "/in"}
	for path, want := range map[string]string{
		"/in/2024/caf\xe8.txt": `2024/caf\xe8.txt`, "/in/caf\xe9\xff": `caf\xe9\xff`, "/in/café \ufffd.txt": "café \ufffd.txt",
	} {
		if got := w.id(path); got != want {
			t.Errorf("%q has the custom id %q, want %q", path, got, want)
		}
	}
}

func TestAFileNamedTwiceIsReadOnce(t *testing.T) {
	dir := folder(t, map[string]string{"a.txt": "a"})
	_, problems := readAll(t, Config{}, dir, dir, filepath.Join(dir, "a.txt"))
	if diff := cmp.Diff([]string{"a.txt: has been read already; name it only once"}, problems); diff != "" {
		t.Error(diff)
	}
}

func TestFormatIsToldByNameThenByContent(t *testing.T) {
	for file, tc := range map[string]struct{ body, want string }{
		"page":        {"\n <!DOCTYPE html><p>Hi", "Hi\n"},
		"lines":       {`{"text":"one"}` + "\n" + `{"text":"two"}`, "one|two"},
		"code.go":     {"{ not json", "{ not json"},
		"looks.txt":   {`{"text":"one"}`, `{"text":"one"}`},
		"upper.JSONL": {`{"text":"one"}`, "one"},
		"a.tsv":       {"x\ty,z\n1\t2\n", "x: 1\ny,z: 2\n"},
		"b.csv":       {"x;y\n1,5;2\n", "x: 1,5\ny: 2\n"},
		"c.json":      {`["a", "b"]`, `["a", "b"]`},
		"d.json":      {`{"content":"c","n":1}`, "c"},
	} {
		items, problems := readAll(t, Config{}, "", filepath.Join(folder(t, map[string]string{file: tc.body}), file))
		var bodies []string
		for _, it := range items {
			bodies = append(bodies, string(it.Document.Body))
		}
		if got := strings.Join(bodies, "|"); got != tc.want || problems != nil {
			t.Errorf("%s: %q %v, want %q", file, got, problems, tc.want)
		}
	}
}

func TestStandardInputTakesAFormat(t *testing.T) {
	in := strings.NewReader("id,x\n1,2\n")
	items, problems := readAll(t, Config{Format: "csv", Stdin: in}, "", "-")
	if len(items) != 1 || items[0].CustomID != "1" || items[0].Document.Source != "stdin:2" || problems != nil {
		t.Error(items, problems)
	}
	if _, err := NewReader(Config{Format: "exe"}); err == nil || !strings.Contains(err.Error(), "csv, docx, html, image, json") {
		t.Error(err)
	}
}

func TestReadingStopsWhenTheCallerHasEnough(t *testing.T) {
	dir := folder(t, map[string]string{"a.txt": "a", "b.jsonl": `{"x":1}` + "\n" + `{"x":2}`, "c.csv": "x\n1\n2\n"})
	r, err := NewReader(Config{})
	if err != nil {
		t.Fatal(err)
	}
	for most := 1; most <= 5; most++ {
		n := 0
		for range r.Read(t.Context(), dir) {
			if n++; n == most {
				break
			}
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	for range r.Read(ctx, dir) {
		cancel()
		n++
	}
	if n != 1 {
		t.Errorf("%d documents after cancelling", n)
	}
}

func TestALargeFolderIsPaged(t *testing.T) {
	files := map[string]string{}
	for i := range 25 {
		files[fmt.Sprintf("%02d", i)] = "x"
	}
	dir := folder(t, files)
	var got []string
	for after := ""; ; after = got[len(got)-1] {
		entries, err := page(dir, after, 4, visible)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			got = append(got, e.Name())
		}
		if len(entries) < 4 {
			break
		}
	}
	for i, name := range got {
		if name != fmt.Sprintf("%02d", i) || len(got) != 25 {
			t.Fatal(got)
		}
	}
}
