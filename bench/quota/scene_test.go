package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/drover-batch/drover/internal/audit"
)

func TestEverySceneIsPlayedOnceForEachNumberOfReplicas(t *testing.T) {
	t.Parallel()
	seen := map[string]int{}
	for _, s := range scenes([]int{1, 2, 4, 8}, false, true) {
		seen[s.name]++
		if s.name == "after an outage" && s.replicas != 4 {
			t.Errorf("%s has %d replicas", s.name, s.replicas)
		}
	}
	for _, s := range scenes([]int{1, 2, 4, 8}, false, false) {
		if s.name == "600 requests" && s.replicas != 4 {
			t.Errorf("%d replicas play the smallest quota, which only a full run has for all", s.replicas)
		}
	}
	for name, times := range map[string]int{"600 requests": 4, "6000 requests": 4, "200000 tokens": 4, "6000 requests, " + comeAndGo: 1, "after an outage": 1} {
		if seen[name] != times {
			t.Errorf("%s is played %d times, want %d", name, seen[name], times)
		}
	}
}

func TestOnlyPicksByName(t *testing.T) {
	t.Parallel()
	o, err := read([]string{"--replicas", "3", "--churn", "--only", "6000,fifth"}, new(bytes.Buffer))
	if err != nil {
		t.Fatal(err)
	}
	all := o.scenes()
	if len(all) != 2 || all[0].name != "6000 requests" || !all[0].churn || all[1].others == 0 || all[1].replicas != 3 {
		t.Errorf("picked %+v", all)
	}
	for _, wrong := range [][]string{{"--only", "nothing"}, {"--replicas", "-1"}, {"--for", "1s"}, {"more"}} {
		if _, err := read(wrong, new(bytes.Buffer)); err == nil {
			t.Errorf("%v is taken", wrong)
		}
	}
}

func TestTableSaysWhatWasMeasured(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := asked(600)
	s.name, s.replicas, s.churn = "600 requests", 4, true
	if err := write(&out, []figures{{s, audit.Use{Share: 0.9996, Limited: 0.0004, Fairness: 0.9991, First: 1.066}}}); err != nil {
		t.Fatal(err)
	}
	if want := "4         600 requests, replicas come and go  100.0 %  0.04 %  0.999  1.07"; !strings.Contains(out.String(), want) {
		t.Errorf("got\n%swant\n%s", out.String(), want)
	}
	out.Reset()
	if err := writeJSON(&out, []figures{{s, audit.Use{Share: 0.9996, Fairness: 0.9991}}}); err != nil {
		t.Fatal(err)
	}
	if want := `{"replicas":4,"quota":"600 requests, replicas come and go","used":0.9996,"limited":0,"jain":0.9991,"first_minute":0}` + "\n"; out.String() != want {
		t.Errorf("got %s want %s", out.String(), want)
	}
}
