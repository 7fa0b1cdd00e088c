package wire

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/llm/simulator"
)

// lossy is a provider of four seconds in a world whose broker goes away.
var lossy = scene{provider: four.provider, reconnects: true}

// begun counts the calls that were begun since then.
func (w *world) begun(since time.Time) int {
	w.provider.mu.Lock()
	defer w.provider.mu.Unlock()
	n := 0
	for _, s := range w.provider.calls {
		if s.at.After(since) {
			n++
		}
	}
	return n
}

// spooled is how many answers of a running worker wait on disk.
func (w *world) spooled(name string) int { return w.names()[name].worker.Spooled() }

// onDisk is how many answers of a folder wait on disk.
func (w *world) onDisk(name string) int {
	w.Helper()
	files, err := filepath.Glob(filepath.Join(w.folder(name), "*", "*.answer"))
	w.must(err)
	return len(files)
}

// strand has two workers in the middle of a batch of 40 jobs lose the broker, and
// answers wait on their disks.
func (w *world) strand(b jobs.Batch) {
	w.Helper()
	w.submit(b, short(40)...)
	w.start("a", "b")
	time.Sleep(6 * time.Second)
	w.broker.stop()
	time.Sleep(time.Minute)
}

func TestNATSAwayForTenMinutesLosesNoAnswer(t *testing.T) {
	s := slow // whose calls outlast the lease
	s.reconnects = true
	inWorld(t, s, func(w *world) {
		w.submit(jobs.Batch{ID: "contracts", Budget: jobs.Dollar}, short(40)...)
		w.start("a", "b")
		time.Sleep(5 * time.Second) // sixteen calls are on their way
		w.broker.stop()
		gone := time.Now()
		time.Sleep(10 * time.Minute)
		if n := w.begun(gone); n > 0 {
			t.Errorf("%d calls were begun while NATS was away", n)
		}
		if n := w.spooled("a") + w.spooled("b"); n != 16 || w.paid() != 16 {
			t.Errorf("%d answers wait on disk, %d calls were paid for, 16 were on their way", n, w.paid())
		}
		if err := w.names()["a"].worker.Ready(); err == nil {
			t.Error("readiness does not tell that answers wait")
		}
		w.broker.start()
		back := time.Now()
		w.wait(func() bool { return w.spooled("a")+w.spooled("b") == 0 })
		if took := time.Since(back); took > 3*time.Second {
			t.Errorf("they were stored %v after NATS was back", took)
		}
		w.untilOver("contracts")
		w.answered("contracts")
		if w.paid() != 40 {
			t.Errorf("paid for %d calls of 40 jobs", w.paid())
		}
		told := int64(0)
		for _, m := range w.names() {
			told += m.worker.Pool.Stats().Answered
		}
		if told != 40 {
			t.Errorf("the workers count %d answers", told)
		}
		for _, words := range []string{"answers wait on disk to be stored", "all answers that waited on disk are stored"} {
			if !w.log.says(words) {
				t.Errorf("the log does not say: %s", words)
			}
		}
	})
}

func TestNoCallIsBegunOnceTheLeaseIsLost(t *testing.T) {
	s := lossy
	s.tune = func(c *config.Config) {
		m := c.Models["small"]
		m.Timeout = 45 * time.Second
		c.Models["small"] = m
	}
	inWorld(t, s, func(w *world) {
		w.submit(jobs.Batch{ID: "contracts"}, short(8)...)
		w.must(w.provider.SetFaults(nil, []simulator.Outage{{For: time.Minute, Fault: simulator.Hang}}))
		w.start("a")
		time.Sleep(2 * time.Second)
		w.broker.stop()
		gone := time.Now()
		time.Sleep(5 * time.Minute) // the calls time out when the lease is over
		if n := w.begun(gone); n > 0 {
			t.Errorf("%d calls were begun without a lease", n)
		}
		if n := w.spooled("a"); n != 8 {
			t.Errorf("the waste of %d calls waits on disk, of 8", n)
		}
		w.broker.start()
		w.untilOver("contracts")
		w.answered("contracts")
		if n := len(w.wastes("contracts", false)); n != 8 {
			t.Errorf("waste of %d jobs is on record, 8 calls timed out", n)
		}
	})
}

// A folder that could not be taken over kept the answers in all others from
// being stored, and their jobs were paid for again.
func TestAnswersOfAKilledWorkerAreStoredThoughAnotherFolderIsBroken(t *testing.T) {
	s := lossy
	s.together = true
	inWorld(t, s, func(w *world) {
		w.strand(jobs.Batch{ID: "contracts", Budget: jobs.Dollar})
		broken := filepath.Join(w.folder("a"), "0")
		w.must(os.Mkdir(broken, 0o700))
		w.must(os.Symlink("nowhere", filepath.Join(broken, "1-1.answer")))
		left := w.onDisk("a")
		w.kill("b")
		w.broker.start()
		w.untilOver("contracts")
		w.answered("contracts")
		if left != 17 || w.onDisk("a") != 1 || w.paid() != 40 {
			t.Errorf("%d answers of 16 were left on disk, and %d still are; %d calls were paid for", left-1, w.onDisk("a")-1, w.paid())
		}
		time.Sleep(time.Minute)
		if n := w.log.count("looking for answers of workers that died"); n != 1 {
			t.Errorf("it was said %d times that a folder is broken", n)
		}
		w.must(os.RemoveAll(broken))
	})
}

func TestAnswersOfAKilledWorkerAreStoredByTheNext(t *testing.T) {
	inWorld(t, lossy, func(w *world) {
		w.strand(jobs.Batch{ID: "contracts", Budget: jobs.Dollar})
		left := w.onDisk("a")
		w.kill("a")
		time.Sleep(time.Minute)
		w.broker.start()
		w.start("a")
		if left != 8 || w.onDisk("a") != 0 {
			t.Errorf("%d answers of 8 were left on disk, and %d still are", left, w.onDisk("a"))
		}
		w.untilOver("contracts")
		w.answered("contracts")
		if w.paid() != 40 {
			t.Errorf("paid for %d calls of 40 jobs", w.paid())
		}
		folders, err := os.ReadDir(w.folder("a"))
		w.must(err)
		if len(folders) != 1 {
			t.Errorf("folders of dead processes stay: %v", folders)
		}
	})
}

func TestAnswersFoundTooLateAreWasteOnRecord(t *testing.T) {
	inWorld(t, lossy, func(w *world) {
		w.strand(jobs.Batch{ID: "contracts"})
		w.kill("a")
		w.broker.start()
		w.untilOver("contracts")
		w.answered("contracts")
		w.start("a")
		w.wait(func() bool { return w.spooled("a") == 0 })
		if n := len(w.wastes("contracts", false)); n != 8 || w.paid() != 48 {
			t.Errorf("waste of %d jobs is on record, %d calls paid for; 8 answers were found too late", n, w.paid())
		}
	})
}

func TestNeighbourStoresTheAnswersOfADeadWorker(t *testing.T) {
	s := lossy
	s.together = true
	inWorld(t, s, func(w *world) {
		w.strand(jobs.Batch{ID: "contracts"})
		if n := w.spooled("a"); n != 8 {
			t.Errorf("%d answers of 8 wait on disk, each in the folder of its own worker", n)
		}
		w.kill("a")
		time.Sleep(10 * time.Second)
		if n := w.spooled("b"); n != 16 {
			t.Errorf("the neighbour has %d answers to store, of 16", n)
		}
		w.broker.start()
		w.untilOver("contracts")
		w.answered("contracts")
		if w.paid() != 40 {
			t.Errorf("paid for %d calls of 40 jobs", w.paid())
		}
	})
}

func TestStopWhileNATSIsAwayLeavesTheAnswersToTheNext(t *testing.T) {
	inWorld(t, lossy, func(w *world) {
		w.submit(jobs.Batch{ID: "contracts"}, short(24)...)
		w.start("a")
		time.Sleep(6 * time.Second) // in the middle of the second round
		w.broker.stop()
		began := time.Now()
		w.stop("a")
		if took := time.Since(began); took > 20*time.Second {
			t.Errorf("stopping took %v", took)
		}
		if n := w.onDisk("a"); n != 8 || !w.log.says("8 answers left in "+w.folder("a")) {
			t.Errorf("%d answers of 8 are on disk", n)
		}
		time.Sleep(time.Minute)
		w.broker.start()
		w.start("a")
		w.untilOver("contracts")
		w.answered("contracts")
		if w.paid() != 24 {
			t.Errorf("paid for %d calls of 24 jobs", w.paid())
		}
	})
}

func TestFullSpoolBeginsNoCall(t *testing.T) {
	s := lossy
	s.tune = func(c *config.Config) {
		c.Worker.Spool = 3000
		m := c.Models["small"]
		m.Timeout = 15 * time.Second
		c.Models["small"] = m
	}
	inWorld(t, s, func(w *world) {
		docs := short(8)
		docs[3] += " [[simulate:hang]]"
		w.submit(jobs.Batch{ID: "contracts"}, docs...)
		w.start("a")
		time.Sleep(2 * time.Second)
		w.broker.stop()
		gone := time.Now()
		time.Sleep(time.Minute)
		if n := w.begun(gone); n > 0 {
			t.Errorf("%d calls were begun with nowhere to put their answer", n)
		}
		if n := w.spooled("a"); n == 0 || n > 6 || !w.log.says("raise worker.spool") {
			t.Errorf("%d answers wait on disk, and there is room for some of 7", n)
		}
		w.broker.start()
		w.untilOver("contracts")
		if n := w.count("contracts", func(o *jobs.Outcome) bool { return o.Status == jobs.Answered }); n != 7 {
			t.Errorf("%d of 7 were answered", n)
		}
		if err := w.names()["a"].worker.Ready(); err != nil {
			t.Errorf("once all are stored: %v", err)
		}
	})
}
