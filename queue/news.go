package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/drover-batch/drover/jobs"
)

// soonest is how long a Source leaves between two looks at the batches,
// whatever the news.
const soonest = 25 * time.Millisecond

// news hears of batches that are registered or change, since writing to their
// bucket is publishing. It is a hint that may be missed: what it says is looked
// up, and Sources look without it as well.
type news struct {
	sub    *nats.Subscription
	prefix string
	wake   chan struct{}

	mu      sync.Mutex
	states  map[string]jobs.State // by batch
	dropped map[string]bool       // batches that are paused or cancelled, until they are over
}

func newNews(q *Queue) (*news, error) {
	n := &news{prefix: "$KV." + q.stream("BATCHES") + ".", wake: make(chan struct{}, 1), states: map[string]jobs.State{}, dropped: map[string]bool{}}
	var err error
	if n.sub, err = q.nc.Subscribe(n.prefix+"*", n.hear); err != nil {
		return nil, fmt.Errorf("listening for batches: %w", err)
	}
	return n, nil
}

func (n *news) hear(m *nats.Msg) {
	var told struct {
		State jobs.State `json:"state"`
		Over  bool       `json:"over"`
	}
	if json.Unmarshal(m.Data, &told) != nil {
		return
	}
	batch := strings.TrimPrefix(m.Subject, n.prefix)
	n.mark(batch, told.State, told.Over)
	n.mu.Lock()
	n.states[batch] = told.State
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

// mark notes whether a batch is paused or cancelled.
func (n *news) mark(batch string, s jobs.State, over bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !over && (s == jobs.Paused || s == jobs.Cancelled) {
		n.dropped[batch] = true
	} else {
		delete(n.dropped, batch)
	}
}

// Dropped reports whether the batch was heard to be paused or cancelled. It may
// be called from any goroutine.
func (s *Source) Dropped(batch string) bool {
	s.news.mu.Lock()
	defer s.news.mu.Unlock()
	return s.news.dropped[batch]
}

func (n *news) pending() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.states) > 0
}

func (n *news) take() map[string]jobs.State {
	n.mu.Lock()
	defer n.mu.Unlock()
	states := n.states
	n.states = map[string]jobs.State{}
	return states
}

// await waits until there is news, at most for d.
func (n *news) await(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	select {
	case <-n.wake:
	case <-ctx.Done():
	}
}

func (n *news) close() error {
	if err := n.sub.Unsubscribe(); err != nil && !errors.Is(err, nats.ErrConnectionClosed) {
		return fmt.Errorf("no longer listening for batches: %w", err)
	}
	return nil
}

// every is how long the list of live batches is good for without news.
func (s *Source) every() time.Duration {
	if s.untidy {
		return soonest
	}
	if len(s.known) == 0 && len(s.live) == 0 {
		return idleEvery
	}
	every := s.calm.every()
	if every > refreshEvery && s.submitting() {
		return refreshEvery
	}
	return every
}

// hear reads the manifests of batches that are new or in another state than
// was known, and reports whether there are any.
func (s *Source) hear(ctx context.Context) (bool, error) {
	heard := false
	for id, state := range s.news.take() {
		l := s.known[id]
		if l != nil && l.m.State == state || l == nil && (state == jobs.Finished || state == jobs.Cancelled) {
			continue
		}
		m, err := s.q.manifest(ctx, id)
		if errors.Is(err, ErrNoBatch) {
			continue
		}
		if err != nil {
			return heard, fmt.Errorf("looking for work: %w", err)
		}
		s.note(m)
		heard = true
	}
	return heard, nil
}

// catchUp reads the manifests that changed since it was last called, the
// first time all of them, and keeps those of batches that are not over.
func (s *Source) catchUp(ctx context.Context) error {
	for m, err := range s.q.manifestsSince(ctx, &s.manifests) {
		if err != nil {
			return err
		}
		s.note(m)
	}
	return nil
}

// note takes over a manifest.
func (s *Source) note(m *manifest) *live {
	l := s.known[m.ID]
	known := l != nil && l.m.revision >= m.revision
	if known {
		m = l.m
	}
	s.news.mark(m.ID, m.State, m.Over) // or what is dealt by it could come back as dropped for ever
	if known {
		return l
	}
	if m.Over {
		s.forget(m.ID)
		return nil
	}
	if m.known() != nil {
		s.leave(m)
		s.forget(m.ID)
		return nil
	}
	if l == nil {
		l = &live{}
		s.known[m.ID] = l
	}
	l.m = m
	l.Name, l.Tenant, l.Weight, l.Deadline, l.Created = m.ID, m.Tenant, m.Weight, m.Deadline, m.Created
	return l
}
