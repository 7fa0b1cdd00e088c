package queue

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/drover-batch/drover/jobs"
)

const (
	storeAtOnce = 64       // records, which share their commits
	storeBytes  = 64 << 20 // read at the same time, unless one alone is larger
	lastStores  = 5 * time.Second
)

// Run stores what waits whenever NATS is there, and keeps the leases of the
// jobs that it is about. It blocks until ctx ends, then makes a last effort of
// a few seconds. Run it once.
func (s *Spool) Run(ctx context.Context) {
	back := s.q.nc.StatusChanged(nats.CONNECTED)
	defer s.q.nc.RemoveStatusListener(back)
	for wait := firstWait; ctx.Err() == nil; {
		if s.Waiting() == 0 {
			select {
			case <-s.wake:
			case <-ctx.Done():
			}
			wait = firstWait
			continue
		}
		if err := s.Drain(ctx); err == nil {
			continue
		}
		s.renew(ctx)
		t := time.NewTimer(wait)
		select {
		case <-t.C:
			wait = min(2*wait, lastWait)
		case <-back:
			wait = firstWait
		case <-ctx.Done():
		}
		t.Stop()
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastStores)
	defer cancel()
	_ = s.Drain(last)
}

// Drain stores what waits and returns when nothing does, or with the first
// error that says NATS is not ready for it. What can never be stored is set
// aside and reported.
func (s *Spool) Drain(ctx context.Context) error {
	for n := 1; ; n = storeAtOnce { // a single one finds out whether NATS is there
		batch := s.oldest(n)
		if len(batch) == 0 {
			return nil
		}
		if !s.q.nc.IsConnected() {
			return errAway
		}
		errs := make([]error, len(batch))
		var wg sync.WaitGroup
		for i, w := range batch {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * time.Microsecond) // so that they go in order
				errs[i] = s.store(ctx, w)
			})
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			return fmt.Errorf("storing answers that wait on disk: %w", err)
		}
	}
}

// oldest are up to n records, no more than fit into memory.
func (s *Spool) oldest(n int) []*waiting {
	s.mu.Lock()
	defer s.mu.Unlock()
	var batch []*waiting
	bytes := int64(0)
	for _, w := range s.waiting {
		if bytes += w.size; len(batch) == n || len(batch) > 0 && bytes > storeBytes {
			break
		}
		batch = append(batch, w)
	}
	return batch
}

// store brings one record into the broker. Only then its file is removed; if
// that fails it is stored again one day, which changes nothing.
func (s *Spool) store(ctx context.Context, w *waiting) error {
	data, err := os.ReadFile(w.path)
	var r *record
	if err == nil {
		r, err = decodeRecord(data)
	}
	if err == nil {
		err = r.store(ctx, s.q, 0)
	}
	switch {
	case err == nil, errors.Is(err, jobs.ErrSettled):
		if removed := os.Remove(w.path); removed != nil {
			s.config.OnError(fmt.Errorf("an answer is stored and its file stays: %w", removed))
		}
		if w.lent != nil {
			_ = w.lent.letGo()
		}
		s.config.OnStored(Stored{r.Outcome, r.attempts(), err})
	case mayBeStored(err):
		return err
	default:
		s.setAside(w.path, err)
	}
	s.gone(w)
	return nil
}

// renew keeps the leases of jobs whose answers wait, so that nobody else is
// paid for them while NATS is there and yet cannot store.
func (s *Spool) renew(ctx context.Context) {
	if !s.q.nc.IsConnected() {
		return
	}
	s.mu.Lock()
	var due []*delivery
	for _, w := range s.waiting {
		if d := w.lent; d != nil && d.held() && time.Until(d.Expires()) < d.lease*2/3 {
			due = append(due, d)
		}
	}
	s.mu.Unlock()
	var wg sync.WaitGroup
	for _, d := range due {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, settleTimeout)
			defer cancel()
			_ = d.Extend(ctx) // or its job comes back, and finds its outcome or is paid for again
		})
	}
	wg.Wait()
}
