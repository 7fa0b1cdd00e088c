package documents

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestRowsBecomeDocuments(t *testing.T) {
	dir := folder(t, map[string]string{"a.csv": strings.Join([]string{
		`Custom_ID,vendor,vendor,`,
		`x1,acme,"say ""hi""",1`,
		`,globex,"two`,
		`lines",2`,
		``,
		`x3,initech`,
		`x4,"un"closed",1,2`,
		`,,,`,
		`x5,"never closed,1,2`,
		`x6,5" pipe,3,4`,
		`x7,"open,1,2`,
		`x8,a,3,4`,
	}, "\n")})
	items, problems := readAll(t, Config{}, dir, dir)
	if diff := cmp.Diff([]string{"x1", "a.csv:3", "x6", "x8"}, ids(items)); diff != "" {
		t.Error(diff)
	}
	want := map[string]string{"Custom_ID": "x1", "vendor": "acme", "vendor_2": `say "hi"`, "column_4": "1"}
	if diff := cmp.Diff(want, items[0].Document.Fields); diff != "" {
		t.Error(diff)
	}
	if got := string(items[1].Document.Body); got != "Custom_ID: \nvendor: globex\nvendor_2: two\nlines\ncolumn_4: 2\n" {
		t.Errorf("%q", got)
	}
	wantProblems := []string{
		"a.csv:6: has 2 columns and the header 4; leave what is missing empty, between separators",
		`a.csv:7: a stray quote at column 7; write a quote inside quotes as ""`,
		"a.csv:8: every column is empty; leave the row out",
		`a.csv:9: a quote is opened that ends badly on line 10; write a quote inside quotes as ""`,
		`a.csv:11: a quote is opened and never closed; close it, or write it as ""`,
	}
	if diff := cmp.Diff(wantProblems, problems); diff != "" {
		t.Error(diff)
	}
}

// The line that tells Excel the separator was taken for the header, and a file
// whose lines end as on old Macs for one without rows.
func TestFilesOfSpreadsheetsAreReadAsTheyDo(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{
		"a.csv": "sep=;\r\nid;price, net\r\na1;\"1,50\"\r\n", "b.csv": "\"sep=\t\"\nid\tx\nb1\t2\n", "c.csv": "sep=,\n",
		"d.csv": "id,x\rd1,\"two\rlines\"\r\rd2,3\r", "e.csv": "\xff\xfe" + inUTF16("id,x\re1,2\r", true), "f.jsonl": "{\"id\":\"f1\"}\r{\"id\":\"f2\"}\r",
	})
	items, problems := readAll(t, Config{}, dir, dir)
	var fields []map[string]string
	for _, it := range items {
		fields = append(fields, it.Document.Fields)
	}
	want := []map[string]string{
		{"id": "a1", "price, net": "1,50"}, {"id": "b1", "x": "2"}, {"id": "d1", "x": "two\nlines"}, {"id": "d2", "x": "3"},
		{"id": "e1", "x": "2"}, {"id": "f1"}, {"id": "f2"},
	}
	if diff := cmp.Diff(want, fields); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"c.csv: is empty; put text in it or leave it out"}, problems); diff != "" {
		t.Error(diff)
	}
}

// The row at which looking for the end of a quote was given up was left out
// without a word, and one too long for a document.
func TestNoRowBehindAnOpenQuoteIsLost(t *testing.T) {
	t.Parallel()
	const rows = "x,1\nx,2\nx,3\nx,4\nx,5\nx,6\nx,7\nx,8\nx,9\n"
	const open = `a.csv:2: a quote is opened and never closed; close it, or write it as ""`
	for name, row := range map[string]struct {
		csv            string
		most           int
		read, problems []string
	}{
		"at the limit of a document": {"a,b\n\"open,1\n" + rows, 25,
			[]string{"a.csv:3", "a.csv:4", "a.csv:5", "a.csv:6", "a.csv:7", "a.csv:8", "a.csv:9", "a.csv:10", "a.csv:11"}, []string{open}},
		"at a line that is too long": {"a,b\n\"open,1\nx,1\n" + strings.Repeat("y", 70_000) + ",2\nx,3\n", 1000,
			[]string{"a.csv:3", "a.csv:5"}, []string{open, "a.csv:4: is longer than a document may be; split it"}},
	} {
		dir := folder(t, map[string]string{"a.csv": row.csv})
		items, problems := readAll(t, Config{MaxBody: row.most}, dir, dir)
		if diff := cmp.Diff(row.read, ids(items)) + cmp.Diff(row.problems, problems); diff != "" {
			t.Error(name, diff)
		}
	}
}

// Quotes that are wrong within a line used up what rows behind an open quote
// could be saved with, and these were then left out without a word.
func TestRowsThatAreLeftOutWithAnotherAreTold(t *testing.T) {
	t.Parallel()
	dir := folder(t, map[string]string{
		"a.csv": "a,b\n" + strings.Repeat("\"un\"closed,1\n", 2*maxRescues) + "\"open,1\nx,2\n",
		"b.csv": "a,b\n" + strings.Repeat("\"open,1\n", maxRescues) + "\"open,1\nx,2\n",
	})
	items, problems := readAll(t, Config{}, dir, dir)
	if diff := cmp.Diff([]string{"a.csv:203"}, ids(items)); diff != "" {
		t.Error(diff)
	}
	want := `b.csv:102: a quote is opened and never closed, and what follows up to line 103 is left out with it; close it, or write it as ""`
	if last := problems[len(problems)-1]; last != want {
		t.Error(last)
	}
}

// A quote that is never closed took forty times what lies behind it, 2.5 GB with
// a file of 60 MB: each line was kept by itself.
func TestAnOpenQuoteTookMuchMoreMemoryThanItsFile(t *testing.T) {
	text := "\"open\n" + strings.Repeat("1\n", 100_000)
	made := testing.AllocsPerRun(1, func() {
		s := newSource(&walk{config: &Config{MaxBody: 1 << 20}}, "", "", 0, strings.NewReader(text))
		r := &rows{lines: s.lines(), row: row{comma: ','}}
		if _, bad, err := r.next(); bad == nil || err != nil || len(r.ahead) != 200_000 {
			t.Errorf("%v, %v, and %d bytes given back", bad, err, len(r.ahead))
		}
	})
	if made > 1000 {
		t.Errorf("%v pieces of memory for 100,000 lines", made)
	}
}

// Columns of one name took time with the square of their number: a header of
// 200 KB had not been read after 40 s.
func TestColumnsOfOneNameTookForEver(t *testing.T) {
	t.Parallel()
	header := make([]string, 200_000)
	for i := range header {
		header[i] = "a"
	}
	header[0], header[2] = "a_3", ""
	got := names(header)
	if diff := cmp.Diff([]string{"a_3", "a", "column_3", "a_2", "a_4"}, got[:5]); diff != "" || got[199_999] != "a_199999" {
		t.Error(diff, got[199_999])
	}
}

func TestRowsReadWhatTheStandardLibraryWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.StringOf(rapid.RuneFrom([]rune("ab,;\"\n é\t|")))
		columns := rapid.IntRange(2, 5).Draw(t, "columns")
		want := rapid.SliceOfN(rapid.SliceOfN(value, columns, columns), 1, 10).Draw(t, "rows")
		var b bytes.Buffer
		if err := csv.NewWriter(&b).WriteAll(want); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, allRows(t, b.String())); diff != "" {
			t.Fatal(diff)
		}
	})
}

func allRows(t interface{ Fatal(...any) }, text string) (all [][]string) {
	s := newSource(&walk{config: &Config{MaxBody: 1 << 20}}, "", "", 0, strings.NewReader(text))
	r := &rows{lines: s.lines(), row: row{comma: ','}}
	for {
		values, bad, err := r.next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if bad != nil || err != nil {
			t.Fatal(bad, err)
		}
		all = append(all, values)
	}
}

// A file made so that every row opens a quote which never closes must not be
// read again from every one of them.
func TestUnclosedQuotesCostLinearWork(t *testing.T) {
	dir := folder(t, map[string]string{"a.csv": "a,b,c\n" + strings.Repeat("\",x\",\"\n", 20_000)})
	items, problems := readAll(t, Config{}, dir, dir)
	if len(items) != 0 || len(problems) == 0 || len(problems) > maxRescues+2 {
		t.Errorf("%d items, %d problems", len(items), len(problems))
	}
}

func TestLettersOfTwoValuesMakeNoThird(t *testing.T) {
	t.Parallel()
	items, problems := readAll(t, Config{Format: "csv", Stdin: strings.NewReader("a,b\n\xc3,\xa9\n")}, "", "-") // é, if they stood together
	if len(items) != 1 || problems != nil {
		t.Fatal(items, problems)
	}
	if diff := cmp.Diff(map[string]string{"a": "Ã", "b": "©"}, items[0].Document.Fields); diff != "" {
		t.Error(diff)
	}
}
