package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// play is a session whose tool does what a function does.
type play struct {
	run  func(ctx context.Context) (string, error)
	done chan struct{}
}

func (p *play) List(context.Context) ([]Spec, error) { return []Spec{{Name: "act"}}, nil }
func (p *play) Call(ctx context.Context, _ string, _ json.RawMessage) (string, error) {
	return p.run(ctx)
}
func (p *play) Done() <-chan struct{} { return p.done }
func (p *play) Close()                {}

// playing is a box whose server s does what a function does.
func playing(s Server, run func(ctx context.Context) (string, error)) *Box {
	return New(Config{Servers: map[string]Server{"s": s}, Dial: func(context.Context, string, Server, func(string)) (Session, error) {
		return &play{run, make(chan struct{})}, nil
	}})
}

// takes is a tool that takes a while.
func takes(d time.Duration) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		select {
		case <-time.After(d):
			return "done", nil
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

func TestToolsOfOneTurnRunAtTheSameTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := playing(Server{}, takes(time.Second)).kit(t, "s.act")
		began := time.Now()
		k.replies(t, nil, "s_act", "s_act", "s_act")
		if took := time.Since(began); took != time.Second {
			t.Errorf("three calls took %v", took)
		}
	})
}

func TestServersAreAskedNoMoreThanTheyAllow(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		s    Server
		want time.Duration
	}{
		"at the same time": {Server{Concurrent: 2}, 3 * time.Second},
		"per minute":       {Server{PerMinute: 30}, 9 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				k := playing(row.s, takes(time.Second)).kit(t, "s.act")
				began := time.Now()
				for _, text := range k.replies(t, nil, "s_act", "s_act", "s_act", "s_act", "s_act") {
					if text != "done" {
						t.Errorf("it says %q", text)
					}
				}
				if took := time.Since(began).Round(time.Millisecond); took != row.want {
					t.Errorf("five calls took %v, want %v", took, row.want)
				}
			})
		})
	}
}

func TestCallThatWouldWaitTooLongForItsTurnIsAnError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		k := playing(Server{PerMinute: 1}, takes(time.Second)).kit(t, "s.act")
		contains(t, strings.Join(k.replies(t, nil, "s_act", "s_act"), ""), "s may be called 1 time a minute")
	})
}

func TestPanicOfAToolIsItsErrorAndSaysNothingOfTheDocument(t *testing.T) {
	t.Parallel()
	k := playing(Server{}, func(context.Context) (string, error) { panic("the whole secret document") }).kit(t, "s.act", "doc.outline")
	got := k.replies(t, &jobs.Document{Body: []byte("# One")}, "s_act", "doc_outline")
	if got[0] != "Error: the tool panicked: a string" {
		t.Errorf("it says %q", got[0])
	}
	contains(t, got[1], "# One")
}

func TestQuotaOfAJobHoldsOverItsTurns(t *testing.T) {
	t.Parallel()
	b := playing(Server{PerJob: 3}, func(context.Context) (string, error) { return "done", nil })
	for most, want := range map[int]int{0: 3, 2: 2, 9: 3} {
		k, err := b.Kit(t.Context(), []string{"s.act"}, map[string]int{"s.act": most})
		if err != nil {
			t.Fatal(err)
		}
		var talk []jobs.Message
		done := 0
		for range 5 {
			talk = append(talk, calling("s_act")...)
			text := k.Run(t.Context(), nil, talk, nil)[0].Text
			if text == "done" {
				done++
			} else {
				contains(t, text, fmt.Sprintf("s_act may be called %s in one conversation", jobs.Counted(want, "time")))
			}
		}
		if done != want {
			t.Errorf("with a limit of %d it ran %d times, want %d", most, done, want)
		}
	}
}

// A limit of each tool of a server held only for who asked for all of them.
func TestLimitOfAServersToolsHoldsForThoseAskedForByName(t *testing.T) {
	t.Parallel()
	b := playing(Server{}, func(context.Context) (string, error) { return "done", nil })
	for _, allowed := range []string{"s.act", "s.*"} {
		k, err := b.Kit(t.Context(), []string{allowed}, map[string]int{"s.*": 1})
		if err != nil {
			t.Fatal(err)
		}
		got := k.replies(t, nil, "s_act", "s_act")
		if got[0] != "done" || got[1] == "done" {
			t.Errorf("%s: it ran as often as it was called: %q", allowed, got)
		}
	}
}

func TestServerThatKeepsDyingIsStartedLessAndLessOften(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var starts []time.Duration
		b := New(Config{Servers: map[string]Server{"s": {Timeout: time.Hour}}, Dial: func(context.Context, string, Server, func(string)) (Session, error) {
			starts = append(starts, time.Since(began))
			if len(starts) < 9 {
				return nil, errors.New("no luck")
			}
			return &play{takes(0), make(chan struct{})}, nil
		}})
		b.servers["s"].specs = []Spec{{Name: "act"}}
		k := b.kit(t, "s.act")
		if text := k.unbounded(t, "s_act"); text != "done" {
			t.Errorf("it says %q", text)
		}
		var pauses []string
		for i, at := range starts[1:] {
			pauses = append(pauses, (at - starts[i]).String())
		}
		if got := strings.Join(pauses, " "); got != "1s 2s 4s 8s 16s 32s 1m0s 1m0s" {
			t.Errorf("pauses of %s", got)
		}
	})
}

// unbounded runs one call without a limit of time.
func (k *Kit) unbounded(t *testing.T, call string) string {
	return k.Run(t.Context(), nil, calling(call), nil)[0].Text
}

func TestArgumentsThatAreNoObjectAreAnError(t *testing.T) {
	t.Parallel()
	k := New(Config{}).kit(t, "doc.*")
	for _, arguments := range []string{"[]", "1", "{", `"x"`, "null"} {
		contains(t, k.replies(t, &jobs.Document{}, "doc_outline "+arguments)[0], "Error: the arguments are not a JSON object")
	}
}

func TestTheToolsOverDocumentsAreThoseOfLists(t *testing.T) {
	t.Parallel()
	if got, want := slices.Sorted(maps.Keys(own)), jobs.OverDocument(); !slices.Equal(got, want) {
		t.Errorf("there are %v, lists may name %v", got, want)
	}
}

func TestNamesAreFitForProvidersAndTellApart(t *testing.T) {
	t.Parallel()
	long := "s." + strings.Repeat("x", 90)
	names := spoken([]string{"a.b", "a_b.c", "a.b_c", long, long + "y"})
	seen := map[string]bool{}
	for path, name := range names {
		if len(name) > 64 || strings.ContainsAny(name, "./ ") || seen[name] {
			t.Errorf("%s is called %q", path, name)
		}
		seen[name] = true
	}
	if names["a.b"] != "a_b" {
		t.Errorf("a.b is called %q", names["a.b"])
	}
}
