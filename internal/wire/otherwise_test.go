package wire

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/llm/simulator"
)

// replay runs all letters of a batch again, asked with something else.
func (w *world) replay(batch string, i jobs.Instead) {
	w.Helper()
	otherwise, err := w.client.Otherwise(i)
	w.must(err)
	for _, l := range w.letters(batch) {
		w.must(otherwise.Amend(w.ctx, l))
		w.must(w.client.Queue.Replay(w.ctx, l))
	}
}

func TestLettersOfDocumentsTooLongAreAnsweredByAChainWithRoom(t *testing.T) {
	inWorld(t, second, func(w *world) {
		docs := short(10)
		docs[3], docs[7] = long(), long()
		w.submit(jobs.Batch{ID: "contracts", Chain: "cheap"}, docs...)
		w.start("a", "b")
		w.untilOver("contracts")
		if n := len(w.letters("contracts")); n != 2 {
			t.Fatalf("%d letters", n)
		}
		w.replay("contracts", jobs.Instead{Chain: "default"})
		w.untilOver("contracts")
		w.answered("contracts")
		for id, o := range w.outcomes("contracts") {
			model, chain := "small", ""
			if id == "3" || id == "7" {
				model, chain = "large", "default"
			}
			if o.Model != model || o.Chain != chain {
				t.Errorf("%s is answered by %s of the chain %q", id, o.Model, o.Chain)
			}
		}
	})
}

// A batch's prompts are parsed once: those of a replay must not be taken for them,
// nor they for the replay's.
func TestReplayWithAnotherPromptIsAskedWithThatAlone(t *testing.T) {
	say := saying(func(a simulator.Asked) string {
		if strings.Contains(a.Document, "mended") {
			return "mended, " + a.System
		}
		return ""
	})
	inWorld(t, say, func(w *world) {
		docs := short(6)
		docs[2] = "[[simulate:422*1]] It fails once."
		docs[4] = docs[2] // for each prompt
		w.submit(jobs.Batch{ID: "contracts", Prompt: "A broken question? {{.Text}}", Dedupe: jobs.DedupeBatch, Degrade: jobs.Degrade{Cached: true}}, docs...)
		w.start("a")
		w.untilOver("contracts")
		w.replay("contracts", jobs.Instead{Prompt: new("A mended question? {{.Text}}"), System: new("Be brief.")})
		w.untilOver("contracts")
		again := w.letters("contracts")
		for id, l := range again {
			if l.Outcome.Prompt != jobs.Digest("A mended question? {{.Text}}") {
				t.Errorf("%s died of %q", id, l.Outcome.Prompt)
			}
			w.must(w.client.Queue.Replay(w.ctx, l)) // as it was
		}
		w.untilOver("contracts")
		w.answered("contracts")
		for id, o := range w.outcomes("contracts") {
			if replayed := id == "2" || id == "4"; (o.Answer == "mended, Be brief.") != replayed || (o.Prompt != "") != replayed || (o.System != "") != replayed {
				t.Errorf("%s is answered with %q to %q", id, o.Answer, o.Prompt)
			}
		}
		// The batch's own prompt is still what it was.
		w.submit(jobs.Batch{ID: "more", Prompt: "A broken question? {{.Text}}"}, short(1)...)
		w.untilOver("more")
		if o := w.outcomes("more")["0"]; strings.HasPrefix(o.Answer, "mended") {
			t.Error("another batch is asked the mended question")
		}
	})
}

// Of each checkpoint it is known which run it is of: what was said to the one
// chain is not shown to the other.
func TestReplayByAnotherChainBeginsItsConversationAnew(t *testing.T) {
	turns := make(chan string, 100)
	scene := talking(func(a simulator.Asked) *simulator.Reply {
		turns <- fmt.Sprint(a.Model, a.Turn)
		if a.Model == "small" {
			return calls("doc_search", `{"text":"the same"}`)
		}
		return reading(2)(a)
	}, func(c *config.Config) {
		c.Chains["default"] = config.Chain{Models: []string{"small"}, Agent: c.Chains["default"].Agent}
		c.Chains["big"] = config.Chain{Models: []string{"large"}, Agent: c.Chains["default"].Agent}
	})
	inWorld(t, scene, func(w *world) {
		w.submit(talk(), "It ends on 3 May.")
		w.start("a")
		w.untilOver("talk")
		w.replay("talk", jobs.Instead{Chain: "big"})
		w.untilOver("talk")
		close(turns)
		var all []string
		for turn := range turns {
			all = append(all, turn)
		}
		if got, want := strings.Join(all, " "), "small0 small1 small2 large0 large1 large2"; got != want {
			t.Errorf("asked are %s, want %s", got, want)
		}
		if o := w.outcomes("talk")["0"]; o.Status != jobs.Answered || o.Model != "large" || o.Chain != "big" {
			t.Errorf("it is %s, by %s of the chain %q: %s", o.Status, o.Model, o.Chain, o.Reason)
		}
	})
}

// What the other chain lacks is no reason to let the rest of the batch wait.
func TestReplayByAChainThatIsDownHoldsUpNoOtherJobOfItsBatch(t *testing.T) {
	scene := second
	scene.tune = func(c *config.Config) { c.Chains["big"] = chain("large") }
	inWorld(t, scene, func(w *world) {
		b := jobs.Batch{ID: "contracts", Chain: "cheap"}
		w.submit(b, slices.Repeat([]string{long()}, 8)...)
		w.start("a")
		w.untilOver("contracts")
		w.must(w.provider.SetFaults(nil, []simulator.Outage{{Model: "large", For: time.Hour}}))
		w.replay("contracts", jobs.Instead{Chain: "big"})
		time.Sleep(10 * time.Minute) // its circuit opens, for longer and longer
		wr, err := w.client.Queue.Enqueue(w.ctx, &b)
		w.must(err)
		w.must(wr.Reopen(w.ctx))
		for i := 8; i < 408; i++ {
			id := fmt.Sprint(i)
			w.must(wr.Add(w.ctx, id, jobs.Document{Source: "contracts/" + id, Body: []byte(text("contracts", id, "They agree."))}))
			w.accepted["contracts"] = append(w.accepted["contracts"], id)
		}
		w.must(wr.Close(w.ctx))
		began := time.Now()
		w.wait(func() bool {
			return w.count("contracts", func(o *jobs.Outcome) bool { return o.Status == jobs.Answered }) == 400
		})
		if took := time.Since(began); took > 55*time.Second {
			t.Errorf("the rest of the batch took %s, of 50 seconds for 8 at a time", took)
		}
		if p := w.progress("contracts"); p.Queued+p.Running == 0 {
			t.Error("no letter waits for the circuit: nothing was tried")
		}
		w.untilOver("contracts")
	})
}

func TestReplayByAnotherChainKeepsToTheBudgetOfItsBatch(t *testing.T) {
	inWorld(t, second, func(w *world) {
		docs := []string{long(), long(), long()}
		w.submit(jobs.Batch{ID: "contracts", Chain: "cheap", Budget: 100_000, WhenSpent: jobs.BuryWhenSpent}, docs...)
		w.start("a")
		w.untilOver("contracts")
		w.replay("contracts", jobs.Instead{Chain: "default"})
		w.untilOver("contracts")
		var cost jobs.USD
		for _, o := range w.outcomes("contracts") {
			cost += o.Cost
		}
		if dead := w.letters("contracts"); cost > 100_000 || cost == 0 || len(dead) == 0 || len(dead) == 3 {
			t.Errorf("%s are spent of $0.10, and %d are dead", cost, len(dead))
		}
	})
}

func TestReplayIsRefusedThatCannotBeAnsweredSo(t *testing.T) {
	scene := second
	scene.alike = true // the checker wants a price of every model
	scene.tune = func(c *config.Config) {
		c.Chains["free"] = chain("free")
		free := c.Models["small"]
		free.Name, free.Price = "free", nil
		c.Models["free"] = free
	}
	inWorld(t, scene, func(w *world) {
		w.submit(jobs.Batch{ID: "contracts", Budget: jobs.Dollar, Tools: []string{"doc.read"}}, "[[simulate:422]]")
		for name, row := range map[string]struct {
			instead jobs.Instead
			want    string
		}{
			"no such chain":  {jobs.Instead{Chain: "chaep"}, `no chain "chaep" in `},
			"no template":    {jobs.Instead{Prompt: new("{{.x")}, "prompt, line 1"},
			"no such field":  {jobs.Instead{Prompt: new("{{.vendor}}")}, `has no field "vendor"`},
			"no such fields": {jobs.Instead{System: new("{{.vendor}}")}, `has no field "vendor"`},
			"no price":       {jobs.Instead{Chain: "free"}, "of the chain free no price is known"},
		} {
			o, err := w.client.Otherwise(row.instead)
			if err == nil {
				l := &jobs.DeadLetter{Job: &jobs.Job{ID: "x", Batch: "contracts"}}
				if err = o.Amend(w.ctx, l); l.Job.Instead != nil {
					t.Errorf("%s: the letter is changed all the same", name)
				}
			}
			if err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("%s: %v, want %q", name, err, row.want)
			}
		}
		w.must(w.client.Queue.Pause(w.ctx, "contracts", "")) // nobody is asked
		_, err := w.client.Queue.Cancel(w.ctx, "contracts")
		w.must(err)
	})
}
