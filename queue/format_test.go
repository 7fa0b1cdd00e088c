package queue

import (
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// fromTomorrow makes a batch one that a newer build submitted, with a field that
// this one does not know.
func (w *world) fromTomorrow(id string) (stored string) {
	w.Helper()
	e, err := w.q.batches.Get(w.ctx, id)
	w.must(err)
	fields := map[string]any{}
	w.must(json.Unmarshal(e.Value(), &fields))
	maps.Copy(fields, map[string]any{"format": batchFormat + 1, "thoroughly": true})
	data, err := json.Marshal(fields)
	w.must(err)
	_, err = w.q.batches.Update(w.ctx, id, data, e.Revision())
	w.must(err)
	return string(data)
}

func TestBatchOfANewerBuildIsLeftToItWhole(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueue(batch("new"), 3)
		w.enqueue(batch("old"), 3)
		stored := w.fromTomorrow("new")

		s := w.source("w1")
		for _, d := range w.take(s, 3) {
			if d.Batch().ID != "old" {
				t.Errorf("a job of batch %s is lent", d.Batch().ID)
			}
			w.must(d.Done(w.ctx, answer(d, "w1")))
		}
		w.nothing(s, 2*time.Second)
		if told := s.Newer(); len(told) != 1 || told[0] != "new" {
			t.Errorf("%q are told, and it is new that waits for a newer build", told)
		}
		if again := s.Newer(); len(again) > 0 {
			t.Errorf("%q are told a second time", again)
		}
		_, cancel := w.q.Cancel(w.ctx, "new")
		_, submit := w.q.Enqueue(w.ctx, batch("new"))
		for what, err := range map[string]error{
			"pause": w.q.Pause(w.ctx, "new", "by hand"), "resume": w.q.Resume(w.ctx, "new"),
			"budget": w.q.SetBudget(w.ctx, "new", jobs.Dollar), "cancel": cancel, "submit": submit,
		} {
			if !errors.Is(err, errNewer) || !strings.Contains(err.Error(), "use the newer build") {
				t.Errorf("%s: %v", what, err)
			}
		}
		e, err := w.q.batches.Get(w.ctx, "new")
		w.must(err)
		if string(e.Value()) != stored {
			t.Errorf("the batch has become %s", e.Value())
		}
		if p := w.progress("new"); p.Queued != 3 {
			t.Errorf("it can no longer be looked at: %+v", p)
		}
	})
}

// What short of money a newer build paused must not keep others paused.
func TestPausedBatchOfANewerBuildHoldsUpNoOther(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		for _, id := range []string{"new", "old"} {
			w.enqueue(batch(id), 1)
			b, err := w.q.Batch(w.ctx, id)
			w.must(err)
			w.must(w.q.PauseLent(w.ctx, b, &jobs.Shortage{Reason: "no money", Needs: map[string]jobs.USD{"m": 1}}))
		}
		w.fromTomorrow("new")
		list, err := w.q.Shortages().List(w.ctx)
		w.must(err)
		if len(list) != 1 || list[0].ID != "old" {
			t.Errorf("%d batches are looked after", len(list))
		}
	})
}

// An older build that is started again while a newer one is brought in must not
// lay the streams out as they were.
func TestStreamsOfANewerBuildAreNotLaidOutAnew(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		c := w.q.jobs.CachedInfo().Config
		c.Metadata = map[string]string{formatKey: "2"}
		_, err := w.q.js.UpdateStream(w.ctx, c)
		w.must(err)
		created := Create(w.ctx, w.nc, w.cfg)
		_, opened := Open(w.ctx, w.nc, w.cfg)
		for _, err := range []error{created, opened} {
			if !errors.Is(err, errNewer) || !strings.Contains(err.Error(), "its format is 2, this build knows 1; use the newer build") {
				t.Error(err)
			}
		}
	})
}

func TestStreamsOfBuildsBeforeFormatsWereCountedAreTakenOver(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		c := w.q.jobs.CachedInfo().Config
		c.Metadata = nil
		_, err := w.q.js.UpdateStream(w.ctx, c)
		w.must(err)
		w.open(w.nc)
		w.must(Create(w.ctx, w.nc, w.cfg))
		if at := w.open(w.nc).jobs.CachedInfo().Config.Metadata[formatKey]; at != "1" {
			t.Errorf("they are of format %q", at)
		}
	})
}
