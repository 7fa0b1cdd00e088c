package queue

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/drover-batch/drover/jobs"
)

// spooled is a spool and what it has told.
type spooled struct {
	*Spool
	mu     sync.Mutex
	stored []Stored
	told   []int // what was waiting
	errs   []error
}

func (w *world) spool(q *Queue, dir string, most int64) *spooled {
	w.Helper()
	s := &spooled{}
	note := func(f func()) {
		s.mu.Lock()
		defer s.mu.Unlock()
		f()
	}
	var err error
	s.Spool, err = q.OpenSpool(SpoolConfig{
		Dir: dir, MaxBytes: most,
		OnStored:  func(x Stored) { note(func() { s.stored = append(s.stored, x) }) },
		OnWaiting: func(n int) { note(func() { s.told = append(s.told, n) }) },
		OnError:   func(err error) { note(func() { s.errs = append(s.errs, err) }) },
	})
	w.must(err)
	return s
}

// spooling is a worker's spool, and its source, whose answers go there while NATS
// is away.
func (w *world) spooling(most int64) (*spooled, *Source) {
	w.Helper()
	s := w.spool(w.q, filepath.Join(w.dir, "spool", "w1"), most)
	source := w.source("w1")
	source.SpoolTo(s.Spool)
	return s, source
}

// running stores what waits until the returned function is called.
func (s *spooled) running(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx)
	}()
	return func() {
		cancel()
		<-done
	}
}

func (s *spooled) says(words string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(s.errs, func(err error) bool { return strings.Contains(err.Error(), words) })
}

// files are the names in a folder that have the ending.
func (w *world) files(dir, ext string) []string {
	w.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*"+ext))
	w.must(err)
	return all
}

// spoolAll answers all deliveries while NATS is away.
func (w *world) spoolAll(lent []jobs.Delivery) {
	w.Helper()
	var wg sync.WaitGroup
	for i, d := range lent {
		wg.Go(func() {
			if err := d.Done(w.ctx, answer(d, "w1", paid(fmt.Sprint("call ", i), 1, 5))); !errors.Is(err, jobs.ErrSpooled) {
				w.Errorf("done: %v", err)
			}
		})
	}
	wg.Wait()
}

func TestAnswersWaitOnDiskWhileNATSIsAway(t *testing.T) {
	inBrokenWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 100)
		dir := filepath.Join(w.dir, "spool", "w1")
		s := w.spool(w.q, dir, 0)
		defer s.running(w.ctx)()
		source := w.source("w1")
		source.SpoolTo(s.Spool)
		lent := w.take(source, 80)
		w.stop()
		began := time.Now()
		w.spoolAll(lent)
		if took := time.Since(began); took > commitTimeout+blip { // one commit may be on its way
			t.Errorf("they held their slots for %v", took)
		}
		files := w.files(dir, recordExt)
		if len(files) != 80 || s.Waiting() != 80 {
			t.Fatalf("%d files for %d answers that wait, of 80", len(files), s.Waiting())
		}
		for path, want := range map[string]os.FileMode{files[0]: 0o600, dir: 0o700} {
			info, err := os.Stat(path)
			w.must(err)
			if info.Mode().Perm() != want {
				t.Errorf("%s has mode %v", path, info.Mode())
			}
		}
		w.nothing(source, 10*time.Minute)
		w.start()
		back := time.Now()
		for s.Waiting() > 0 {
			time.Sleep(10 * time.Millisecond)
		}
		if took := time.Since(back); took > settleFirst/2 {
			t.Errorf("stored %v after NATS was back, and jobs are lent after %v", took, settleFirst)
		}
		if len(w.outcomes("b")) != 80 || len(s.stored) != 80 || len(w.files(dir, "")) != 0 {
			t.Errorf("%d outcomes, %d told, left on disk: %v", len(w.outcomes("b")), len(s.stored), w.files(dir, ""))
		}
		if !slices.Equal(s.told, []int{1, 0}) || len(s.errs) != 0 {
			t.Errorf("told %v, errors %v", s.told, s.errs)
		}
		w.onlyNew(source, 20)
	})
}

// onlyNew answers what is lent until n jobs without an outcome were.
func (w *world) onlyNew(s *Source, n int) {
	w.Helper()
	for n > 0 {
		for _, d := range w.take(s, 1) {
			settled, err := d.Settled(w.ctx)
			w.must(err)
			if settled {
				w.must(d.Release(w.ctx))
				continue
			}
			w.must(d.Done(w.ctx, answer(d, "later")))
			n--
		}
	}
	w.onlySettled(s, time.Minute)
}

func TestBlipDoesNotTouchTheDisk(t *testing.T) {
	inBrokenWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1)
		s, source := w.spooling(0)
		d := w.take(source, 1)[0]
		w.stop()
		for w.nc.IsConnected() {
			time.Sleep(time.Millisecond)
		}
		time.AfterFunc(blip/2, w.start)
		if err := d.Done(w.ctx, answer(d, "w1")); err != nil && !errors.Is(err, jobs.ErrLeaseLost) {
			t.Errorf("done: %v", err)
		}
		if len(s.told) != 0 || len(w.outcomes("b")) != 1 {
			t.Errorf("told %v, outcomes %v", s.told, w.outcomes("b"))
		}
	})
}

func TestNextProcessStoresWhatWaits(t *testing.T) {
	inBrokenWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 4)
		dead := filepath.Join(w.dir, "spool", "dead")
		s := w.spool(w.q, dead, 0)
		source := w.source("w1")
		source.SpoolTo(s.Spool)
		lent := w.take(source, 4)
		w.stop()
		w.spoolAll(lent[:2])
		if err := lent[2].Bury(w.ctx, death(lent[2], jobs.Refused, paid("dead", 1, 7))); !errors.Is(err, jobs.ErrSpooled) {
			t.Errorf("burying: %v", err)
		}
		if err := lent[3].Return(w.ctx, []jobs.Attempt{paid("cut", 1, 9)}); !errors.Is(err, jobs.ErrSpooled) {
			t.Errorf("returning: %v", err)
		}
		w.start()

		next := w.spool(w.open(w.nc), filepath.Join(w.dir, "spool", "next"), 0)
		n, err := next.Adopt(dead)
		w.must(err)
		if n != 4 || next.Waiting() != 4 || len(w.files(dead, "")) != 0 || !slices.Equal(next.told, []int{4}) {
			t.Errorf("took over %d of 4, left: %v, told %v", n, w.files(dead, ""), next.told)
		}
		for next.Drain(w.ctx) != nil {
			time.Sleep(time.Second)
		}
		if len(w.outcomes("b")) != 3 || w.booked() != 5+5+7+9 || len(next.errs) != 0 {
			t.Errorf("outcomes %v, %s booked, errors %v", w.outcomes("b"), w.booked(), next.errs)
		}
		for l, err := range w.q.Dead(w.ctx, DeadFilter{}) {
			w.must(err)
			if string(l.Job.Document.Body) != string(lent[2].Job().Document.Body) {
				t.Errorf("the dead letter's document is %q", l.Job.Document.Body)
			}
		}
		w.must(next.Drain(w.ctx))
		if err := w.q.Settle(w.ctx, lent[0].Job(), next.stored[0].Outcome); err != nil {
			t.Errorf("storing it twice: %v", err)
		}
	})
}

func TestAnswerThatComesSecondFromDiskIsWaste(t *testing.T) {
	inBrokenWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1)
		s, source := w.spooling(0)
		d := w.take(source, 1)[0]
		w.stop()
		w.spoolAll([]jobs.Delivery{d})
		w.start()
		time.Sleep(time.Second)
		w.must(w.q.Settle(w.ctx, d.Job(), answer(d, "w2", paid("theirs", 1, 3))))
		w.must(s.Drain(w.ctx))
		if len(s.stored) != 1 || !errors.Is(s.stored[0].Err, jobs.ErrSettled) || w.booked() != 3+5 {
			t.Errorf("told %+v, %s booked", s.stored, w.booked())
		}
		if o := w.outcomes("b")["0"]; o.Worker != "w2" {
			t.Errorf("the outcome is %s's", o.Worker)
		}
	})
}

// The broker lends and renews while it has no room for outcomes: whoever has
// an answer keeps its job.
func TestLeaseIsKeptWhileAnAnswerWaitsOnDisk(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1)
		s, source := w.spooling(0)
		defer s.running(w.ctx)()
		d := w.take(source, 1)[0]
		room := func(bytes int64) {
			c := w.q.outcomes.CachedInfo().Config
			c.MaxBytes, c.Discard = bytes, jetstream.DiscardNew
			_, err := w.q.js.UpdateStream(w.ctx, c)
			w.must(err)
		}
		room(1)
		w.spoolAll([]jobs.Delivery{d})
		w.nothing(w.source("w2"), 5*time.Minute)
		room(-1)
		time.Sleep(5 * time.Second)
		if p := w.progress("b"); p.Done() != 1 || p.Running != 0 {
			t.Errorf("once there is room: %+v", p)
		}
	})
}

func TestStoringIsNotTriedInABusyLoop(t *testing.T) {
	inBrokenWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 50)
		l := &line{}
		nc := w.connect(l)
		defer nc.Close()
		q := w.open(nc)
		s := w.spool(q, filepath.Join(w.dir, "spool", "w1"), 0)
		stop := s.running(w.ctx)
		source := w.sourceOf(q, "w1")
		source.SpoolTo(s.Spool)
		lent := w.take(source, 50)
		l.deaf.Store(true)
		w.spoolAll(lent)
		before := nc.Stats().OutMsgs
		time.Sleep(2 * time.Minute)
		if n := nc.Stats().OutMsgs - before; n > 100 { // with 50 renewals of a lease before it ends
			t.Errorf("%d messages were sent in two minutes to a server that says nothing", n)
		}
		l.cut()
		time.Sleep(20 * time.Second)
		if s.Waiting() > 0 || len(w.outcomes("b")) != 50 {
			t.Errorf("%d answers still wait, %d outcomes", s.Waiting(), len(w.outcomes("b")))
		}
		stop()
	})
}

func TestCancelIsNotHeldUpByWhatIsLent(t *testing.T) {
	inBrokenWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 8)
		w.take(w.source("w1"), 3)
		w.stop()
		w.start()
		for !w.nc.IsConnected() || w.nc.ConnectedServerId() != w.srv.Load().ID() {
			time.Sleep(100 * time.Millisecond)
		}
		n, err := w.q.Cancel(w.ctx, "b")
		if err != nil || n != 5 {
			t.Errorf("%d jobs were cancelled, 5 were not lent: %v", n, err)
		}
	})
}

// A process that began just when NATS was back took jobs whose answers others
// were about to store.
func TestProcessThatHasJustBegunLeavesOthersTimeToStore(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 3)
		lent := w.take(w.source("w1"), 2)
		time.Sleep(28 * time.Second)
		w.must(lent[0].Return(w.ctx, nil))
		time.Sleep(time.Second)
		s := w.source("w2")
		began := time.Now()
		w.take(s, 2) // one is new, one was handed back in order
		if took := time.Since(began); took > time.Second {
			t.Errorf("jobs that nobody can have an answer to came after %v", took)
		}
		w.take(s, 1)
		if took := time.Since(began); took < settleFirst {
			t.Errorf("a job that somebody may have an answer to came after %v", took)
		}
	})
}

func TestHandBacksWhileNATSIsAwayAreNoDeaths(t *testing.T) {
	inBrokenWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1)
		s, source := w.spooling(0)
		defer s.running(w.ctx)()
		for range w.q.cfg.MaxDeliveries + 1 {
			d := w.take(source, 1)[0]
			w.stop()
			if err := d.Return(w.ctx, nil); !errors.Is(err, jobs.ErrSpooled) {
				t.Fatalf("handing back: %v", err)
			}
			w.start()
			time.Sleep(w.q.cfg.Lease + settleFirst)
		}
		d := w.take(source, 1)[0]
		if deaths, err := w.q.deaths(w.ctx, d.(*delivery)); deaths != 0 || err != nil {
			t.Errorf("%d deaths of workers are counted, %v", deaths, err)
		}
		w.must(d.Done(w.ctx, answer(d, "w1")))
	})
}

func TestReturnThatIsRecordedTwiceCountsOnce(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1)
		source := w.source("w1")
		for n := range 3 {
			d := w.take(source, 1)[0].(*delivery)
			for range 2 {
				w.must(w.q.recordReturn(w.ctx, d.job, d.deliveries, nil))
			}
			if r, err := w.q.returned(w.ctx, d.job); r.Count != n+1 || err != nil {
				t.Errorf("%d returns are on record after %d: %v", r.Count, n+1, err)
			}
			w.must(d.tell(w.ctx, []byte("-NAK")))
			source.ended(d)
		}
	})
}

func TestAnswersThatWaitAreStoredInTheOrderTheyCame(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 3)
		dir := filepath.Join(w.dir, "spool", "w1")
		s := w.spool(w.q, dir, 0)
		lent := w.take(w.source("w1"), 3)
		for i, d := range lent { // the newest first
			o := answer(d, "w1")
			o.Finished = time.Now().Add(-time.Duration(i) * time.Minute)
			w.must(s.put(nil, &record{Job: d.Job(), Outcome: o}))
		}
		for range 2 {
			for i, waits := range s.oldest(3) {
				data, err := os.ReadFile(waits.path)
				w.must(err)
				r, err := decodeRecord(data)
				w.must(err)
				if want := lent[2-i].Job().ID; r.Job.ID != want {
					t.Errorf("number %d is %s, want %s", i, r.Job.ID, want)
				}
			}
			s = w.spool(w.q, dir, 0) // the next process
		}
	})
}

// waits puts the outcome of a made-up job on disk, which ended then.
func (s *spooled) waits(w *world, id string, ended time.Time) {
	w.Helper()
	j := &jobs.Job{ID: jobs.ID(id), CustomID: id, Batch: "b", Run: 1}
	o := jobs.NewOutcome(j, batch("b"), jobs.Answered, nil)
	o.Finished = ended
	w.must(s.put(nil, &record{Job: j, Outcome: o}))
}

func TestAnswersOfTheSameMomentReplaceNoneOnDisk(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1)
		dir, now := filepath.Join(w.dir, "spool", "w1"), time.Now()
		s := w.spool(w.q, dir, 0)
		s.waits(w, "1", now)
		s.waits(w, "2", now)
		s.waits(w, "before", now.Add(-time.Minute))
		s = w.spool(w.q, dir, 0) // the next process
		s.waits(w, "3", now)
		if n := len(w.files(dir, recordExt)); n != 4 {
			t.Errorf("%d of 4 answers are on disk", n)
		}
		w.must(s.Drain(w.ctx))
		if n := len(w.outcomes("b")); n != 4 {
			t.Errorf("%d outcomes of 4 answers", n)
		}
	})
}

func TestAnswersThatAreTakenOverCountAgainstTheRoom(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		dead := w.spool(w.q, filepath.Join(w.dir, "spool", "dead"), 0)
		for i := range 4 {
			dead.waits(w, fmt.Sprint(i), time.Now())
		}
		s := w.spool(w.q, filepath.Join(w.dir, "spool", "w1"), 1000)
		_, err := s.Adopt(dead.config.Dir)
		w.must(err)
		if s.Trouble() == nil {
			t.Errorf("there is room, of 1000 bytes beside %d", s.bytes)
		}
	})
}

func TestSpoolMakesALastEffortWhenItStops(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("b"), 1)
		s := w.spool(w.q, filepath.Join(w.dir, "spool", "w1"), 0)
		for i := range 5 {
			s.waits(w, fmt.Sprint(i), time.Now())
		}
		ctx, cancel := context.WithCancel(w.ctx)
		cancel()
		s.Run(ctx)
		if n := s.Waiting(); n != 0 || len(w.outcomes("b")) != 5 {
			t.Errorf("%d still wait", n)
		}
	})
}

func TestNoMoreIsReadAtOnceThanFitsIntoMemory(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		sizes []int64
		want  int
	}{
		{[]int64{1, 2, 3}, 3},
		{slices.Repeat([]int64{1}, 2*storeAtOnce), storeAtOnce},
		{[]int64{storeBytes / 2, storeBytes / 2, 1}, 2},
		{[]int64{2 * storeBytes, 1}, 1},
		{[]int64{1, 2 * storeBytes}, 1},
	} {
		s := &Spool{}
		for _, size := range row.sizes {
			s.waiting = append(s.waiting, &waiting{size: size})
		}
		if got := len(s.oldest(storeAtOnce)); got != row.want {
			t.Errorf("%d records at once, want %d of those of %d bytes", got, row.want, row.sizes)
		}
	}
}
