package documents

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"

	"github.com/drover-batch/drover/jobs"
)

func TestATableCannotRunInASpreadsheet(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		"=1+1": "'=1+1", "+cmd|' /C calc'!A0": "'+cmd|' /C calc'!A0", "-2+3": "'-2+3", "@SUM(A1)": "'@SUM(A1)",
		"\t=1": "'\t=1", "\r=1": "'=1", " =1": "' =1", "\n=1": "'\n=1", "＝1+1": "'＝1+1", "\x1b[1m=1+1": "'=1+1", "\u202e=1": "'=1",
		"-12.50": "-12.50", "+1,250": "+1,250", "a=b": "a=b", "say \"hi\",\nyou": "say \"hi\",\nyou", "": "", "- a list": "'- a list",
	} {
		var b bytes.Buffer
		r := NewCSVResults(&b)
		if err := r.Write(with(func(o *jobs.Outcome) { o.Answer = answer })); err != nil {
			t.Fatal(err)
		}
		rows, err := csv.NewReader(&b).ReadAll()
		if err != nil || len(rows) != 2 || rows[1][6] != want {
			t.Errorf("%q became %q, want %q: %v", answer, rows[1][6], want, err)
		}
	}
}

func TestATableHasARowForEveryOutcome(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	r := NewCSVResults(&b)
	replayed := dead(jobs.ServerError, 503, "")
	replayed.Chain, replayed.Prompt = "large", "sha256:0123456789abcdef"
	for _, o := range []*jobs.Outcome{answered(), replayed} {
		if err := r.Write(o); err != nil {
			t.Fatal(err)
		}
	}
	want := `"custom_id","source","status","degraded","reason","model","answer","input_tokens","output_tokens","cost_usd","ambiguous_usd","attempts","error_kind","error","chain","prompt","system"
"a.txt","in/a.txt","answered","","","small","A <lease> & more","90","8","0.000125","0.000025","2","","","","",""
"a.txt","in/a.txt","dead","","","small","","90","8","0.000125","0.000025","1","server_error","overloaded","large","sha256:0123456789abcdef",""
`
	if got := b.String(); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	if strings.ContainsAny(b.String(), "\x1b\u202e") {
		t.Error("it is not safe to show")
	}
}
