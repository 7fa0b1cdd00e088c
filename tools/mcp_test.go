package tools

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/drover-batch/drover/jobs"
)

func TestServersTellTheirToolsAndRunThem(t *testing.T) {
	t.Parallel()
	web, seen := served(t)
	for name, s := range map[string]Server{"command": child(), "address": web} {
		t.Run(name, func(t *testing.T) {
			k := boxOf(t, s).kit(t, "s.echo", "s.refuse")
			list := k.Tools()
			if len(list) != 2 || list[0].Name != "s_echo" || list[0].Description != "does echo" {
				t.Fatalf("its tools are %+v", list)
			}
			contains(t, string(list[0].Schema), `"text"`)
			got := k.replies(t, nil, `s_echo {"text":"hello"}`, `s_refuse {"text":"x"}`, `s_big {"text":"x"}`)
			if got[0] != "hello" {
				t.Errorf("echo says %q", got[0])
			}
			contains(t, got[1], "Error: no such file")
			contains(t, got[2], `Error: there is no tool "s_big" here; there are: s_echo, s_refuse`)
		})
	}
	if h := seen.Load(); h == nil || h.Get("Authorization") != "Bearer sesame" {
		t.Errorf("the headers were %v", h)
	}
}

func TestCommandGetsNamedEnvironmentOnly(t *testing.T) {
	t.Setenv("DROVER_TEST_CANARY", "sk-canary")
	s := child()
	s.Env = append(s.Env, "LANG=C.UTF-8")
	got := boxOf(t, s).kit(t, "s.env").replies(t, nil, `s_env {"text":""}`)[0]
	if want := asServer + "=1\nLANG=C.UTF-8"; got != want {
		t.Errorf("its environment is %q, want %q", got, want)
	}
}

func TestWhatServersWriteToStandardErrorIsCountedOnly(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var notes []string
	b := New(Config{Servers: map[string]Server{"s": child()}, Note: func(_, what string) {
		mu.Lock()
		defer mu.Unlock()
		notes = append(notes, what)
	}})
	b.kit(t, "s.echo").replies(t, nil, `s_echo {"text":"x"}`)
	b.Close()
	all := strings.Join(notes, "; ")
	contains(t, all, "has written 24 bytes to its standard error")
	if strings.Contains(all, "secret") {
		t.Errorf("noted: %s", all)
	}
}

func TestServerThatDiesIsStartedAgain(t *testing.T) {
	t.Parallel()
	k := boxOf(t, child()).kit(t, "s.*")
	got := k.replies(t, nil, `s_echo {"text":"one"}`, `s_die {"text":""}`)
	contains(t, got[1], "Error: the tool server s ended during the call")
	began := time.Now()
	if got := k.replies(t, nil, `s_echo {"text":"two"}`)[0]; got != "two" {
		t.Errorf("after its death it says %q", got)
	}
	if took := time.Since(began); took < firstPause/2 {
		t.Errorf("it was started again after %v, without a pause", took)
	}
}

func TestHTTPServerThatGoesAwayIsAnErrorOfItsTool(t *testing.T) {
	t.Parallel()
	s, _ := served(t)
	s.Timeout = 500 * time.Millisecond
	b := boxOf(t, s)
	k := b.kit(t, "s.echo", "doc.outline")
	b.servers["s"].cfg.URL = "http://127.0.0.1:1/"
	b.servers["s"].session.Close()
	got := k.replies(t, &jobs.Document{Body: []byte("# One")}, `s_echo {"text":"x"}`, "doc_outline")
	contains(t, got[0], "Error: the tool server s is away")
	contains(t, got[1], "page 1: # One")
}

func TestCallsThatTakeTooLongAreErrors(t *testing.T) {
	t.Parallel()
	s := child()
	s.Timeout = 300 * time.Millisecond
	got := boxOf(t, s).kit(t, "s.*").replies(t, nil, `s_hang {"text":""}`, `s_echo {"text":"here"}`)
	contains(t, got[0], "Error: s.hang did not answer within 300ms")
	if got[1] != "here" {
		t.Errorf("its neighbour says %q", got[1])
	}
}

func TestResultsAreCleanedAndCut(t *testing.T) {
	t.Parallel()
	s := child()
	s.MaxResult = 1001
	got := boxOf(t, s).kit(t, "s.*").replies(t, nil, `s_echo {"text":"a\u001b[31mred\u0000\u202e\r\nnew"}`, `s_big {"text":""}`)
	if want := "a[31mred\nnew"; got[0] != want {
		t.Errorf("got %q, want %q", got[0], want)
	}
	if !strings.HasSuffix(got[1], "é\n[199000 bytes left out: ask for less at a time]") {
		t.Errorf("it ends with %q", got[1][len(got[1])-80:])
	}
}

func TestServerThatCannotBeStartedIsAway(t *testing.T) {
	t.Parallel()
	b := boxOf(t, Server{Command: []string{"/nonexistent/tool"}})
	for range 2 {
		_, err := b.Kit(t.Context(), []string{"s.echo"}, nil)
		away, ok := errors.AsType[*Away](err)
		if !ok || away.Wait <= 0 || away.Wait > firstPause {
			t.Fatalf("got %v", err)
		}
		contains(t, err.Error(), "no such file")
	}
}

func TestToolThatTheServerDoesNotHaveIsAMistake(t *testing.T) {
	t.Parallel()
	_, err := boxOf(t, child()).Kit(t.Context(), []string{"s.ehco"}, nil)
	if err == nil {
		t.Fatal("no error")
	}
	contains(t, err.Error(), `the tool server s has no tool "ehco", only`)
}

func TestCallsEndWithTheConversation(t *testing.T) {
	t.Parallel()
	k := boxOf(t, child()).kit(t, "s.*")
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(50*time.Millisecond, func() { cancel(errors.New("it took too long")) })
	contains(t, k.Run(ctx, nil, calling(`s_hang {"text":""}`), nil)[0].Text, "Error: it took too long")
}

func TestTraceparentReachesServersOfACallThatHasOne(t *testing.T) {
	t.Parallel()
	s, seen := served(t)
	k := boxOf(t, s).kit(t, "s.*")
	for _, want := range []string{"", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"} {
		talk := []jobs.Message{{Calls: []jobs.ToolCall{{Name: "s_echo", Arguments: `{"text":"x"}`}}}}
		k.Run(jobs.WithTraceparent(t.Context(), want), &jobs.Document{}, talk, nil)
		if got := seen.Load().Get("Traceparent"); got != want {
			t.Errorf("the server was told of %q, want %q", got, want)
		}
	}
}
