package queue

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// record is one thing to be stored about a job: its outcome, or waste. It can
// wait in a file: a first line with a checksum of the rest, a line of JSON
// with the record, then the job as it is queued.
type record struct {
	Job     *jobs.Job     `json:"-"`
	Outcome *jobs.Outcome `json:"outcome,omitempty"`
	Waste   *wasted       `json:"waste,omitempty"`
}

// wasted is what Queue.Waste is told.
type wasted struct {
	Reason   string         `json:"reason"`
	Attempts []jobs.Attempt `json:"attempts"`
	Delivery uint64         `json:"delivery,omitempty"` // that went back in order; 0 if it did not
}

// store puts the record into the broker, trying for as long as patience lasts.
// Doing it again changes nothing.
func (r *record) store(ctx context.Context, q *Queue, patience time.Duration) error {
	if r.Outcome != nil {
		return q.settle(ctx, r.Job, r.Outcome, patience)
	}
	err := q.recordWaste(ctx, r.Job.Batch, r.Job.ID, r.Waste.Reason, r.Waste.Attempts, patience)
	if err != nil || r.Waste.Delivery == 0 {
		return err
	}
	return q.insist(ctx, string(r.Job.ID), patience, func() error { return q.recordReturn(ctx, r.Job, r.Waste.Delivery, r.Waste.Attempts) })
}

func (r *record) attempts() []jobs.Attempt {
	if r.Outcome != nil {
		return r.Outcome.Attempts
	}
	return r.Waste.Attempts
}

// since is when that happened which it tells of.
func (r *record) since() time.Time {
	if r.Outcome != nil {
		return r.Outcome.Finished
	}
	at := time.Unix(0, 0)
	for i := range r.Waste.Attempts {
		if end := r.Waste.Attempts[i].Started.Add(r.Waste.Attempts[i].Took); end.After(at) {
			at = end
		}
	}
	return at
}

// recordMark begins every file, and says in which form it is written.
const recordMark = "drover-spool-1 "

// encode makes a file of the record. The document goes along only where a dead
// letter will need it.
func (r *record) encode() ([]byte, error) {
	job := *r.Job
	if r.Outcome == nil || r.Outcome.Status != jobs.Dead {
		job.Document = jobs.Document{}
	}
	tail, err := job.MarshalBinary()
	if err != nil {
		return nil, err
	}
	head, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encoding what is known of job %s: %w", job.ID, err)
	}
	body := append(append(head, '\n'), tail...)
	return append(fmt.Appendf(nil, "%s%s\n", recordMark, checksum(body)), body...), nil
}

func checksum(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// decodeRecord reads what encode wrote, and nothing else.
func decodeRecord(data []byte) (*record, error) {
	first, body, ok := bytes.Cut(data, []byte{'\n'})
	sum, marked := bytes.CutPrefix(first, []byte(recordMark))
	if !ok || !marked {
		return nil, errors.New("it does not begin like one")
	}
	if string(sum) != checksum(body) {
		return nil, errors.New("its checksum is wrong: it is torn, or was changed")
	}
	head, tail, ok := bytes.Cut(body, []byte{'\n'})
	if !ok {
		return nil, errors.New("it ends early")
	}
	r := &record{Job: new(jobs.Job)}
	if err := json.Unmarshal(head, r); err != nil {
		return nil, err
	}
	if err := r.Job.UnmarshalBinary(tail); err != nil {
		return nil, err
	}
	if (r.Outcome == nil) == (r.Waste == nil) {
		return nil, errors.New("it is neither an outcome nor waste")
	}
	if o := r.Outcome; o != nil && (o.Job != r.Job.ID || o.Batch != r.Job.Batch || o.Run != r.Job.Run) {
		return nil, errors.New("its outcome is of another job")
	}
	return r, nil
}
