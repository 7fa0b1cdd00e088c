package wire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/llm/simulator"
	"github.com/drover-batch/drover/tools"
)

// talking is a world whose model says what a function says, a second after it
// was asked, and whose jobs may read their document.
func talking(say func(simulator.Asked) *simulator.Reply, more ...func(*config.Config)) scene {
	return scene{provider: simulator.Config{Latency: time.Second, Reply: say}, tune: func(c *config.Config) {
		small := c.Models["small"]
		small.Context = 100_000
		c.Models["small"] = small
		allow(c, "doc.*")
		for _, f := range more {
			f(c)
		}
	}}
}

// allow lets the usual chain use some tools.
func allow(c *config.Config, list ...string) {
	chain := c.Chains["default"]
	chain.Agent.Tools = list
	c.Chains["default"] = chain
}

func calls(name, arguments string) *simulator.Reply {
	return &simulator.Reply{Calls: []simulator.Call{{Name: name, Arguments: arguments}}}
}

// reading asks for another page each time, for so many turns.
func reading(turns int) func(simulator.Asked) *simulator.Reply {
	return func(a simulator.Asked) *simulator.Reply {
		if a.Turn >= turns {
			return &simulator.Reply{Text: "It ends on 3 May."}
		}
		return calls("doc_search", fmt.Sprintf(`{"text":"word %d"}`, a.Turn))
	}
}

// talk is the batch of most of these worlds: its prompt has the mark of the
// document, for the wire-tap.
func talk() jobs.Batch { return jobs.Batch{ID: "talk", Prompt: "When does it end? {{.Text}}"} }

func TestLoopOfToolCallsIsStopped(t *testing.T) {
	often := func(a simulator.Asked) *simulator.Reply { // ten at a time
		r := &simulator.Reply{}
		for i := range 10 {
			r.Calls = append(r.Calls, simulator.Call{Name: "doc_search", Arguments: fmt.Sprintf(`{"text":"%d"}`, 10*a.Turn+i)})
		}
		return r
	}
	long := func(a simulator.Asked) *simulator.Reply { // reads the same long page again and again, for some other reason
		return calls("doc_read", fmt.Sprintf(`{"from":1,"because":%d}`, a.Turn))
	}
	for name, row := range map[string]struct {
		say    func(simulator.Asked) *simulator.Reply
		doc    string
		speed  time.Duration
		calls  int
		reason string
	}{
		"the same call":  {func(simulator.Asked) *simulator.Reply { return calls("doc_search", `{"text":"x"}`) }, "Short.", 0, 3, `the tool "doc_search" was called with the same arguments 3 times`},
		"20 answers":     {reading(1000), "Short.", 0, 20, "the conversation went on after 20 answers, the most allowed"},
		"50 tool calls":  {often, "Short.", 0, 6, "the conversation asked for 60 tool calls, of 50 allowed"},
		"300 seconds":    {reading(1000), "Short.", 19 * time.Second, 16, "the conversation took longer than the 5m0s allowed"},
		"100,000 tokens": {long, strings.Repeat("word ", 9000), 0, 7, "of 100,000 allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			s := talking(row.say)
			if row.speed > 0 {
				s.provider.Latency = row.speed
			}
			inWorld(t, s, func(w *world) {
				b := talk()
				b.Budget = 10 * jobs.Dollar
				w.submit(b, row.doc)
				w.start("a", "b")
				w.untilOver("talk")
				letters := w.letters("talk")
				l := letters["0"]
				if l == nil {
					w.Fatalf("no dead letter: %+v", w.outcomes("talk")["0"])
				}
				o := l.Outcome
				if o.Kind != jobs.Runaway || !strings.Contains(o.Reason, row.reason) {
					w.Errorf("it died of %s: %s", o.Kind, o.Reason)
				}
				if w.paid() != row.calls || len(o.Attempts) != row.calls {
					w.Errorf("%d calls were paid for and %d are on record, want %d", w.paid(), len(o.Attempts), row.calls)
				}
				if n := len(o.Transcript); n < 4 || o.Transcript[1].Calls[0].Name == "" {
					w.Errorf("the transcript has %d messages", n)
				}
				if o.Usage.Total() > 100_000 {
					w.Errorf("%d tokens were used", o.Usage.Total())
				}
			})
		})
	}
}

func TestToolThatFailsIsAnsweredForAndItsNeighboursStand(t *testing.T) {
	heard := make(chan []string, 1)
	s := talking(func(a simulator.Asked) *simulator.Reply {
		if a.Turn > 0 {
			heard <- a.Results
			return &simulator.Reply{Text: "Done."}
		}
		return &simulator.Reply{Calls: []simulator.Call{
			{Name: "doc_read", Arguments: `{"from":99}`}, {Name: "doc_search", Arguments: `{"text":"tomorrow"}`},
			{Name: "files_delete", Arguments: `{"path":"/"}`}, {Name: "doc_outline"},
		}}
	})
	s.tune2(func(c *config.Config) { allow(c, "doc.read", "doc.search") })
	inWorld(t, s, func(w *world) {
		w.submit(talk(), "It ends tomorrow.")
		w.start("a")
		w.untilOver("talk")
		w.answered("talk")
		results := <-heard
		for i, want := range []string{
			"Error: there is no page 99: the document has pages 1 to 1", "It ends tomorrow.",
			`Error: there is no tool "files_delete" here; there are: doc_read, doc_search`, `Error: there is no tool "doc_outline" here`,
		} {
			if !strings.Contains(results[i], want) {
				w.Errorf("reply %d is %q, want %q", i, results[i], want)
			}
		}
		if n := len(w.outcomes("talk")["0"].Transcript); n != 6 {
			w.Errorf("%d messages are kept with the answer", n)
		}
	})
}

// tune2 changes the configuration of a scene further.
func (s *scene) tune2(f func(*config.Config)) {
	before := s.tune
	s.tune = func(c *config.Config) {
		before(c)
		f(c)
	}
}

func TestWorkerKilledInStepSevenCostsThatStepOnly(t *testing.T) {
	for when, extra := range map[string]int{"on its way": 1, "before it": 0} {
		t.Run(when, func(t *testing.T) {
			inWorld(t, talking(reading(10)), func(w *world) {
				b := talk()
				b.Budget = jobs.Dollar
				w.submit(b, "It ends on 3 May.")
				w.start("a")
				w.wait(func() bool { return w.paid() == 6 })
				if extra == 1 {
					w.wait(func() bool { return w.provider.sent() == 7 })
					time.Sleep(500 * time.Millisecond)
					w.kill("a")
				} else {
					w.names()["a"].link.arm(trap{step: entered, when: before, nth: 1, spring: func(l *link) { w.end(l.member) }})
				}
				time.Sleep(10 * time.Second)
				w.start("b")
				w.untilOver("talk")
				w.answered("talk")
				if got := w.paid() - 11; got != extra {
					w.Errorf("%d calls were paid for in vain, want %d", got, extra)
				}
				o := w.outcomes("talk")["0"]
				for i, a := range o.Attempts {
					if want := fmt.Sprintf("turn %d", i+1); a.Step != want {
						w.Errorf("attempt %d is %s", i+1, a.Step)
					}
				}
				if o.Answer != "It ends on 3 May." || len(o.Attempts) != 11 {
					w.Errorf("%d attempts on record, answer %q", len(o.Attempts), o.Answer)
				}
			})
		})
	}
}

func TestStopInTheMiddleOfAConversationHandsItOn(t *testing.T) {
	inWorld(t, talking(reading(10)), func(w *world) {
		b := talk()
		b.Budget = jobs.Dollar
		w.submit(b, "It ends on 3 May.", "It ends on 4 May.")
		w.start("a")
		w.wait(func() bool { return w.paid() >= 6 })
		began := time.Now()
		w.stop("a")
		if took := time.Since(began); took > 3*time.Second {
			w.Errorf("stopping took %v, a step takes one second", took)
		}
		w.start("b")
		w.untilOver("talk")
		w.answered("talk")
		if w.paid() != 22 {
			w.Errorf("%d calls were paid for, want 22", w.paid())
		}
	})
}

func TestBatchWithoutToolsOfItsChainHasNone(t *testing.T) {
	inWorld(t, talking(func(a simulator.Asked) *simulator.Reply {
		if len(a.Tools) > 0 {
			return calls("doc_search", `{"text":"x"}`)
		}
		return nil
	}), func(w *world) {
		b := talk()
		b.Tools = []string{jobs.NoTools}
		w.submit(b, short(3)...)
		w.start("a")
		w.untilOver("talk")
		w.answered("talk")
		if w.paid() != 3 {
			w.Errorf("%d calls were paid for", w.paid())
		}
	})
}

func TestBatchWaitsForToolsThatTheWorkerMayNotUse(t *testing.T) {
	inWorld(t, talking(reading(2)), func(w *world) {
		b := talk()
		b.Tools = []string{"mail.send"}
		w.submit(b, short(3)...)
		w.start("a")
		time.Sleep(time.Minute)
		if w.paid() != 0 || w.progress("talk").Done() != 0 {
			w.Errorf("%d calls were paid for", w.paid())
		}
		if !w.log.says(`the batch wants the tools mail.send, which the chain \"default\" of this worker may not use`) {
			w.Error("the log does not say why")
		}
		_, err := w.client.Queue.Cancel(w.ctx, "talk")
		w.must(err)
	})
}

// mortal plays a tool server that can die.
type mortal struct {
	done  chan struct{}
	calls int
}

func (s *mortal) List(context.Context) ([]tools.Spec, error) {
	return []tools.Spec{{Name: "read"}}, nil
}

func (s *mortal) Call(_ context.Context, _ string, arguments json.RawMessage) (string, error) {
	if s.calls++; s.calls == 3 {
		close(s.done)
		return "", errors.New("it broke")
	}
	return "read " + string(arguments), nil
}

func (s *mortal) Done() <-chan struct{} { return s.done }
func (s *mortal) Close()                {}

func TestToolServerThatDiesInBetweenIsStartedAgain(t *testing.T) {
	var heard []string
	s := talking(func(a simulator.Asked) *simulator.Reply {
		if a.Turn == 6 {
			heard = a.Results
			return &simulator.Reply{Text: "Done."}
		}
		return calls("files_read", fmt.Sprintf(`{"n":%d}`, a.Turn))
	})
	starts := 0
	s.tune2(func(c *config.Config) {
		c.ToolServers = map[string]config.ToolServer{"files": {Command: []string{"files"}}}
		allow(c, "files.read")
	})
	s.dialTools = func(context.Context, string, tools.Server, func(string)) (tools.Session, error) {
		if starts++; starts == 1 || starts == 3 { // away at first, and again later
			return nil, errors.New("out of reach")
		}
		return &mortal{done: make(chan struct{})}, nil
	}
	inWorld(t, s, func(w *world) {
		w.submit(talk(), "It ends.")
		w.start("a")
		w.untilOver("talk")
		w.answered("talk")
		if got := strings.Join(heard, "; "); got != `read {"n":0}; read {"n":1}; Error: the tool server files ended during the call; read {"n":3}; read {"n":4}; Error: the tool server files ended during the call` {
			w.Errorf("the tools said %s", got)
		}
		if starts != 4 || w.paid() != 7 {
			w.Errorf("it was started %d times, and %d calls were paid for", starts, w.paid())
		}
	})
}

// counted notes when it was called.
type counted struct {
	mortal
	called func()
}

func (s *counted) Call(context.Context, string, json.RawMessage) (string, error) {
	s.called()
	return "read", nil
}

func TestCallsPerMinuteOfAToolServerHoldForTheWholeFleet(t *testing.T) {
	s := talking(func(a simulator.Asked) *simulator.Reply {
		if a.Turn == 3 {
			return &simulator.Reply{Text: "Done."}
		}
		return calls("files_read", fmt.Sprintf(`{"n":%d}`, a.Turn))
	})
	s.tune2(func(c *config.Config) {
		c.ToolServers = map[string]config.ToolServer{"files": {Command: []string{"files"}, PerMinute: 60, Timeout: time.Minute}}
		allow(c, "files.read")
	})
	var mu sync.Mutex
	var at []time.Time
	s.dialTools = func(context.Context, string, tools.Server, func(string)) (tools.Session, error) {
		return &counted{mortal{done: make(chan struct{})}, func() {
			mu.Lock()
			defer mu.Unlock()
			at = append(at, time.Now())
		}}, nil
	}
	inWorld(t, s, func(w *world) {
		w.submit(talk(), short(16)...)
		w.start("a", "b", "c")
		w.untilOver("talk")
		w.answered("talk")
		if len(at) != 16*3 {
			w.Errorf("%d calls", len(at))
		}
		if took, least := at[len(at)-1].Sub(at[0]).Round(time.Millisecond), time.Duration(len(at)-1)*time.Second; took < least || took > least+5*time.Second {
			w.Errorf("%d calls in %v, of 60 a minute", len(at), took)
		}
	})
}
