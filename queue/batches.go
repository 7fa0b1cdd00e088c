package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/drover-batch/drover/jobs"
)

// ErrNoBatch says that no batch of that id was ever registered.
var ErrNoBatch = errors.New("no such batch")

// ErrCancelled says that a batch was cancelled and takes no more jobs.
var ErrCancelled = errors.New("the batch was cancelled")

// ErrPastDeadline says that a batch's deadline has gone by: none of its jobs is
// asked about any more.
var ErrPastDeadline = errors.New("the batch's deadline has gone by: none of its jobs is asked about any more, so submit the documents in a new batch")

// manifest is a batch as the bucket keeps it.
type manifest struct {
	jobs.Batch

	Format int `json:"format"` // see format; 0 for the first

	Sealed bool     `json:"sealed,omitempty"` // its last job is in
	Final  Position `json:"final,omitzero"`   // where enqueueing ended

	// Over is set once a finished or cancelled batch is tidied up.
	Over bool `json:"over,omitempty"`

	// Dealt is set once the batch has had a consumer. Whoever has to make
	// another knows then that the record of deliveries begins anew.
	Dealt bool `json:"dealt,omitempty"`

	// Unpriced is set before the first outcome is stored of which nobody knows
	// what it has cost.
	Unpriced bool `json:"unpriced,omitempty"`

	// Removed is set once the batch is being taken away, for good: nothing about
	// it changes any more.
	Removed bool `json:"removed,omitempty"`

	revision uint64
}

// active is the state of a batch that is neither paused nor at its end.
func (m *manifest) active() jobs.State {
	if m.Sealed {
		return jobs.Live
	}
	return jobs.Enqueueing
}

// ended reports whether no more jobs of the batch are to be lent.
func (m *manifest) ended() bool { return m.State == jobs.Finished || m.State == jobs.Cancelled }

// complete reports whether a batch that has not ended has all its jobs and none
// is left to be lent.
func (m *manifest) complete(at *standing) bool { return m.Sealed && !m.ended() && at.left() == 0 }

// errUnchanged ends an update without writing.
var errUnchanged = errors.New("unchanged")

func (q *Queue) manifest(ctx context.Context, id string) (*manifest, error) {
	e, err := q.batches.Get(ctx, id)
	if errors.Is(err, jetstream.ErrKeyNotFound) || errors.Is(err, jetstream.ErrInvalidKey) {
		return nil, fmt.Errorf("batch %s: %w", id, ErrNoBatch)
	}
	if err != nil {
		return nil, fmt.Errorf("reading batch %s: %w", id, err)
	}
	m, err := decodeManifest(id, e.Value(), e.Revision())
	if err != nil {
		return nil, fmt.Errorf("batch %s: %w", id, err)
	}
	return m, nil
}

// unreadable says that what is kept under a batch's id is no batch, whoever wrote
// it: there is no such batch, then.
type unreadable struct{ cause error }

func (e *unreadable) Error() string { return "its record cannot be read: " + e.cause.Error() }

func (e *unreadable) Is(target error) bool { return target == ErrNoBatch }

// decodeManifest reads what is kept under the id. What a newer build wrote is not
// judged.
func decodeManifest(id string, data []byte, revision uint64) (*manifest, error) {
	m := &manifest{revision: revision}
	if err := json.Unmarshal(data, m); err != nil {
		return nil, &unreadable{err}
	}
	if m.ID != id {
		return nil, &unreadable{fmt.Errorf("it says that it is of batch %q", m.ID)}
	}
	m.Weight = min(max(m.Weight, 0), jobs.MostWeight)
	if err := m.Validate(); err != nil && m.known() == nil {
		return nil, &unreadable{err}
	}
	return m, nil
}

// manifestsSince yields the manifests that came after a revision, the oldest
// first, without those of batches that have changed again meanwhile, and moves
// the revision along.
func (q *Queue) manifestsSince(ctx context.Context, revision *uint64) iter.Seq2[*manifest, error] {
	return func(yield func(*manifest, error) bool) {
		// Most often nothing has changed, which this tells for less than what the
		// stream says of itself.
		_, err := q.states.GetMsg(ctx, *revision+1, jetstream.WithGetMsgSubject("$KV.>"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return
		}
		if err != nil {
			yield(nil, err)
			return
		}
		for msg, err := range q.readSince(ctx, q.states, "$KV.>", false, *revision+1) {
			if err != nil {
				yield(nil, err)
				return
			}
			meta, err := msg.Metadata()
			if err != nil {
				yield(nil, err)
				return
			}
			*revision = meta.Sequence.Stream
			m, err := decodeManifest(q.names.keyOf(msg.Subject()), msg.Data(), meta.Sequence.Stream)
			if err != nil {
				continue // deleted, or not ours
			}
			if !yield(m, nil) {
				return
			}
		}
	}
}

// update changes a batch by compare-and-swap: change sees the newest version
// and may be called several times. errUnchanged from it writes nothing.
func (q *Queue) update(ctx context.Context, id string, change func(*manifest) error) (*manifest, error) {
	for {
		m, err := q.manifest(ctx, id)
		if err != nil {
			return nil, err
		}
		if err = m.known(); err == nil && m.Removed {
			err = fmt.Errorf("it was removed: %w", ErrNoBatch)
		}
		if err == nil {
			err = change(m)
		}
		switch {
		case errors.Is(err, errUnchanged):
			return m, nil
		case err != nil:
			return nil, fmt.Errorf("batch %s: %w", id, err)
		}
		data, err := json.Marshal(m)
		if err != nil {
			return nil, fmt.Errorf("encoding batch %s: %w", id, err)
		}
		m.revision, err = q.batches.Update(ctx, id, data, m.revision)
		if err == nil {
			return m, nil
		}
		if !conflict(err) && !errors.Is(err, jetstream.ErrKeyExists) {
			return nil, fmt.Errorf("updating batch %s: %w", id, err)
		}
		if err := sleep(ctx, 5*time.Millisecond); err != nil { // a replica may lag behind its leader
			return nil, err
		}
	}
}

// Batch returns the batch as it stands now, or ErrNoBatch.
func (q *Queue) Batch(ctx context.Context, id string) (*jobs.Batch, error) {
	m, err := q.manifest(ctx, id)
	if err != nil {
		return nil, err
	}
	return &m.Batch, nil
}

// Batches returns all batches, the oldest first.
func (q *Queue) Batches(ctx context.Context) ([]*jobs.Batch, error) {
	w, err := q.batches.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("listing batches: %w", err)
	}
	defer func() { _ = w.Stop() }()
	var all []*jobs.Batch
	for {
		select {
		case e := <-w.Updates():
			if e == nil { // everything there was has been sent
				slices.SortStableFunc(all, func(a, b *jobs.Batch) int { return a.Created.Compare(b.Created) })
				return all, nil
			}
			m, err := decodeManifest(e.Key(), e.Value(), e.Revision())
			if err != nil {
				continue // not ours
			}
			all = append(all, &m.Batch)
		case <-ctx.Done():
			return nil, fmt.Errorf("listing batches: %w", context.Cause(ctx))
		}
	}
}

// unpriced notes, once, that nobody knows what the batch has cost, so that who
// looks at it need not read its outcomes for that.
func (q *Queue) unpriced(ctx context.Context, batch string) error {
	if _, noted := q.noted.Load(batch); noted {
		return nil
	}
	_, err := q.update(ctx, batch, func(m *manifest) error {
		if m.Unpriced {
			return errUnchanged
		}
		m.Unpriced = true
		return nil
	})
	if err == nil || errors.Is(err, ErrNoBatch) || errors.Is(err, errNewer) { // nobody would read it
		q.noted.Store(batch, true)
		return nil
	}
	return err
}

// SetBudget changes the batch's own limit; 0 takes it away. A batch that is
// paused for want of money is not resumed: that is for workers, who know all
// budgets, see Shortages.
func (q *Queue) SetBudget(ctx context.Context, id string, limit jobs.USD) error {
	if limit < 0 {
		return fmt.Errorf("batch %s: a budget cannot be negative", id)
	}
	_, err := q.update(ctx, id, func(m *manifest) error {
		if m.Budget == limit {
			return errUnchanged
		}
		m.Budget = limit
		return nil
	})
	return err
}

// finish marks a batch whose last job has its outcome and takes its consumer
// away. It reports whether the batch is over.
func (q *Queue) finish(ctx context.Context, id string) (bool, error) {
	m, err := q.manifest(ctx, id)
	if err != nil {
		return false, err
	}
	// The count comes after the revision: a replay in between changes it.
	at, err := q.standing(ctx, id)
	if err != nil || at.left() > 0 {
		return false, err
	}
	if err := q.trim(ctx, id, at); err != nil {
		return false, err
	}
	if m.complete(at) {
		m.State, m.Reason, m.Needs = jobs.Finished, "", nil
		data, err := json.Marshal(m)
		if err != nil {
			return false, fmt.Errorf("encoding batch %s: %w", id, err)
		}
		if m.revision, err = q.batches.Update(ctx, id, data, m.revision); err != nil {
			return false, fmt.Errorf("finishing batch %s: %w", id, err)
		}
	}
	if !m.ended() {
		return false, nil
	}
	if m.Over {
		return true, nil
	}
	if err := q.dismiss(ctx, id); err != nil {
		return false, err
	}
	_, err = q.update(ctx, id, func(m *manifest) error {
		if !m.ended() {
			return errUnchanged
		}
		m.Over = true
		return nil
	})
	return err == nil, err
}

// dismiss removes what only a batch at work needs.
func (q *Queue) dismiss(ctx context.Context, id string) error {
	err := q.js.DeleteConsumer(ctx, q.stream("JOBS"), id)
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return fmt.Errorf("removing the consumer of batch %s: %w", id, err)
	}
	if err := q.jobs.Purge(ctx, jetstream.WithPurgeSubject(q.subject("replayed", id, "*"))); err != nil {
		return fmt.Errorf("tidying up after batch %s: %w", id, err)
	}
	if err := q.returns.Purge(ctx, jetstream.WithPurgeSubject(q.subject("returns", id, "*"))); err != nil {
		return fmt.Errorf("tidying up after batch %s: %w", id, err)
	}
	return nil
}
