package queue

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/drover-batch/drover/jobs"
)

// forge publishes a job that no Writer would.
func (w *world) forge(subject string, header jobs.ID, data []byte) {
	w.Helper()
	m := nats.NewMsg(subject)
	m.Data = data
	if header != "" {
		m.Header.Set(jobHeader, string(header))
	}
	_, err := w.q.js.PublishMsg(w.ctx, m)
	w.must(err)
}

func encoded(j *jobs.Job) []byte {
	data, err := j.MarshalBinary()
	if err != nil {
		panic(err)
	}
	return data
}

// Whoever may enqueue may write into the bucket of batches. A manifest that is
// none, or says that it is of another batch, kept every worker from all others
// as soon as a job waited in it.
func TestAForgedBatchStoppedTheFleet(t *testing.T) {
	for name, text := range map[string]string{
		"broken": `{"id":"bad"`, "no object": `[1]`, "a text for a number": `{"id":"bad","weight":"x"}`, "empty": "",
		"a tenant without end": `{"id":"bad","name":"bad","chain":"default","tenant":"` + strings.Repeat("a", 70_000) + `"}`,
		"another's":            `{"id":"good","name":"good","tenant":"mallory","chain":"default","state":"cancelled","sealed":true,"over":true}`,
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Config{}, func(w *world) {
				w.enqueue(batch("good"), 3)
				_, err := w.q.batches.Put(w.ctx, "bad", []byte(text))
				w.must(err)
				w.forge("drover.jobs.bad.0", "", encoded(&jobs.Job{ID: jobs.NewID("bad", "1"), Batch: "bad", CustomID: "1", Run: 1}))
				s := w.source("w1")
				for _, d := range w.take(s, 3) {
					if b := d.Batch(); b.ID != "good" || b.Tenant != "acme" {
						t.Errorf("lent a job of %s for %s", b.ID, b.Tenant)
					}
					w.must(d.Done(w.ctx, answer(d, "w1")))
				}
				w.nothing(s, 2*time.Second)
				all, err := w.q.Batches(w.ctx)
				if err != nil || len(all) != 1 || all[0].Tenant != "acme" || all[0].State != jobs.Finished {
					t.Errorf("listed %d, %v", len(all), err)
				}
				if _, err := w.q.Batch(w.ctx, "bad"); err == nil || errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("a forged batch is taken for one: %v", err)
				}
			})
		})
	}
}

// The id of a job is a part of subjects. A forged one with dots or wildcards made
// an outcome that no stream takes, so that its worker took NATS for away, kept
// the answer on disk for good and took no other job.
func TestAForgedJobStoppedItsWorker(t *testing.T) {
	for name, id := range map[string]jobs.ID{
		"dots": "a.b", "all": ">", "any": "*", "space": "a b", "break": "a\nb", "nul": "a\x00b", "long": jobs.ID(strings.Repeat("a", 5000)),
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Config{}, func(w *world) {
				wr, err := w.q.Enqueue(w.ctx, batch("b1"))
				w.must(err)
				header := id
				if strings.ContainsAny(string(id), "\n\x00") {
					header = "fine"
				}
				w.forge("drover.jobs.b1.0", header, encoded(&jobs.Job{ID: id, Batch: "b1", CustomID: "forged", Run: 1}))
				w.add(wr, 0, 3)
				w.must(wr.Close(w.ctx))
				s := w.source("w1")
				for _, d := range w.take(s, 3) {
					if d.Job().CustomID == "forged" {
						t.Error("it is lent")
					}
					w.must(d.Done(w.ctx, answer(d, "w1")))
				}
				w.nothing(s, 2*time.Second)
				dead := 0
				for _, o := range w.outcomes("b1") {
					if o.Status == jobs.Dead {
						dead++
						if o.Kind != jobs.Internal || !strings.Contains(o.Reason, "cannot be read") {
							t.Errorf("%+v", o)
						}
					}
				}
				if p := w.progress("b1"); dead != 1 || p.Queued+p.Running > 0 {
					t.Errorf("%d dead, %+v", dead, p)
				}
			})
		})
	}
}

// Jobs that are broken in other ways end as one dead letter each.
func TestForgedJobsEndAsDeadLetters(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		own := func(change func(j *jobs.Job)) []byte {
			j := &jobs.Job{ID: jobs.NewID("b1", "x"), Batch: "b1", CustomID: "x", Run: 1}
			change(j)
			return encoded(j)
		}
		bodies := [][]byte{
			nil, []byte("{"), []byte("null\n"), []byte("\n"), []byte(strings.Repeat("[", 1<<19) + "\n"),
			own(func(j *jobs.Job) { j.Batch = "b2" }), own(func(j *jobs.Job) { j.Run = -1 }),
			own(func(j *jobs.Job) { j.Earlier = []jobs.Attempt{{Run: 1, Cost: -jobs.Dollar}} }),
			own(func(j *jobs.Job) { j.Run, j.Earlier = 2, []jobs.Attempt{{Run: 1, Cost: -jobs.Dollar}} }),
			own(func(j *jobs.Job) { j.Run, j.Earlier = 2, []jobs.Attempt{{Run: 1, Usage: jobs.Usage{Input: -5}}} }),
		}
		wr, err := w.q.Enqueue(w.ctx, batch("b1"))
		w.must(err)
		for i, data := range bodies {
			w.forge(fmt.Sprintf("drover.jobs.b1.%d", i), jobs.NewID("b1", fmt.Sprint("forged ", i)), data)
		}
		w.add(wr, 0, 3)
		w.must(wr.Close(w.ctx))
		s := w.source("w1")
		for _, d := range w.take(s, 3) {
			w.must(d.Done(w.ctx, answer(d, "w1")))
		}
		w.nothing(s, 2*time.Second)
		dead := 0
		for _, o := range w.outcomes("b1") {
			if o.Status == jobs.Dead && o.Cost == 0 {
				dead++
			}
		}
		if p := w.progress("b1"); dead != len(bodies) || p.Queued+p.Running > 0 {
			t.Errorf("%d of %d dead, %+v", dead, len(bodies), p)
		}
		for l, err := range w.q.Dead(w.ctx, DeadFilter{}) {
			w.must(err)
			if _, err := json.Marshal(l); err != nil {
				t.Error(err)
			}
		}
	})
}

// The head of a dead letter names the models that were asked, and NATS takes
// 64 KiB of it: a job that claimed to have asked thousands never ended.
func TestAForgedJobThatAskedThousandsOfModelsNeverEnded(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		j := &jobs.Job{ID: jobs.NewID("b1", "x"), Batch: "b1", CustomID: "x", Run: 2}
		for i := range 5000 {
			j.Earlier = append(j.Earlier, jobs.Attempt{Call: fmt.Sprint(i), Run: 1, Model: fmt.Sprint("model number ", i), Cost: 1})
		}
		wr, err := w.q.Enqueue(w.ctx, batch("b1"))
		w.must(err)
		w.forge("drover.jobs.b1.0", j.ID, encoded(j))
		w.must(wr.Close(w.ctx))
		s := w.source("w1")
		d := w.take(s, 1)[0]
		w.must(d.Bury(w.ctx, death(d, jobs.ServerError)))
		if l := w.letter("b1", j.ID); len(l.Outcome.Attempts) != 5000 {
			t.Errorf("its letter has %d attempts", len(l.Outcome.Attempts))
		}
	})
}

// Where enqueueing stands is one message. What was none kept its batch from being
// cancelled, and the list of all batches from being shown.
func TestAForgedCursorKeptABatchFromBeingCancelled(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		wr, err := w.q.Enqueue(w.ctx, batch("b1"))
		w.must(err)
		w.add(wr, 0, 2)
		w.must(wr.flush(w.ctx))
		_, err = w.q.js.Publish(w.ctx, "drover.cursor.b1", []byte("{"))
		w.must(err)
		if p := w.progress("b1"); p.Queued != 2 {
			t.Errorf("%+v", p)
		}
		if _, err := w.q.Enqueue(w.ctx, batch("b1")); !errors.Is(err, errCursor) {
			t.Errorf("taken up all the same: %v", err)
		}
		if n, err := w.q.Cancel(w.ctx, "b1"); n != 2 || err != nil {
			t.Errorf("gave up on %d, %v", n, err)
		}
	})
}

// A body too large for a message is an object in a bucket that whoever may
// enqueue may write to. One that links to itself was followed without end, and its
// worker took no other job; one with another name was asked for every second for
// good.
func TestAForgedBodyStoppedItsWorker(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		bucket := w.q.stream("DOCS")
		object := func(name string, change func(*jetstream.ObjectInfo)) {
			info := &jetstream.ObjectInfo{ObjectMeta: jetstream.ObjectMeta{Name: name}, Bucket: bucket, NUID: "forged", Size: 10, Chunks: 1}
			change(info)
			data, err := json.Marshal(info)
			w.must(err)
			_, err = w.q.js.Publish(w.ctx, fmt.Sprintf("$O.%s.M.%s", bucket, base64.URLEncoding.EncodeToString([]byte(name))), data)
			w.must(err)
		}
		name := func(i int) string { return fmt.Sprintf("%064x", i) }
		object(name(0), func(o *jetstream.ObjectInfo) {
			o.Opts = &jetstream.ObjectMetaOptions{Link: &jetstream.ObjectLink{Bucket: bucket, Name: name(0)}}
		})
		object(name(1), func(o *jetstream.ObjectInfo) { o.Size = 1 << 60 })
		object("other", func(*jetstream.ObjectInfo) {})
		wr, err := w.q.Enqueue(w.ctx, batch("b1"))
		w.must(err)
		for i, doc := range []string{name(0), name(1), name(2), "other", ">", "../../etc"} {
			m := nats.NewMsg(fmt.Sprintf("drover.jobs.b1.%d", i))
			m.Header.Set(jobHeader, string(jobs.NewID("b1", doc)))
			m.Header.Set(docHeader, doc)
			_, err := w.q.js.PublishMsg(w.ctx, m)
			w.must(err)
		}
		w.add(wr, 0, 3)
		w.must(wr.Close(w.ctx))
		s := w.source("w1")
		for _, d := range w.take(s, 3) {
			w.must(d.Done(w.ctx, answer(d, "w1")))
		}
		w.nothing(s, 2*time.Second)
		var told []string
		for _, o := range w.outcomes("b1") {
			if o.Status == jobs.Dead {
				told = append(told, o.Reason)
			}
		}
		if p := w.progress("b1"); len(told) != 6 || p.Queued+p.Running > 0 {
			t.Errorf("%q, %+v", told, p)
		}
	})
}
