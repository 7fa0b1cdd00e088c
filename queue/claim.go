package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/drover-batch/drover/jobs"
)

// Claim is a job's word that it will see to a request, so that identical ones
// wait for its answer. It lapses unless renewed: whoever wants it has then seen
// no renewal for a lease, by its own clock.
type Claim struct {
	q   *Queue
	key string
	who claimant

	mu  sync.Mutex
	rev uint64
}

type claimant struct {
	Job   jobs.ID   `json:"job"`
	Until time.Time `json:"until"` // by the clock of whoever claimed it; for people, and earlier builds
}

// sightings are the claims that others were seen to have: clocks of workers
// cannot be compared, so a claim is not asked until when it lasts.
type sightings struct {
	mu   sync.Mutex
	seen map[string]sighting // by key
}

type sighting struct {
	revision uint64
	since    time.Time
}

// mostSightings bounds how many are kept; those that are dropped are waited for
// anew.
const mostSightings = 4096

// lapsed reports whether a claim has not changed for a lease.
func (s *sightings) lapsed(key string, revision uint64, lease time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if old, ok := s.seen[key]; ok && old.revision == revision {
		return now.Sub(old.since) >= lease
	}
	if s.seen == nil || len(s.seen) >= mostSightings {
		s.seen = map[string]sighting{}
	}
	s.seen[key] = sighting{revision, now}
	return false
}

// ErrClaimed says that another job sees to a request.
var ErrClaimed = errors.New("another job sees to the same request")

// Claim claims what a key stands for, for one job, until lease is over. fresh
// is false if somebody had it before and let it lapse: there may be an answer
// by now. ErrClaimed if another job has it.
func (q *Queue) Claim(ctx context.Context, key string, id jobs.ID, lease time.Duration) (c *Claim, fresh bool, err error) {
	c = &Claim{q: q, key: "claim-" + cacheKey(key), who: claimant{Job: id}}
	c.rev, err = q.cache.Create(ctx, c.key, c.value(lease))
	if err == nil {
		return c, true, nil
	}
	if !errors.Is(err, jetstream.ErrKeyExists) {
		return nil, false, fmt.Errorf("claiming a request: %w", err)
	}
	e, err := q.cache.Get(ctx, c.key)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, false, ErrClaimed // it was let go of just now: the next try may have it
	}
	if err != nil {
		return nil, false, fmt.Errorf("claiming a request: %w", err)
	}
	var other claimant
	if err := json.Unmarshal(e.Value(), &other); err == nil && other.Job != id && !q.claims.lapsed(c.key, e.Revision(), lease) {
		return nil, false, ErrClaimed
	}
	c.rev = e.Revision()
	if err := c.Renew(ctx, lease); err != nil {
		return nil, false, ErrClaimed // somebody was faster
	}
	return c, false, nil
}

func (c *Claim) value(lease time.Duration) []byte {
	c.who.Until = time.Now().Add(lease).UTC()
	data, err := json.Marshal(c.who)
	if err != nil {
		panic(fmt.Sprintf("queue: encoding a claim: %v", err))
	}
	return data
}

// Renew keeps the claim for another lease. An error if somebody else has it.
func (c *Claim) Renew(ctx context.Context, lease time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	rev, err := c.q.cache.Update(ctx, c.key, c.value(lease), c.rev)
	if conflict(err) && c.recall(ctx) {
		rev, err = c.q.cache.Update(ctx, c.key, c.value(lease), c.rev)
	}
	if err != nil {
		return fmt.Errorf("renewing a claim: %w", err)
	}
	c.rev = rev
	return nil
}

// recall reports whether the claim is the job's after all: the reply to an
// earlier renewal was lost. The caller holds the lock.
func (c *Claim) recall(ctx context.Context) bool {
	e, err := c.q.cache.Get(ctx, c.key)
	if err != nil {
		return false
	}
	c.rev = e.Revision()
	var there claimant
	return json.Unmarshal(e.Value(), &there) == nil && there.Job == c.who.Job
}

// Release lets go of the claim: whoever comes next sees to the request.
func (c *Claim) Release(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.q.cache.Delete(ctx, c.key, jetstream.LastRevision(c.rev)); err != nil {
		return fmt.Errorf("letting go of a claim: %w", err)
	}
	return nil
}
