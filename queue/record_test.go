package queue

import (
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/drover-batch/drover/jobs"
)

// examples are one record of each sort.
func examples() []*record {
	job := &jobs.Job{ID: "x", Batch: "b", CustomID: "0", Run: 2, Replaces: 7, Document: jobs.Document{Source: "a.txt", Body: []byte("text\n\x00more")}}
	at := time.Date(2026, 1, 2, 3, 4, 5, 678901234, time.UTC)
	attempts := []jobs.Attempt{{Call: "c", Run: 2, Model: "small", Started: at, Billing: jobs.Billed, Cost: 5}}
	outcome := func(s jobs.Status) *jobs.Outcome {
		o := jobs.NewOutcome(job, &jobs.Batch{ID: "b", Tenant: "acme"}, s, attempts)
		o.Answer, o.Finished = "yes\n", at
		return o
	}
	return []*record{
		{Job: job, Outcome: outcome(jobs.Answered)},
		{Job: job, Outcome: outcome(jobs.Dead)},
		{Job: job, Waste: &wasted{Reason: "no reason", Attempts: attempts}},
	}
}

func TestRecordSurvivesItsFile(t *testing.T) {
	t.Parallel()
	for _, r := range examples() {
		data, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeRecord(data)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r.Outcome, got.Outcome); diff != "" {
			t.Errorf("outcome (-put +got):\n%s", diff)
		}
		if diff := cmp.Diff(r.Waste, got.Waste); diff != "" {
			t.Errorf("waste (-put +got):\n%s", diff)
		}
		if o := r.Outcome; o != nil && outcomeID(o) != outcomeID(got.Outcome) {
			t.Error("it is not recognised as the same outcome")
		}
		needed := r.Outcome != nil && r.Outcome.Status == jobs.Dead
		if kept := len(got.Job.Document.Body) > 0; kept != needed {
			t.Errorf("the document is kept: %v, and needed for a dead letter: %v", kept, needed)
		}
		if got.Job.Replaces != 7 || got.Job.Run != 2 {
			t.Errorf("the job is %+v", got.Job)
		}
	}
}

func TestNoByteOfARecordCanChangeUnnoticed(t *testing.T) {
	t.Parallel()
	for _, r := range examples() {
		data, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		for i := range data {
			changed := bytes.Clone(data)
			changed[i] ^= 1
			if _, err := decodeRecord(changed); err == nil {
				t.Errorf("byte %d changed and nobody noticed", i)
			}
			if _, err := decodeRecord(data[:i]); err == nil {
				t.Errorf("cut off after %d bytes and nobody noticed", i)
			}
		}
	}
}

// FuzzSpoolFile gives the parser any file, and any with a right checksum.
func FuzzSpoolFile(f *testing.F) {
	for _, r := range examples() {
		data, err := r.encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		_, body, _ := bytes.Cut(data, []byte{'\n'})
		f.Add(body)
	}
	f.Add([]byte("{}\n{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, file := range [][]byte{data, append([]byte(recordMark+checksum(data)+"\n"), data...)} {
			r, err := decodeRecord(file)
			if err != nil {
				continue
			}
			again, err := r.encode()
			if err != nil {
				t.Fatalf("read and not written: %v", err)
			}
			back, err := decodeRecord(again)
			if err != nil {
				t.Fatalf("written and not read: %v", err)
			}
			if o := r.Outcome; o != nil && outcomeID(o) != outcomeID(back.Outcome) {
				t.Error("it is another outcome now")
			}
		}
	})
}
