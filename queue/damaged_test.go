package queue

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/drover-batch/drover/jobs"
)

// large is a document that is kept as an object of several chunks.
func large() jobs.Document { return jobs.Document{Body: bytes.Repeat([]byte("large "), 400_000)} }

// object is the one there is of a batch with one large document.
func (w *world) object() *jetstream.ObjectInfo {
	w.Helper()
	all, err := w.q.docs.List(w.ctx)
	w.must(err)
	if len(all) != 1 {
		w.Fatalf("%d objects", len(all))
	}
	return all[0]
}

// lose removes the first n chunks of an object, as a disk may.
func (w *world) lose(o *jetstream.ObjectInfo, n int) {
	w.Helper()
	s, err := w.q.js.Stream(w.ctx, "OBJ_"+w.q.stream("DOCS"))
	w.must(err)
	for range n {
		m, err := s.GetMsg(w.ctx, 1, jetstream.WithGetMsgSubject(fmt.Sprintf("$O.%s.C.%s", o.Bucket, o.NUID)))
		w.must(err)
		w.must(s.DeleteMsg(w.ctx, m.Sequence))
	}
}

// A job whose document was damaged in the object store, or replaced there, was
// fetched again every second for good, and its batch never ended.
func TestAJobWhoseDocumentIsDamagedNeverEnded(t *testing.T) {
	for name, damage := range map[string]func(*world, *jetstream.ObjectInfo){
		"a chunk is lost":     func(w *world, o *jetstream.ObjectInfo) { w.lose(o, 1) },
		"all chunks are lost": func(w *world, o *jetstream.ObjectInfo) { w.lose(o, int(o.Chunks)) },
		"another's document":  func(w *world, o *jetstream.ObjectInfo) { w.must(w.put(o.Name, []byte("pay mallory"))) },
		"no description":      func(w *world, o *jetstream.ObjectInfo) { o.NUID = ""; w.describe(o) },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, Config{}, func(w *world) {
				w.enqueueLarge("b")
				damage(w, w.object())
				s := w.source("w1")
				w.nothing(s, 2*time.Minute)
				o := w.outcomes("b")[string(jobs.NewID("b", "large"))]
				if o == nil {
					t.Fatalf("it has not ended: %+v", w.progress("b"))
				}
				if o.Status != jobs.Dead || o.Kind != jobs.Internal || !strings.Contains(o.Reason, "damaged") {
					t.Errorf("it is %s of %s: %s", o.Status, o.Kind, o.Reason)
				}

				// Handed in again it is stored anew.
				w.enqueueLarge("b2")
				d := w.take(s, 1)[0]
				if !bytes.Equal(d.Job().Document.Body, large().Body) {
					t.Error("the document is not what was handed in")
				}
				w.must(d.Done(w.ctx, answer(d, "w1")))
			})
		})
	}
}

// enqueueLarge hands in a batch of one document that is stored as an object.
func (w *world) enqueueLarge(id string) {
	w.Helper()
	wr, err := w.q.Enqueue(w.ctx, batch(id))
	w.must(err)
	w.must(wr.Add(w.ctx, "large", large()))
	w.must(wr.Close(w.ctx))
}

// TestDocumentIsKnownByItsHash has the bucket say something wrong of a document that
// is whole.
func TestDocumentIsKnownByItsHash(t *testing.T) {
	for _, digest := range []string{"", "x", "SHA-256=x", "SHA-256=" + strings.Repeat("A", 43) + "="} {
		t.Run(digest, func(t *testing.T) {
			inWorld(t, Config{}, func(w *world) {
				w.enqueueLarge("b")
				o := w.object()
				o.Digest = digest
				w.describe(o)
				d := w.take(w.source("w1"), 1)[0]
				w.must(d.Done(w.ctx, answer(d, "w1")))
			})
		})
	}
}

// TestDocumentThatIsWrittenAtThisMomentIsWaitedFor has it damaged when it is first
// fetched, and whole a few seconds later.
func TestDocumentThatIsWrittenAtThisMomentIsWaitedFor(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		w.enqueueLarge("b")
		o := w.object()
		body, err := w.q.body(w.ctx, map[string][]string{docHeader: {o.Name}}, nil)
		w.must(err)
		w.lose(o, 1)
		s := w.source("w1")
		w.nothing(s, 5*time.Second)
		w.must(w.put(o.Name, body))
		d := w.take(s, 1)[0]
		w.must(d.Done(w.ctx, answer(d, "w1")))
	})
}

func (w *world) put(name string, body []byte) error {
	_, err := w.q.docs.PutBytes(w.ctx, name, body)
	return err
}

// describe has the bucket say so of an object.
func (w *world) describe(o *jetstream.ObjectInfo) {
	w.Helper()
	data, err := json.Marshal(o)
	w.must(err)
	_, err = w.q.js.Publish(w.ctx, fmt.Sprintf("$O.%s.M.%s", o.Bucket, base64.URLEncoding.EncodeToString([]byte(o.Name))), data)
	w.must(err)
}
