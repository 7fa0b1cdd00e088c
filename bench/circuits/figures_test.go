package main

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/drover-batch/drover/llm/simulator"
)

func TestLedgerTellsWhatAnOutageCame(t *testing.T) {
	t.Parallel()
	died := time.Unix(100, 0)
	opened, back := died.Add(time.Second), died.Add(outage)
	at := func(from time.Time, d time.Duration, status int) simulator.Entry {
		return simulator.Entry{At: from.Add(d), Status: status}
	}
	ledger := []simulator.Entry{
		at(died, -time.Second, http.StatusOK), at(died, 100*time.Millisecond, http.StatusServiceUnavailable),
		at(opened, 20*time.Millisecond, http.StatusServiceUnavailable),
		at(opened, recovery, http.StatusServiceUnavailable), at(opened, recovery+latency/2, http.StatusServiceUnavailable),
		at(opened, 3*recovery, http.StatusServiceUnavailable),
	}
	for i := range 4 {
		ledger = append(ledger, at(back, time.Second+time.Duration(i)*latency/10, http.StatusOK))
	}
	got := measure(1, ledger, died, opened)
	want := figures{Workers: 1, Slots: 4, Dead: 5, Probes: 3, AtOnce: 2, Rounds: 5, Most: 23, Last: 0.02, First: 1.5, Full: 1.1}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	var table, lines bytes.Buffer
	if err := write(&table, []figures{got}); err != nil {
		t.Fatal(err)
	}
	if want := "1        4      5                       23       3       2        0.02 s     1.50 s        1.10 s"; !strings.Contains(table.String(), want) {
		t.Errorf("got\n%swant\n%s", table.String(), want)
	}
	if err := writeJSON(&lines, []figures{got}); err != nil || !strings.Contains(lines.String(), `"dead":5,"probes":3,"at_once":2`) {
		t.Errorf("got %s, %v", lines.String(), err)
	}
}

func TestModelThatDoesNotReturnIsSaidTo(t *testing.T) {
	t.Parallel()
	if got := measure(1, nil, time.Unix(0, 0), time.Unix(1, 0)); got.First >= 0 || got.Full >= 0 || got.Last >= 0 {
		t.Errorf("got %+v", got)
	}
}

func TestWrongFlagsAreRefused(t *testing.T) {
	t.Parallel()
	for _, wrong := range [][]string{{"--workers", "-1"}, {"--workers", "33"}, {"more"}} {
		if _, err := read(wrong, new(bytes.Buffer)); err == nil {
			t.Errorf("%v is taken", wrong)
		}
	}
}
