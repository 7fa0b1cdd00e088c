package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/drover-batch/drover/llm/simulator"
)

// figures are what an outage comes to. Times are in seconds; one that did not
// happen is negative.
type figures struct {
	Workers int     `json:"workers"`
	Slots   int     `json:"slots"`         // of all workers
	Dead    int     `json:"dead"`          // calls that reached the dead model
	Probes  int     `json:"probes"`        // of them, once the circuit had opened
	AtOnce  int     `json:"at_once"`       // most probes in flight
	Last    float64 `json:"last_call"`     // from the decision to the last call that was no probe
	First   float64 `json:"first_answer"`  // from the model's return
	Full    float64 `json:"full_rate"`     // from then until nearly all slots were busy
	Rounds  int     `json:"probe_rounds"`  // that the outage had room for
	Most    int     `json:"most_expected"` // the failures that decide, the calls in flight then, three for each round
}

// measure reads the provider's ledger of a model that died once. What was
// begun before the first probe can have come is no probe.
func measure(workers int, ledger []simulator.Entry, died, opened time.Time) figures {
	back, probing := died.Add(outage), opened.Add(recovery-50*time.Millisecond)
	f := figures{Workers: workers, Slots: workers * slots, Last: -1, First: -1, Full: -1}
	f.Rounds = int(back.Sub(opened) / recovery)
	f.Most = failures + f.Slots - 1 + 3*f.Rounds
	var probes, good []time.Time
	for _, e := range ledger {
		switch {
		case e.Status == http.StatusServiceUnavailable:
			if f.Dead++; !e.At.Before(probing) {
				probes = append(probes, e.At)
			}
		case e.Status == http.StatusOK && !e.At.Before(back):
			good = append(good, e.At)
		}
		if !e.At.Before(opened) && e.At.Before(probing) {
			f.Last = e.At.Sub(opened).Seconds()
		}
	}
	f.Probes, f.AtOnce = len(probes), most(probes, latency)
	if len(good) > 0 {
		f.First = (good[0].Sub(back) + latency).Seconds()
	}
	for i, at := range good {
		if most(good[:i+1], latency) >= f.Slots*9/10 {
			f.Full = at.Sub(back).Seconds()
			break
		}
	}
	return f
}

// most is how many of the calls overlapped, each of which took so long.
func most(calls []time.Time, took time.Duration) (most int) {
	first := 0
	for i, at := range calls {
		for at.Sub(calls[first]) >= took {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

func write(out io.Writer, all []figures) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(cells ...string) { _, _ = fmt.Fprintln(w, strings.Join(cells, "\t")) }
	line("WORKERS", "SLOTS", "REACHED THE DEAD MODEL", "AT MOST", "PROBES", "AT ONCE", "LAST CALL", "FIRST ANSWER", "FULL RATE")
	for _, f := range all {
		line(fmt.Sprint(f.Workers), fmt.Sprint(f.Slots), fmt.Sprint(f.Dead), fmt.Sprint(f.Most), fmt.Sprint(f.Probes), fmt.Sprint(f.AtOnce),
			seconds(f.Last), seconds(f.First), seconds(f.Full))
	}
	return w.Flush()
}

// seconds is a time, or that it did not happen.
func seconds(s float64) string {
	if s < 0 {
		return "none"
	}
	return fmt.Sprintf("%.2f s", s)
}

func writeJSON(out io.Writer, all []figures) error {
	lines := json.NewEncoder(out)
	for _, f := range all {
		if err := lines.Encode(f); err != nil {
			return err
		}
	}
	return nil
}
