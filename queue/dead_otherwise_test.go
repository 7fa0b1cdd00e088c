package queue

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// dies buries the only job of a batch and returns its letter.
func (w *world) dies(s *Source, b string) *jobs.DeadLetter {
	w.Helper()
	d := w.take(s, 1)[0]
	w.must(d.Bury(w.ctx, death(d, jobs.Overflow, paid(fmt.Sprint(b, "/", d.Job().Run), d.Job().Run, 3))))
	return w.letter(b, d.Job().ID)
}

func TestReplayIsAskedByAnotherChainAndWithAnotherPrompt(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		b := batch("b")
		b.Prompt, b.System = "What of it?", "Be brief."
		w.enqueue(b, 2)
		s := w.source("w1")
		l := w.dies(s, "b")
		l.Job.Instead = &jobs.Instead{Chain: "large", Prompt: new("When does it end?")}
		w.must(w.q.Replay(w.ctx, l))
		w.must(w.q.Replay(w.ctx, l)) // which is the same again
		for _, d := range w.take(s, 2) {
			asked := [3]string{d.Batch().Chain, d.Batch().Prompt, d.Batch().System}
			want := [3]string{"default", "What of it?", "Be brief."}
			if d.Job().ID == l.Job.ID {
				want = [3]string{"large", "When does it end?", "Be brief."}
				if d.Job().Run != 2 || string(d.Job().Document.Body) != string(l.Job.Document.Body) {
					t.Errorf("the replay is %+v", d.Job())
				}
			}
			if asked != want {
				t.Errorf("%s is asked with %q, want %q", d.Job().CustomID, asked, want)
			}
		}
		kept, err := w.q.Batch(w.ctx, "b")
		w.must(err)
		if kept.Chain != "default" || kept.Prompt != "What of it?" || strings.Join(kept.Chains, " ") != "large" {
			t.Errorf("the batch has become %+v", kept)
		}
	})
}

func TestOutcomeOfAReplaySaysWhatItWasAskedWith(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1)
		s := w.source("w1")
		l := w.dies(s, "b")
		l.Job.Instead = &jobs.Instead{Chain: "large", Prompt: new("When does it end?"), System: new("")}
		w.must(w.q.Replay(w.ctx, l))
		again := w.dies(s, "b")
		if o := again.Outcome; o.Chain != "large" || o.Prompt != "sha256:3666ece17f697866" || o.System != "sha256:e3b0c44298fc1c14" || o.Cost != 6 {
			t.Errorf("the second death is told as %+v", o)
		}
		w.must(w.q.Replay(w.ctx, again)) // as it was
		d := w.take(s, 1)[0]
		if d.Job().Run != 3 || d.Batch().Chain != "large" || d.Batch().Prompt != "When does it end?" {
			t.Errorf("run %d is asked by %q with %q", d.Job().Run, d.Batch().Chain, d.Batch().Prompt)
		}
		w.must(d.Done(w.ctx, answer(d, "w1")))
		o, err := w.q.Outcome(w.ctx, "b", d.Job().ID)
		w.must(err)
		if o.Chain != "large" || o.Prompt != "sha256:3666ece17f697866" {
			t.Errorf("the answer is told as %+v", o)
		}
	})
}

func TestOfReplaysByDifferentChainsOneWinsAndTheOtherIsTold(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		s := w.source("w1")
		for i := range 10 {
			b := fmt.Sprint("b", i)
			w.enqueue(batch(b), 1)
			l := w.dies(s, b)
			chains := []string{"large", "huge", ""}
			told := make(chan string, len(chains))
			for _, chain := range chains {
				mine := *l
				job := *l.Job
				mine.Job = &job
				if chain != "" {
					job.Instead = &jobs.Instead{Chain: chain}
				}
				go func() {
					err := w.q.Replay(w.ctx, &mine)
					if err == nil {
						told <- chain
						return
					}
					if !errors.Is(err, ErrReplayedOtherwise) {
						t.Error(err)
					}
					told <- "lost"
				}()
			}
			won := "lost"
			for range chains {
				if chain := <-told; chain != "lost" {
					if won != "lost" {
						t.Errorf("%q and %q both won", won, chain)
					}
					won = chain
				}
			}
			if p := w.progress(b); p.Queued+p.Running != 1 || p.Dead != 0 {
				t.Errorf("after three replays: %+v", p)
			}
			d := w.take(s, 1)[0]
			if got := strings.TrimPrefix(d.Batch().Chain, "default"); got != won {
				t.Errorf("%q was told to run, and it is %q that does", won, got)
			}
			w.must(d.Done(w.ctx, answer(d, "w1")))
			w.nothing(s, time.Second) // it is over, and its marks are gone
			l.Job.Instead = &jobs.Instead{Chain: "late"}
			if err := w.q.Replay(w.ctx, l); !errors.Is(err, ErrReplayedOtherwise) {
				t.Errorf("one that comes when it is all over: %v", err)
			}
		}
	})
}

// Whoever replays a letter again after a crash finds the run queued, and must
// still see to it that the letter goes.
func TestReplayKilledAnywhereAndRepeatedByAnotherChainRunsOnce(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		s := w.source("w1")
		killedAnywhere(w, func(m *mortal, b string) func() {
			w.enqueue(batch(b), 1)
			l := w.dies(s, b)
			l.Job.Instead = &jobs.Instead{Chain: "large"}
			return func() { _ = m.q.Replay(m.ctx, l) }
		}, func(b string) {
			id, chain := jobs.NewID(b, "0"), "large"
			l, err := w.q.DeadLetter(w.ctx, b, id)
			if err == nil {
				l.Job.Instead = &jobs.Instead{Chain: "huge"}
				switch err := w.q.Replay(w.ctx, l); {
				case err == nil:
					chain = "huge"
				case !errors.Is(err, ErrReplayedOtherwise):
					w.Errorf("replaying: %v", err)
				}
			} else if !errors.Is(err, ErrNoDeadLetter) {
				w.Error(err)
			}
			d := w.take(s, 1)[0]
			if d.Job().Run != 2 || d.Batch().Chain != chain {
				w.Errorf("run %d is asked by %q, and %q was told", d.Job().Run, d.Batch().Chain, chain)
			}
			w.endsOnce(s, d)
		})
	})
}

// A build that does not know of Instead would ask by the batch's chain.
func TestReplayByAnotherChainIsNothingThatAnOlderBuildCanAskAbout(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1)
		s := w.source("w1")
		plainly, err := w.q.manifest(w.ctx, "b")
		w.must(err)
		l := w.dies(s, "b")
		l.Job.Instead = &jobs.Instead{Chain: "large"}
		w.must(w.q.Replay(w.ctx, l))
		m, err := w.q.manifest(w.ctx, "b")
		w.must(err)
		if plainly.Format != 1 || m.Format != 2 {
			t.Errorf("the batch was of format %d and is of format %d", plainly.Format, m.Format)
		}
		// Nor, until it has seen that, may it take the job for anything: it buries
		// what it cannot read, unless that is an object.
		msg, err := lastOn(w.ctx, w.q.jobs, w.q.names.job("b", replayedPart))
		w.must(err)
		body, err := w.q.body(w.ctx, msg.Header, msg.Data)
		w.must(err)
		if err := new(jobs.Job).UnmarshalBinary(body); err == nil || msg.Header.Get(docHeader) == "" {
			t.Errorf("an older build reads %s (%v), of the object %q", body, err, msg.Header.Get(docHeader))
		}
	})
}

// queueAs queues a job of batch b as a build would whose format it is.
func (w *world) queueAs(format int, id jobs.ID) {
	w.Helper()
	data, err := (&jobs.Job{ID: id, Batch: "b", CustomID: "x", Run: 1}).MarshalBinary()
	w.must(err)
	m := newMsg(w.q.names.job("b", replayedPart), append(fmt.Appendf(nil, "%d\n", format), data...))
	m.Header.Set(jobHeader, string(id))
	w.must(w.nc.PublishMsg(m))
}

func TestJobOfANewerFormatIsHandedBack(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 2)
		s := w.source("w1")
		d := w.take(s, 1)[0]
		w.fromTomorrow("b") // which the source has not seen yet
		id := jobs.NewID("b", "x")
		w.queueAs(batchFormat+1, id)
		w.must(w.take(s, 1)[0].Done(w.ctx, answer(d, "w1")))
		w.nothing(s, 10*time.Second)
		back, err := w.q.returned(w.ctx, &jobs.Job{ID: id, Batch: "b", Run: 1})
		w.must(err)
		if p := w.progress("b"); p.Queued+p.Running != 2 || p.Dead != 0 || back.Count == 0 {
			t.Errorf("it is not left as it was after %d returns: %+v", back.Count, p)
		}
	})
}

// A batch of which one says so came to no end.
func TestForgedFormatIsNoReasonToWaitForANewerBuild(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1)
		s := w.source("w1")
		w.must(w.take(s, 1)[0].Return(w.ctx, nil))
		id := jobs.NewID("b", "x")
		w.queueAs(batchFormat+1, id)
		d := w.take(s, 1)[0]
		w.must(d.Done(w.ctx, answer(d, "w1")))
		w.nothing(s, 10*time.Second)
		if o := w.letter("b", id).Outcome; o.Kind != jobs.Internal {
			t.Errorf("it ends as %+v", o)
		}
	})
}
