package wire

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-batch/drover/budget"
	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/queue"
)

// foldersOwn are the servers of a data folder, which each command brings along.
type foldersOwn struct {
	*testing.T
	dir string
	*Servers
}

func inFolder(t *testing.T) *foldersOwn {
	t.Helper()
	f := &foldersOwn{T: t, dir: t.TempDir()}
	f.open()
	t.Cleanup(f.shut)
	return f
}

func (f *foldersOwn) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func (f *foldersOwn) open() {
	f.Helper()
	text := "models:\n  small: {provider: simulator, context: 16000, max_output: 100, price: {input: 1, output: 2}}\nchains: {default: [small]}\nbudgets:\n  - {name: day, window: day, limit: 50}\n  - {name: acme, tenant: acme, limit: 50}\n"
	file := filepath.Join(f.TempDir(), "drover.yaml")
	f.must(os.WriteFile(file, []byte(text), 0o600))
	c, err := config.Load(config.Source{Path: file, Environ: []string{"DROVER_WORKER_DATA=" + f.dir}})
	f.must(err)
	f.Servers, err = Embed(context.WithoutCancel(f.Context()), c, false)
	f.must(err)
}

func (f *foldersOwn) shut() { f.must(f.Close()) }

// again is the next command.
func (f *foldersOwn) again() {
	f.Helper()
	f.shut()
	f.open()
}

// answer has documents of a batch answered at a cost.
func (f *foldersOwn) answer(batch string, from, to int, cost jobs.USD) {
	f.Helper()
	w, err := f.Queue.Enqueue(f.Context(), &jobs.Batch{ID: batch, Name: batch, Tenant: "acme", Chain: "default"})
	f.must(err)
	if w.Sealed() {
		f.must(w.Reopen(f.Context()))
	}
	for i := from; i < to; i++ {
		f.must(w.Add(f.Context(), fmt.Sprint(i), jobs.Document{Body: []byte("text")}))
	}
	f.must(w.Close(f.Context()))
	source, err := f.Queue.Source("w")
	f.must(err)
	defer func() { f.must(source.Close()) }()
	for left := to - from; left > 0; {
		lent, err := source.Next(f.Context(), left)
		f.must(err)
		for _, d := range lent {
			left--
			f.must(d.Done(f.Context(), f.outcome(d, jobs.Answered, cost)))
		}
	}
}

func (f *foldersOwn) outcome(d jobs.Delivery, s jobs.Status, cost jobs.USD) *jobs.Outcome {
	a := f.call(string(d.Job().ID)+fmt.Sprint(d.Job().Run), cost)
	o := jobs.NewOutcome(d.Job(), d.Batch(), s, []jobs.Attempt{a})
	o.Finished = time.Now()
	return o
}

func (f *foldersOwn) call(id string, cost jobs.USD) jobs.Attempt {
	return jobs.Attempt{Call: id, Run: 1, Model: "small", Started: time.Now().UTC(), Billing: jobs.Billed, Cost: cost}
}

// trueSums checks that what a look tells of batches and budgets is what the book
// says, whatever was added up before, and tells how many messages that took.
func (f *foldersOwn) trueSums(what string, batches ...string) (read uint64) {
	f.Helper()
	before := f.NATS.Stats().InMsgs
	look := func() map[string]jobs.USD {
		sums := map[string]jobs.USD{}
		for _, b := range batches {
			spent, ambiguous, err := f.Spent(f.Context(), b)
			f.must(err)
			sums[b], sums[b+", ambiguous"] = spent, ambiguous
		}
		return sums
	}
	got := look()
	list, err := f.Sums(f.Context())
	f.must(err)
	for _, s := range list {
		got[s.Account] = s.Spent
	}
	ends := map[string]map[jobs.Status]int64{}
	for _, b := range batches {
		ends[b], err = f.Ends(f.Context(), b)
		f.must(err)
	}
	read = f.NATS.Stats().InMsgs - before

	want := map[string]jobs.USD{}
	for _, b := range batches {
		want[b], want[b+", ambiguous"], err = f.Queue.Spent(f.Context(), b)
		f.must(err)
	}
	for _, b := range batches {
		want, err := f.Queue.Ends(f.Context(), b)
		f.must(err)
		if diff := cmp.Diff(want, ends[b]); diff != "" {
			f.Errorf("%s: ends of %s: %s", what, b, diff)
		}
	}
	for _, name := range []string{"day", "acme"} {
		want[budget.Account(name)] = 0
	}
	for s, err := range f.Queue.Book(f.Context()) {
		f.must(err)
		want["budget:day"] += s.Cost
		want["budget:acme"] += s.Cost
		want[budget.BatchAccount(s.Batch)] += s.Cost
	}
	if diff := cmp.Diff(want, got); diff != "" {
		f.Errorf("%s: %s", what, diff)
	}
	return read
}

// Each look added up the whole book anew.
func TestSecondLookReadsNothingOfTheBook(t *testing.T) {
	t.Parallel()
	f := inFolder(t)
	f.answer("b", 0, 300, 2)
	f.again()
	first := f.trueSums("first", "b")
	f.again()
	if second := f.trueSums("second", "b"); first < 600 || second > 50 {
		t.Errorf("%d messages were read, and then %d", first, second)
	}
}

func TestWhatWasAddedUpIsNeverTakenForWhatIs(t *testing.T) {
	t.Parallel()
	f := inFolder(t)
	f.answer("a", 0, 3, 2)
	steps := []struct {
		what string
		do   func()
	}{
		{"nothing", func() {}},
		{"more answers", func() { f.answer("a", 3, 5, 7) }},
		{"another batch", func() { f.answer("b", 0, 2, 11) }},
		{"waste", func() {
			f.must(f.Queue.Waste(t.Context(), "b", jobs.NewID("b", "0"), "lost", []jobs.Attempt{f.call("wasted", 13)}))
		}},
		{"a presumed call", func() {
			_, err := f.Queue.Presume(t.Context(), jobs.Spend{Call: "p", Job: jobs.NewID("a", "1"), Batch: "a", Tenant: "acme", Model: "small", At: time.Now(), Cost: 17}, "died")
			f.must(err)
		}},
		{"that call after all", func() {
			f.must(f.Queue.Waste(t.Context(), "a", jobs.NewID("a", "1"), "thawed", []jobs.Attempt{f.call("p", 5)}))
		}},
		{"a limit", func() { f.must(f.SetLimit(t.Context(), "day", 1000)) }},
		{"a death and its replay", func() { f.dieAndReplay("c") }},
		{"removal", func() { f.must(f.Queue.Remove(t.Context(), "a")) }},
		{"the same batch anew", func() { f.answer("a", 0, 3, 19) }},
	}
	for _, s := range steps {
		f.trueSums("before "+s.what, "a", "b", "c")
		f.again()
		s.do()
		f.again()
		f.trueSums(s.what, "a", "b", "c")
		f.again()
		f.trueSums(s.what+", again", "a", "b", "c")
	}
	sums, err := f.Sums(t.Context(), "budget:day")
	f.must(err)
	if len(sums) != 1 || sums[0].Limit != 1000 {
		t.Errorf("the limit that was set is %+v", sums)
	}
}

// dieAndReplay has one document die, and answered when it is replayed.
func (f *foldersOwn) dieAndReplay(batch string) {
	f.Helper()
	w, err := f.Queue.Enqueue(f.Context(), &jobs.Batch{ID: batch, Name: batch, Tenant: "acme", Chain: "default"})
	f.must(err)
	f.must(w.Add(f.Context(), "0", jobs.Document{Body: []byte("text")}))
	f.must(w.Close(f.Context()))
	source, err := f.Queue.Source("w")
	f.must(err)
	defer func() { f.must(source.Close()) }()
	lent, err := source.Next(f.Context(), 1)
	f.must(err)
	o := f.outcome(lent[0], jobs.Dead, 23)
	o.Kind = jobs.Refused
	f.must(lent[0].Bury(f.Context(), o))
	f.trueSums("a death", "a", "b", "c")
	for l, err := range f.Queue.Dead(f.Context(), queue.DeadFilter{}) {
		f.must(err)
		f.must(f.Queue.Replay(f.Context(), l))
	}
	lent, err = source.Next(f.Context(), 1)
	f.must(err)
	f.must(lent[0].Done(f.Context(), f.outcome(lent[0], jobs.Answered, 29)))
}

func TestTallyThatWasCutOffCountsForNothing(t *testing.T) {
	t.Parallel()
	f := inFolder(t)
	f.answer("b", 0, 3, 2)
	f.trueSums("first", "b")
	f.shut()
	file := filepath.Join(f.dir, tallyFile)
	whole, err := os.ReadFile(file)
	f.must(err)
	for cut := 0; cut < len(whole); cut += 1 + len(whole)/40 {
		f.must(os.WriteFile(file, whole[:cut], 0o600))
		if got := openTally(f.dir); got.Mark != "" {
			t.Errorf("cut off after %d of %d bytes it counts: %+v", cut, len(whole), got)
		}
	}
	f.must(os.WriteFile(file, whole, 0o600))
	if got := openTally(f.dir); got.Mark == "" || !got.Whole {
		t.Errorf("whole it does not count: %+v", got)
	}
	f.open()
}

// The same number of outcomes, stored by somebody else after a backup was put
// back, is another book.
func TestTallyOutlivesNoBackup(t *testing.T) {
	t.Parallel()
	f := inFolder(t)
	f.answer("b", 0, 1, 2)
	f.shut()
	backup := t.TempDir()
	f.must(os.CopyFS(backup, os.DirFS(filepath.Join(f.dir, "nats"))))
	f.open()
	f.answer("b", 1, 3, 5)
	f.trueSums("before", "b")
	f.shut()
	f.must(os.RemoveAll(filepath.Join(f.dir, "nats")))
	f.must(os.CopyFS(filepath.Join(f.dir, "nats"), os.DirFS(backup)))
	f.open()
	f.answer("b", 1, 3, 7)
	f.again()
	f.trueSums("after", "b")
}
