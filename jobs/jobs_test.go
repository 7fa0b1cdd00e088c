package jobs_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/drover-batch/drover/jobs"
)

func Example() {
	batch := jobs.Batch{ID: jobs.BatchID("contracts", "summarise"), Tenant: "acme", Chain: "default"}
	job := jobs.Job{
		ID: jobs.NewID(batch.ID, "lease.txt"), Batch: batch.ID, CustomID: "lease.txt", Run: 1,
		Document: jobs.Document{Source: "contracts/lease.txt", Body: []byte("This lease …")},
	}
	price := jobs.Price{Input: jobs.Dollars(0.40), Output: jobs.Dollars(1.60)}
	usage := jobs.Usage{Input: 1200, Output: 80}
	outcome := jobs.NewOutcome(&job, &batch, jobs.Answered, []jobs.Attempt{
		{Model: "small", Run: 1, Usage: usage, Cost: price.Cost(usage), Billing: jobs.Billed},
	})
	fmt.Println(outcome.CustomID, outcome.Status, outcome.Cost)
	// Output: lease.txt answered $0.000608
}

func TestJobSurvivesItsJourneyByteForByte(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := jobs.Job{
			ID: "0123", Batch: "b", CustomID: rapid.String().Draw(t, "custom id"), Run: rapid.IntRange(1, 9).Draw(t, "run"),
			Replaces: rapid.Uint64().Draw(t, "replaces"), Submitted: time.Unix(1_700_000_000, 0).UTC(),
			Document: jobs.Document{
				Source: rapid.String().Draw(t, "source"), Endpoint: rapid.SampledFrom([]string{"", "/v1/chat/completions"}).Draw(t, "endpoint"),
				Fields: rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "fields"), Body: rapid.SliceOf(rapid.Byte()).Draw(t, "body"),
			},
		}
		data, err := in.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var out jobs.Job
		if err := out.UnmarshalBinary(data); err != nil {
			t.Fatal(err)
		}
		if len(in.Document.Fields) == 0 {
			in.Document.Fields = out.Document.Fields
		}
		if diff := cmp.Diff(in, out); diff != "" {
			t.Fatal(diff)
		}
	})
}

func FuzzJobDecoding(f *testing.F) {
	f.Add([]byte("{\"id\":\"a\",\"batch\":\"b\",\"run\":1}\nbody"))
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var j jobs.Job
		if err := j.UnmarshalBinary(data); err == nil && (j.ID == "" || j.Batch == "" || j.Run < 1) {
			t.Errorf("accepted %+v", j)
		}
	})
}

func TestMoneyReadsWhatItPrints(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		in := jobs.USD(rapid.Int64Range(0, 1<<50).Draw(t, "amount"))
		out, err := jobs.ParseUSD(in.String())
		if err != nil || out != in {
			t.Fatalf("%s came back as %d, %v", in, out, err)
		}
	})
}

func TestBadAmountsAreRefused(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"-1", "1,50", "1.0000001", "a", "1.-5", "1.+5", "9999999999999"} {
		if got, err := jobs.ParseUSD(s); err == nil {
			t.Errorf("%q was read as %s", s, got)
		}
	}
}

func TestCostIsNeverAboveTheWorstCase(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		money := rapid.Int64Range(0, int64(500*jobs.Dollar))
		tokens := rapid.Int64Range(0, 2_000_000)
		p := jobs.Price{Input: jobs.USD(money.Draw(t, "input")), CachedInput: jobs.USD(money.Draw(t, "cached")), Output: jobs.USD(money.Draw(t, "output"))}
		in, out := tokens.Draw(t, "in"), tokens.Draw(t, "out")
		u := jobs.Usage{Input: in, CachedInput: rapid.Int64Range(0, 2*in).Draw(t, "cached tokens"), Output: out}
		if p.Cost(u) > p.Worst(in, out) {
			t.Fatalf("%+v costs %s, at worst %s", u, p.Cost(u), p.Worst(in, out))
		}
	})
}

func TestBatchIDsAreSafeAndTellApart(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for _, name := range []string{"contracts", "Contracts", "../etc", "a.b", "a>b", "", "ünïcode", strings.Repeat("x", 200)} {
		id := jobs.BatchID(name, "prompt")
		b := jobs.Batch{ID: id, Chain: "default", Tenant: "acme"}
		if err := b.Validate(); err != nil {
			t.Errorf("%q: %v", name, err)
		}
		if other, ok := seen[id]; ok {
			t.Errorf("%q and %q share %s", name, other, id)
		}
		seen[id] = name
	}
	if jobs.BatchID("a", "b", "c") == jobs.BatchID("a", "bc") {
		t.Error("parts run together")
	}
}

func TestSecretHidesEverywhere(t *testing.T) {
	t.Parallel()
	s := jobs.NewSecret("sk-canary")
	data, err := json.Marshal(map[string]any{"key": s, "in": struct{ K *jobs.Secret }{&s}})
	if err != nil {
		t.Fatal(err)
	}
	shown := string(data)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		shown += fmt.Sprintf(verb, s) + fmt.Sprintf(verb, struct{ K jobs.Secret }{s})
	}
	if strings.Contains(shown, "canary") || strings.Contains(shown, "63616e617279") {
		t.Errorf("shown: %s", shown)
	}
	if s.Reveal() != "sk-canary" || s.Empty() {
		t.Error("the value is lost")
	}
}

func TestProgressIsOverOnlyWhenNothingCanCome(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		p    jobs.Progress
		over bool
	}{
		{"still enqueueing", jobs.Progress{State: jobs.Enqueueing}, false},
		{"paused with nothing left", jobs.Progress{State: jobs.Paused}, false},
		{"queued", jobs.Progress{State: jobs.Live, Total: 2, Queued: 1}, false},
		{"running", jobs.Progress{State: jobs.Live, Total: 2, Running: 1}, false},
		{"all done", jobs.Progress{State: jobs.Live, Total: 2}, true},
		{"cancelled", jobs.Progress{State: jobs.Cancelled, Total: 2}, true},
	} {
		if got := tt.p.Over(); got != tt.over {
			t.Errorf("%s: over is %v", tt.name, got)
		}
	}
}

func TestEarlierRunsStayOnTheBill(t *testing.T) {
	t.Parallel()
	job := &jobs.Job{ID: "1", Run: 2, Earlier: []jobs.Attempt{{Run: 1, Cost: 700, Billing: jobs.Presumed}}}
	o := jobs.NewOutcome(job, &jobs.Batch{Tenant: "acme"}, jobs.Answered, []jobs.Attempt{{Run: 2, Cost: 300, Billing: jobs.Billed}})
	if o.Cost != 1000 || o.Ambiguous() != 700 || len(o.Attempts) != 2 {
		t.Errorf("got %+v", o)
	}
}

// A job that got the answer of another one with the same request lost where its
// quotes stand.
func TestRepeatedAnswerKeepsWhatItsChecksFound(t *testing.T) {
	earlier := &jobs.Outcome{
		Model: "small", Answer: "yes", Finish: jobs.FinishStop, Response: []byte(`{}`), Checked: jobs.AtOnce,
		Quotes: []jobs.Quote{{At: "/quote", Offset: 7, Length: 3}}, Cost: 5, Degraded: jobs.Partial,
	}
	var o jobs.Outcome
	o.Repeat(earlier)
	want := *earlier
	want.Cost, want.Degraded = 0, ""
	if diff := cmp.Diff(want, o); diff != "" {
		t.Error(diff)
	}
}

func TestOneIsNotManyThings(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0 calls", 1: "1 call", 2: "2 calls"} {
		if got := jobs.Counted(n, "call"); got != want {
			t.Errorf("%d: %q", n, got)
		}
	}
}

func TestInsteadSaysOnlyWhatTheBatchDoesNot(t *testing.T) {
	t.Parallel()
	b := &jobs.Batch{Chain: "small", Prompt: "What?", System: "Be brief."}
	for name, row := range map[string]struct{ now, earlier, want *jobs.Instead }{
		"nothing":              {nil, nil, nil},
		"as the batch":         {&jobs.Instead{Chain: "small", Prompt: new("What?"), System: new("Be brief.")}, nil, nil},
		"another chain":        {&jobs.Instead{Chain: "large"}, nil, &jobs.Instead{Chain: "large"}},
		"a second time":        {&jobs.Instead{Prompt: new("Why?")}, &jobs.Instead{Chain: "large", Prompt: new("How?")}, &jobs.Instead{Chain: "large", Prompt: new("Why?")}},
		"as before":            {nil, &jobs.Instead{Chain: "large"}, &jobs.Instead{Chain: "large"}},
		"back to the batch's":  {&jobs.Instead{Chain: "small"}, &jobs.Instead{Chain: "large"}, nil},
		"a prompt of no words": {&jobs.Instead{System: new("")}, nil, &jobs.Instead{System: new("")}},
	} {
		got, err := json.Marshal(row.now.Or(row.earlier, b))
		want, _ := json.Marshal(row.want)
		if err != nil || string(got) != string(want) {
			t.Errorf("%s: %s, want %s: %v", name, got, want, err)
		}
	}
}
