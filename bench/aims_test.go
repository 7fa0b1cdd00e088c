package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

func TestAimsAreMetOrMissed(t *testing.T) {
	t.Parallel()
	var all table
	all.reached(aimRate, 7000)
	all.reached(aimPeers, 2.4)
	all.reached(aimGuards, 11.96)
	all.reached(aimCalls, 0.04)
	all.reached(aimCalls, 0.15) // the worst counts
	all.reached(aimCalls, 0.05)
	all.reached(aimBusy500, 98)
	all.reached(aimBusy500, 97.25)
	all.reached(aimMemory, 0) // not measured
	var out strings.Builder
	if err := writeAims(&out, all.verdicts(false)); err != nil {
		t.Fatal(err)
	}
	want := `
AIM                                               WANTED                MEASURED      RATIO
256 in flight, fsynced: rate against the best peer  at least 2.5 times    2.4 times     0.96  missed
256 in flight, fsynced, model over HTTP             at least 7,000 jobs/s 7,000 jobs/s  1.00  met
guards, 64 in flight, fsynced: CPU a job            at most 12 µs         12 µs         1.00  met
Redis calls a job, 64 and 256 in flight             at most 0.1 calls     0.15 calls    1.50  missed
slots busy, 500 calls of 0.2 to 2 s                 at least 97 %         97.2 %        1.00  met
`
	if got := strings.Join(strings.Fields(out.String()), " "); got != strings.Join(strings.Fields(want), " ") {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestEveryAimIsShownOfAFullRun(t *testing.T) {
	t.Parallel()
	var all table
	all.reached(aimGap, 1.5)
	list := all.verdicts(true)
	if len(list) != len(aims) {
		t.Fatalf("%d aims are shown of %d", len(list), len(aims))
	}
	for _, v := range list {
		cells := strings.Join(v.cells(), "|")
		if missing := strings.Contains(cells, "not measured"); missing == (v.Aim == aimGap) || v.Met != (v.Aim == aimGap) {
			t.Errorf("%s: met is %v", cells, v.Met)
		}
	}
}

func TestJSONHasEverything(t *testing.T) {
	t.Parallel()
	var all table
	all.heading("rates")
	all.add(row{"a line", "500 jobs/s", stage{Jobs: 1000, Took: 2 * time.Second, CPU: map[string]time.Duration{"redis": 20 * time.Millisecond}}, "0.5 of it"})
	all.add(row{what: "another", figure: "3 KiB"})
	all.reached(aimRate, 3500)
	var out bytes.Buffer
	if err := all.writeJSON(&out, machine{Cores: 2, Load: [2]float64{1, 2}}, all.verdicts(false)); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Machine machine
		Lines   []jsonLine
		Aims    []verdict
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	first, aim := got.Lines[0], got.Aims[0]
	switch {
	case got.Machine.Cores != 2 || len(got.Lines) != 2 || len(got.Aims) != 1,
		first.Section != "rates" || first.What != "a line" || first.Rate != 500 || first.CPU["redis"] != 20 || first.Ratio != "0.5 of it",
		got.Lines[1].Figure != "3 KiB" || got.Lines[1].CPU != nil,
		aim.Aim != aimRate || aim.Measured != 3500 || aim.Ratio != 0.5 || aim.Met:
		t.Errorf("got %s", out.String())
	}
}

func TestFiguresHaveTheDigitsThatMatter(t *testing.T) {
	t.Parallel()
	for n, want := range map[float64]string{0.0864: "0.0864", 2.5: "2.5", 97.26: "97.3", 123.4: "123", 7012.3: "7,012"} {
		if got := precise(n); got != want {
			t.Errorf("precise(%v) = %q, want %q", n, got, want)
		}
	}
}

func TestDroverIsComparedWithTheFastestPeer(t *testing.T) {
	t.Parallel()
	of := func(rate int, cpu time.Duration) *report {
		return &report{Answered: stage{Jobs: rate, Took: time.Second, CPU: map[string]time.Duration{"worker": cpu * time.Duration(rate)}}}
	}
	var b bench
	b.compare(realSynced, 256, []string{"Drover", "asynq", "river"}, []*report{
		of(9000, 100*time.Microsecond), of(3000, 200*time.Microsecond), of(4500, 400*time.Microsecond),
	})
	last := b.table.rows[len(b.table.rows)-1]
	if !strings.HasPrefix(last.what, "Drover ÷ river") || last.figure != "2.00 times the rate" || last.ratio != "0.25 times the CPU a job" {
		t.Errorf("got %+v", last)
	}
	if got := b.table.figures; got[aimPeers] != 2 || got[aimPeersCPU] != 0.25 || len(got) != 2 {
		t.Errorf("for the aims: %v", got)
	}
}
