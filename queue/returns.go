package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/drover-batch/drover/jobs"
)

// The broker counts deliveries, and a job that was handed back in order is
// delivered again just like one whose worker died. So every orderly return is
// recorded, and what is left of the count after taking the returns away are
// the deaths. Only a job that is handed back pays for it, with one small
// write that shares its commit with others.

// returned is what is on record of the orderly returns of one run of a job.
type returned struct {
	Count int                   `json:"count"`
	Last  uint64                `json:"last,omitempty"`  // delivery that was returned
	Tried map[string]jobs.Tries `json:"tried,omitempty"` // by model
}

// recordReturn notes one more orderly return of the job's run, and which models
// failed it meanwhile. Noted again, it changes nothing.
func (q *Queue) recordReturn(ctx context.Context, job *jobs.Job, delivery uint64, attempts []jobs.Attempt) error {
	ctx, cancel := context.WithTimeout(ctx, settleTimeout)
	defer cancel()
	var r returned
	if delivery > 1 {
		var err error
		if r, err = q.returned(ctx, job); err != nil || r.Last == delivery {
			return err
		}
	}
	r.Count++
	r.Last = delivery
	for i := range attempts {
		r.add(&attempts[i])
	}
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("recording the return of job %s: %w", job.ID, err)
	}
	m := newMsg(q.handed(job.Batch, job.ID), data)
	m.Header.Set(runHeader, strconv.Itoa(job.Run))
	if err := q.returns.put(ctx, m); err != nil {
		return fmt.Errorf("recording the return of job %s: %w", job.ID, err)
	}
	return nil
}

// add counts one attempt that failed.
func (r *returned) add(a *jobs.Attempt) {
	uses := a.UsesTry()
	if !uses && !a.Ambiguous() {
		return
	}
	t := r.Tried[a.Model]
	t.Kind, t.Message = a.Kind, a.Message
	if uses {
		t.Failed++
	}
	if a.Ambiguous() {
		t.Ambiguous++
	}
	if r.Tried == nil {
		r.Tried = map[string]jobs.Tries{}
	}
	r.Tried[a.Model] = t
}

// returned reads the record of this run of the job.
func (q *Queue) returned(ctx context.Context, j *jobs.Job) (returned, error) {
	var r returned
	m, err := lastOn(ctx, q.returns, q.handed(j.Batch, j.ID))
	if err != nil || m == nil || runOf(m.Header) != j.Run {
		return r, err
	}
	if json.Unmarshal(m.Data, &r) != nil {
		return returned{}, nil // an unreadable record is none, or the job could never end
	}
	return r, nil
}

// deaths is how many workers died, or lost their lease, with the job in hand.
func (q *Queue) deaths(ctx context.Context, d *delivery) (int, error) {
	if d.deliveries <= suspicious {
		return 0, nil // not enough to look
	}
	back, err := q.returned(ctx, d.job)
	return max(0, int(d.deliveries)-1-back.Count), err
}
