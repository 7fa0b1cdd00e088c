package queue

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/drover-batch/drover/jobs"
)

// Waste is money that bought no outcome, and why.
type Waste struct {
	Job      jobs.ID        `json:"job"`
	Batch    string         `json:"batch"`
	Tenant   string         `json:"tenant"`
	Reason   string         `json:"reason"`
	At       time.Time      `json:"at"`
	Attempts []jobs.Attempt `json:"attempts"` // those that cost something

	// Lapsed is set if it was only presumed, because the call's worker seemed
	// dead. Wastes leaves it out if the call is on record elsewhere too.
	Lapsed bool `json:"lapsed,omitempty"`
}

// Waste records what attempts cost that led to no outcome. Attempts that cost
// nothing are left out, and nothing is written if none is left. The same
// attempts are recorded once, however often they are handed in.
func (q *Queue) Waste(ctx context.Context, batch string, job jobs.ID, reason string, attempts []jobs.Attempt) error {
	return q.recordWaste(ctx, batch, job, reason, attempts, q.cfg.StorePatience)
}

func (q *Queue) recordWaste(ctx context.Context, batch string, job jobs.ID, reason string, attempts []jobs.Attempt, patience time.Duration) error {
	paid := paidFor(attempts)
	if len(paid) == 0 {
		return nil
	}
	h := sha256.New()
	for i := range paid {
		_, _ = fmt.Fprintf(h, "%s ", paid[i].Call)
	}
	w := &Waste{Job: job, Batch: batch, Reason: reason, Attempts: paid}
	return q.writeWaste(ctx, q.names.waste(batch, job, hex.EncodeToString(h.Sum(nil)[:8])), w, patience)
}

// paidFor are the attempts that cost something.
func paidFor(attempts []jobs.Attempt) []jobs.Attempt {
	var paid []jobs.Attempt
	for _, a := range attempts {
		if a.Cost != 0 {
			paid = append(paid, a)
		}
	}
	return paid
}

// Presume records what a call may have cost whose worker died with it, unless
// the job's outcome tells what became of it. The same call is recorded once.
// Should its worker turn out to be alive, and the call get on record in
// another way, then that record counts: see Book. It reports whether the call
// was on no record before.
func (q *Queue) Presume(ctx context.Context, s jobs.Spend, reason string) (news bool, err error) {
	o, err := q.Outcome(ctx, s.Batch, s.Job)
	if err != nil && !errors.Is(err, ErrNoOutcome) {
		return false, err
	}
	if err == nil && slices.ContainsFunc(o.Attempts, func(a jobs.Attempt) bool { return a.Call == s.Call }) {
		return false, nil
	}
	sum := sha256.Sum256([]byte(s.Call))
	subject := q.lapsed(s.Batch, s.Job, hex.EncodeToString(sum[:8]))
	if there, err := lastOn(ctx, q.waste, subject); err != nil || there != nil {
		return false, err
	}
	w := &Waste{Job: s.Job, Batch: s.Batch, Tenant: s.Tenant, Reason: reason, Lapsed: true, Attempts: []jobs.Attempt{{
		Call: s.Call, Model: s.Model, Started: s.At, Kind: jobs.Interrupted,
		Message: reason, Billing: jobs.Presumed, Cost: s.Cost,
	}}}
	return true, q.writeWaste(ctx, subject, w, q.cfg.StorePatience)
}

// writeWaste stores a record of waste once. Like an outcome's, its writing is
// tried again while NATS is away.
func (q *Queue) writeWaste(ctx context.Context, subject string, w *Waste, patience time.Duration) error {
	w.At = time.Now().UTC()
	var m *nats.Msg
	var unknown error
	err := q.insist(ctx, subject, patience, func() error {
		if m == nil {
			b, err := q.Batch(ctx, w.Batch)
			switch {
			case errors.Is(err, ErrNoBatch) && w.Lapsed: // it was removed, and the money was spent all the same
			case errors.Is(err, ErrNoBatch):
				unknown = err
				return nil
			case err != nil:
				return err
			default:
				w.Tenant = b.Tenant
			}
			if m, unknown = wasteMsg(subject, w); unknown != nil {
				return nil
			}
		}
		if err := q.stow(ctx, m); err != nil {
			return err
		}
		return q.putOnce(ctx, q.waste, m)
	})
	if err = cmp.Or(err, unknown); err != nil {
		return fmt.Errorf("recording the waste of job %s: %w", w.Job, err)
	}
	return nil
}

func wasteMsg(subject string, w *Waste) (*nats.Msg, error) {
	data, err := json.Marshal(w)
	if err != nil {
		return nil, fmt.Errorf("encoding it: %w", err)
	}
	m := newMsg(subject, data)
	setSpends(m, w.Tenant, w.Attempts)
	expect(m, 0)
	return m, nil
}

// putOnce stores a record that expects to be the first of its subject, and is
// content if it is there already.
func (q *Queue) putOnce(ctx context.Context, j *journal, m *nats.Msg) error {
	err := j.put(ctx, m)
	if !conflict(err) {
		return err
	}
	if there, lookup := lastOn(ctx, j, m.Subject); lookup != nil || there == nil {
		return err // another write of it is on its way
	}
	return nil
}

// Wastes yields what was wasted on a batch, the oldest first, then the steps of
// jobs that ended without them, then the calls that were presumed to be wasted
// and are on record nowhere else.
func (q *Queue) Wastes(ctx context.Context, batch string) iter.Seq2[*Waste, error] {
	return q.wastes(ctx, batch, "*")
}

// WastesOf is Wastes for one job.
func (q *Queue) WastesOf(ctx context.Context, batch string, id jobs.ID) iter.Seq2[*Waste, error] {
	return q.wastes(ctx, batch, string(id))
}

func (q *Queue) wastes(ctx context.Context, batch, job string) iter.Seq2[*Waste, error] {
	decode := func(m jetstream.Msg) (*Waste, error) {
		data, err := q.body(ctx, m.Headers(), m.Data())
		if err != nil {
			return nil, err
		}
		return decodeWaste(data)
	}
	return func(yield func(*Waste, error) bool) {
		told := map[string]bool{} // calls
		for _, part := range []iter.Seq2[*Waste, error]{
			decoded(q.read(ctx, q.waste, q.subject("waste", batch, job, "*"), false), decode),
			q.leftSteps(ctx, batch, job),
			decoded(q.read(ctx, q.waste, q.subject("lapsed", batch, job, "*"), false), decode),
		} {
			for w, err := range part {
				superseded := false
				if err == nil && (w.Lapsed || w.Reason == unfinished) {
					superseded, err = q.superseded(ctx, w, told)
				}
				if err == nil {
					for i := range w.Attempts {
						told[w.Attempts[i].Call] = true
					}
				}
				if !superseded && !yield(w, err) {
					return
				}
			}
		}
	}
}

// superseded takes what is on record elsewhere, as other waste or in the job's
// outcome, out of waste that was only presumed or that a checkpoint has, and
// reports whether nothing is left. What a checkpoint has of a job that goes on
// is no waste yet.
func (q *Queue) superseded(ctx context.Context, w *Waste, told map[string]bool) (bool, error) {
	w.Attempts = slices.DeleteFunc(w.Attempts, func(a jobs.Attempt) bool { return told[a.Call] })
	if len(w.Attempts) == 0 {
		return true, nil
	}
	o, err := q.Outcome(ctx, w.Batch, w.Job)
	if errors.Is(err, ErrNoOutcome) {
		return !w.Lapsed, nil
	}
	if err != nil {
		return false, err
	}
	w.Attempts = without(w.Attempts, o.Attempts)
	return len(w.Attempts) == 0, nil
}

func decodeWaste(data []byte) (*Waste, error) {
	w := new(Waste)
	if err := json.Unmarshal(data, w); err != nil {
		return nil, fmt.Errorf("decoding waste: %w", err)
	}
	return w, nil
}
