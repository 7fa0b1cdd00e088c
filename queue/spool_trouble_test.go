package queue

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/drover-batch/drover/jobs"
)

func TestTornFileIsSetAsideAndInNobodysWay(t *testing.T) {
	inBrokenWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 5)
		dead := filepath.Join(w.dir, "spool", "dead")
		s := w.spool(w.q, dead, 0)
		source := w.source("w1")
		source.SpoolTo(s.Spool)
		lent := w.take(source, 5)
		w.stop()
		w.spoolAll(lent[:4])
		gone := &record{Job: &jobs.Job{ID: "x", Batch: "gone", Run: 1}, Waste: &wasted{Reason: "no reason", Attempts: []jobs.Attempt{paid("c", 1, 5)}}}
		w.must(s.put(nil, gone))
		files := w.files(dead, recordExt)
		w.must(os.Truncate(files[0], 100))
		w.must(os.Rename(files[1], files[1]+draftExt)) // whole, but its worker died before it had its name
		w.must(os.WriteFile(filepath.Join(dead, "000000000099.answer.tmp"), []byte("drover-sp"), 0o600))
		w.must(os.WriteFile(filepath.Join(dead, probeName+draftExt), nil, 0o600)) // and it was no answer
		w.start()
		time.Sleep(time.Second)

		next := w.spool(w.q, filepath.Join(w.dir, "spool", "next"), 0)
		_, err := next.Adopt(dead)
		w.must(err)
		w.must(next.Drain(w.ctx))
		if n := len(w.outcomes("b")); n != 3 {
			t.Errorf("%d outcomes of the 3 whole answers", n)
		}
		bad := w.files(filepath.Join(w.dir, "spool"), badExt)
		if len(bad) != 3 || len(next.errs) != 3 || next.Waiting() != 0 {
			t.Errorf("set aside %v, %d wait, errors %v", bad, next.Waiting(), next.errs)
		}
		for _, words := range []string{"its checksum is wrong", "its worker died while writing it", "no such batch"} {
			if !next.says(words) {
				t.Errorf("nobody is told that %s", words)
			}
		}
	})
}

func TestFullSpoolRefusesAndNothingIsLent(t *testing.T) {
	inBrokenWorld(t, Config{StorePatience: 20 * time.Second}, func(w *world) {
		w.enqueue(batch("b"), 10)
		s, source := w.spooling(3000)
		lent := w.take(source, 6)
		w.stop()
		began := time.Now()
		onDisk := 0
		for _, d := range lent {
			err := d.Done(w.ctx, answer(d, "w1", paid(d.Job().CustomID, 1, 5)))
			if errors.Is(err, jobs.ErrSpooled) {
				onDisk++
			} else if !mayBeStored(err) || time.Since(began) < 20*time.Second {
				t.Errorf("done after %v: %v", time.Since(began), err)
			}
		}
		size := int64(0)
		for _, path := range w.files(s.config.Dir, recordExt) {
			info, err := os.Stat(path)
			w.must(err)
			size += info.Size()
		}
		if onDisk == 0 || onDisk == 6 || onDisk != s.Waiting() || size > 3000 {
			t.Errorf("%d of 6 answers wait on disk, in %d bytes", onDisk, size)
		}
		if s.Trouble() == nil || len(s.errs) != 1 || !s.says("raise worker.spool") {
			t.Errorf("trouble %v, errors %v", s.Trouble(), s.errs)
		}
		w.start()
		w.nothing(source, time.Minute)
		w.must(s.Drain(w.ctx))
		if err := s.Trouble(); err != nil {
			t.Errorf("once there is room: %v", err)
		}
		w.onlyNew(source, 10-onDisk)
	})
}

func TestDiskThatFailsStopsLendingUntilItWorks(t *testing.T) {
	inBrokenWorld(t, Config{StorePatience: 20 * time.Second}, func(w *world) {
		w.enqueue(batch("b"), 2)
		s, source := w.spooling(0)
		d := w.take(source, 1)[0]
		w.must(os.RemoveAll(s.config.Dir))
		w.stop()
		time.AfterFunc(15*time.Second, w.start)
		if err := d.Done(w.ctx, answer(d, "w1")); err != nil {
			t.Errorf("done, in its slot: %v", err)
		}
		if s.Trouble() == nil || len(s.errs) != 1 {
			t.Errorf("trouble %v, errors %v", s.Trouble(), s.errs)
		}
		w.nothing(source, time.Minute)
		w.must(os.Mkdir(s.config.Dir, 0o700))
		w.take(source, 1)
	})
}

// An answer that could not be taken over kept those before it from being stored
// until another went to disk, and nothing was lent meanwhile.
func TestAnswersAreStoredThoughOneCannotBeTakenOver(t *testing.T) {
	inBrokenWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1)
		_, source := w.spooling(0)
		lent := w.take(source, 1)
		w.stop()
		w.spoolAll(lent)
		w.must(os.Symlink("nowhere", filepath.Join(w.dir, "spool", "w1", "9999999999999999999-000001"+recordExt)))
		w.start()
		time.Sleep(settleFirst)

		s := w.spool(w.q, filepath.Join(w.dir, "spool", "w2"), 0)
		defer s.running(w.ctx)()
		time.Sleep(time.Second)
		if _, err := s.Adopt(filepath.Join(w.dir, "spool", "w1")); err == nil {
			t.Error("all were taken over")
		}
		time.Sleep(time.Minute)
		if n := s.Waiting(); n != 0 || len(w.outcomes("b")) != 1 {
			t.Errorf("%d still wait", n)
		}
	})
}

func TestDiskThatFailedTakesNoRoomFromWhatCanWait(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		s := w.spool(w.q, filepath.Join(w.dir, "spool", "w1"), 2000)
		w.must(os.RemoveAll(s.config.Dir))
		for range 10 {
			if err := s.put(nil, &record{Job: &jobs.Job{ID: "x", Batch: "b", Run: 1}, Waste: &wasted{}}); err == nil {
				t.Error("it is on a disk that is not there")
			}
		}
		w.must(os.Mkdir(s.config.Dir, 0o700))
		s.waits(w, "1", time.Now())
		if err := s.Trouble(); err != nil {
			t.Errorf("once the disk works: %v", err)
		}
	})
}
