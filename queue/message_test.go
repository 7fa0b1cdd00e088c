package queue

import (
	"reflect"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"pgregory.net/rapid"

	"github.com/drover-batch/drover/jobs"
)

// offline is enough of a queue to encode and decode with.
func offline() *Queue { return &Queue{names: newNames("drover"), mostBody: 64 << 20} }

func TestDeadLettersComeOutAsTheyWentIn(t *testing.T) {
	t.Parallel()
	q := offline()
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String()
		j := &jobs.Job{
			ID: "abc", Batch: "b", CustomID: text.Draw(t, "custom id"), Run: rapid.IntRange(1, 9).Draw(t, "run"),
			Replaces: rapid.Uint64().Draw(t, "replaces"),
			Document: jobs.Document{Source: text.Draw(t, "source"), Body: rapid.SliceOf(rapid.Byte()).Draw(t, "body")},
		}
		o := jobs.NewOutcome(j, batch("b"), jobs.Dead, nil)
		o.Reason, o.Kind = text.Draw(t, "reason"), jobs.Timeout
		m, err := q.letterMsg(t.Context(), &jobs.DeadLetter{Job: j, Outcome: o, Sequence: 7})
		if err != nil {
			t.Fatal(err)
		}
		l, err := q.decodeLetter(t.Context(), m.Header, m.Data)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(l.Job, j) || !reflect.DeepEqual(l.Outcome, o) || l.Sequence != 7 {
			t.Fatalf("%+v %+v came out as %+v %+v", j, o, l.Job, l.Outcome)
		}
	})
}

func TestSpendsAreReadFromHeaders(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		attempts := rapid.SliceOf(rapid.Custom(func(t *rapid.T) jobs.Attempt {
			return jobs.Attempt{
				Call: rapid.String().Draw(t, "call"), Model: rapid.String().Draw(t, "model"),
				Started: time.UnixMicro(rapid.Int64Range(0, 1e15).Draw(t, "started")).UTC(),
				Cost:    jobs.USD(rapid.Int64Range(0, 1e12).Draw(t, "cost")), Billing: jobs.Presumed,
			}
		})).Draw(t, "attempts")
		m := newMsg("x", nil)
		setSpends(m, "acme", attempts)
		got, fits, err := spends("b", m.Header)
		want := spendsOf("b", "acme", attempts)
		if err != nil || fits && !reflect.DeepEqual(got, want) {
			t.Fatalf("%v came out as %v (%v)", want, got, err)
		}
	})
}

func FuzzDecoding(f *testing.F) {
	q := offline()
	j := &jobs.Job{ID: "abc", Batch: "b", Run: 1}
	if data, err := j.MarshalBinary(); err == nil {
		f.Add(data, "0", `[{"c":"x","$":1}]`)
	}
	f.Add([]byte(`{"job":"a"}{"id":"a"}`), "11", "body")
	f.Add([]byte("{}\n"), "-1", "")
	f.Fuzz(func(t *testing.T, data []byte, split, spend string) {
		h := nats.Header{splitHeader: {split}, seqHeader: {"1"}, spendHeader: {spend}}
		if j, err := decodeJob("b", data); err == nil && (!j.ID.Valid() || j.Run < 1 || j.Batch != "b") {
			t.Errorf("accepted %+v", j)
		}
		if l, err := q.decodeLetter(t.Context(), h, data); err == nil && (l.Job == nil || l.Job.ID == "" || l.Outcome == nil) {
			t.Errorf("accepted %+v", l)
		}
		_, _ = q.decodeOutcome(t.Context(), h, data)
		_, _ = decodeManifest("b", data, 1)
		_, _ = decodeWaste(data)
		_, _, _ = spends("b", h)
	})
}
