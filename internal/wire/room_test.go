package wire

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/drover-batch/drover/internal/audit"
	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/queue"
)

// narrow is a broker that can be filled to the brim.
var narrow = scene{
	provider: second.provider, store: 24 << 20,
	tune: func(c *config.Config) { c.Queue.MaxBytes = 4 << 20 },
}

const ballast = "BALLAST"

// fill takes all the room there is, and drop gives it back.
func (w *world) fill() (drop func()) {
	w.Helper()
	began := time.Now()
	js, err := jetstream.New(w.client.NATS)
	w.must(err)
	_, err = js.CreateOrUpdateStream(w.ctx, jetstream.StreamConfig{Name: ballast, Subjects: []string{"ballast"}, Storage: jetstream.FileStorage})
	w.must(err)
	for size := 512 << 10; size >= 16; size /= 2 {
		for err == nil {
			_, err = js.Publish(w.ctx, "ballast", make([]byte, size))
		}
		if _, refused := errors.AsType[*jetstream.APIError](err); !refused {
			w.Fatal(err)
		}
		err = nil
	}
	return func() {
		w.Helper()
		w.must(js.DeleteStream(w.ctx, ballast))
		w.note(audit.Fault{Kind: audit.Broker, What: "its disk was full", From: began, To: time.Now()})
	}
}

// told counts the lines of the log with these words.
func (j *journalled) told(words string) (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, line := range j.lines {
		if strings.Contains(line, words) {
			n++
		}
	}
	return n
}

func TestFullDiskStopsCallsAndEverythingGoesOnAfterwards(t *testing.T) {
	inWorld(t, narrow, func(w *world) {
		w.submit(jobs.Batch{ID: "contracts"}, short(100)...)
		w.start("a", "b")
		time.Sleep(2500 * time.Millisecond)
		drop := w.fill()
		time.Sleep(5 * time.Second) // calls on their way come back
		before := w.paid()
		time.Sleep(80 * time.Second)
		if w.paid() != before {
			t.Errorf("%d calls were made while nothing could be stored", w.paid()-before)
		}
		for name, m := range w.names() {
			if err := m.servers.Queue.Full(); !errors.Is(err, queue.ErrNoRoom) {
				t.Errorf("worker %s says %v", name, err)
			}
		}
		if n := w.log.told("no jobs are taken"); n != 2 {
			t.Errorf("two workers said %d times that there is no room", n)
		}
		drop()
		w.untilOver("contracts")
		w.answered("contracts")
		if w.paid() != 100 {
			t.Errorf("paid for %d calls of 100 jobs", w.paid())
		}
		if n := w.log.told("NATS has room again"); n != 2 {
			t.Errorf("two workers said %d times that there is room again", n)
		}
		for name, m := range w.names() {
			if err := m.servers.Queue.Full(); err != nil {
				t.Errorf("worker %s still says %v", name, err)
			}
		}
	})
}

// One answer finds the disk full while others are still out, and come to
// nothing later.
func TestSlotsAtWorkBeginNoCallWhileThereIsNoRoom(t *testing.T) {
	inWorld(t, narrow, func(w *world) {
		docs := short(8)
		for i := range docs[1:] {
			docs[1+i] = "[[simulate:hang*1]] " + docs[1+i]
		}
		w.submit(jobs.Batch{ID: "contracts"}, docs...)
		w.start("a")
		w.wait(func() bool { return w.provider.sent() == 8 })
		drop := w.fill()
		time.Sleep(time.Minute) // longer than a call may take
		if n := w.provider.sent(); n != 8 {
			t.Errorf("%d calls were made while nothing could be stored", n-8)
		}
		stopped := make(chan struct{})
		go func() {
			defer close(stopped)
			w.stop("a")
		}()
		time.Sleep(5 * time.Second)
		drop()
		<-stopped
		if n := w.provider.sent(); n != 8 {
			t.Errorf("%d calls were made while stopping", n-8)
		}
		w.start("b")
		w.untilOver("contracts")
		w.answered("contracts")
	})
}
