package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/drover-batch/drover/internal/fair"
	"github.com/drover-batch/drover/jobs"
)

// Source lends jobs to one worker process, and never more at a time than the
// process has slots for. Next and Close belong to one goroutine; Rest and Wake may
// be called from any.
type Source struct {
	q      *Queue
	worker string
	began  time.Time
	pulls  *pulls
	dealer fair.Dealer
	news   *news
	acks   *acks
	spool  *Spool // nil if there is none

	known     map[string]*live // by batch, all that are not over
	live      []*live          // those to deal from, the oldest first
	empty     int              // of those, how many were found so
	refreshed time.Time
	calm      calm
	untidy    bool      // batches are left to retire
	fullUntil time.Time // the broker would not have another consumer; see places
	manifests uint64    // sequence of the newest manifest seen

	mu       sync.Mutex
	rests    map[string]time.Time    // by batch, until when
	outlooks map[string]jobs.Outlook // by batch
	lent     map[*delivery]struct{}
	byJob    map[jobs.ID]*delivery // the newest of each job that is lent
	freed    chan struct{}         // holds a token when a delivery has ended
	endings  []ending
	left     map[string]bool    // batches that newer builds are to see to, or nobody can
	newer    []string           // of those, the ones that Newer has not told
	broken   map[string]error   // and those that Broken has not
	alone    *delivery          // suspected of killing workers
	tallied  time.Time          // when what is lent was last gone through
	later    map[string][]later // by batch
	thinned  time.Time          // when those were taken out that have come back
}

// Source starts lending to the worker of that name.
func (q *Queue) Source(worker string) (*Source, error) {
	p, err := newPulls(q)
	if err != nil {
		return nil, fmt.Errorf("lending to %s: %w", worker, err)
	}
	n, err := newNews(q)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lending to %s: %w", worker, err), p.close())
	}
	a, err := newAcks(q.nc)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lending to %s: %w", worker, err), n.close(), p.close())
	}
	return &Source{
		q: q, worker: worker, began: time.Now(), pulls: p, news: n, acks: a,
		known: map[string]*live{}, rests: map[string]time.Time{},
		lent: map[*delivery]struct{}{}, byJob: map[jobs.ID]*delivery{}, left: map[string]bool{}, freed: make(chan struct{}, 1), later: map[string][]later{},
	}, nil
}

// SpoolTo has what is lent from now on wait in the spool while NATS is away.
// Nothing is lent while something waits there, or when nothing could. It comes
// before the first Next.
func (s *Source) SpoolTo(spool *Spool) { s.spool = spool }

// Close stops lending. What is lent stays lent.
func (s *Source) Close() error { return errors.Join(s.acks.close(), s.news.close(), s.pulls.close()) }

// Rest keeps the batch from being dealt to this worker for a while.
func (s *Source) Rest(batch string, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rests[batch] = time.Now().Add(d)
}

// Next lends between one and free jobs, and blocks until there is one or ctx
// ends. Jobs of cancelled batches and those past their deadline are not lent:
// Next stores their outcome itself. So it does for jobs that keep killing
// workers; after the third time it lends such a job alone, which may take
// until everything else that is lent has ended. NATS being away is waited
// for, not reported; an error means that the Source cannot go on.
func (s *Source) Next(ctx context.Context, free int) ([]jobs.Delivery, error) {
	if free < 1 {
		return nil, fmt.Errorf("lending jobs: %d slots are free", free)
	}
	for wait := firstWait; ; {
		if err := context.Cause(ctx); err != nil {
			return nil, err
		}
		got, err := s.try(ctx, free)
		if len(got) > 0 {
			return got, nil
		}
		if err == nil {
			wait = firstWait
			continue
		}
		if s.q.nc.IsClosed() {
			return nil, fmt.Errorf("lending jobs: %w", err)
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
		wait = min(2*wait, lastWait)
	}
}

// Newcomers lends up to most jobs of batches that have less than half as many
// at work here as another, or whose tenant has, and for which no slot is free:
// jobs that take long would keep them waiting. It does not wait for any.
func (s *Source) Newcomers(ctx context.Context, most int) ([]jobs.Delivery, error) {
	s.mu.Lock()
	alone := s.alone != nil
	s.mu.Unlock()
	if alone || s.held() != nil {
		return nil, nil // Next deals with that
	}
	if err := s.refresh(ctx); err != nil {
		return nil, err
	}
	s.account()
	ready, _ := s.ready()
	now := time.Now()
	ready = slices.DeleteFunc(ready, func(l *live) bool { return l.draining(now) })
	ready = s.short(ready)
	if len(ready) == 0 {
		return nil, nil
	}
	got, err := s.fetch(ctx, ready, most, 0)
	return s.admit(ctx, got), err
}

// held is why nothing is to be lent now, or nil.
func (s *Source) held() error {
	if !s.q.nc.IsConnected() {
		s.q.missed()
	}
	if s.q.unsettled() {
		return errAway
	}
	if err := s.q.room.refuses(); err != nil {
		return err
	}
	if s.acks.behind() >= mostBehind {
		return errBehind
	}
	return s.spool.holdUp()
}

// try looks for jobs once, waiting a moment if there are none.
func (s *Source) try(ctx context.Context, free int) ([]jobs.Delivery, error) {
	if err := s.held(); err != nil {
		return nil, err
	}
	s.pulls.sweep(ctx)
	switch d, busy := s.suspect(ctx); {
	case d != nil:
		return []jobs.Delivery{d}, nil
	case busy:
		return nil, nil
	}
	if err := s.refresh(ctx); err != nil {
		return nil, err
	}
	ready, wake := s.ready()
	drained, failed := s.drain(ctx, &ready)
	if len(ready) == 0 && (drained > 0 || failed != nil) {
		return nil, failed // there may be more
	}
	if len(ready) == 0 {
		s.news.await(ctx, time.Until(wake))
		return nil, nil
	}
	wait := time.Duration(0)
	if len(ready) == 1 && len(s.live) == 1 && ready[0].dry > 0 {
		wait = refreshEvery / 2 // nobody else to look after: wait at the broker
	}
	got, err := s.fetch(ctx, ready, free, wait)
	return s.admit(ctx, got), cmp.Or(failed, err)
}

// ready are the batches worth asking now, and when that changes at the
// latest.
func (s *Source) ready() (ready []*live, wake time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	maps.DeleteFunc(s.rests, func(_ string, until time.Time) bool { return !until.After(now) }) // also of batches that are over
	places := s.places(now)
	wake = s.refreshed.Add(s.every())
	if s.news.pending() {
		wake = s.refreshed.Add(soonest)
	}
	unbound := false
	for _, l := range s.live {
		if !places.open(l) && !l.draining(now) {
			continue
		}
		unbound = unbound || !l.bound
		l.restUntil = s.rests[l.Name]
		until := l.dryUntil
		if l.restUntil.After(until) && !l.draining(now) {
			until = l.restUntil
		}
		if len(s.live) == 1 && l.bound && !l.restUntil.After(now) {
			until = time.Time{} // see try: it waits at the broker instead
		}
		if until.After(now) {
			if until.Before(wake) {
				wake = until
			}
			continue
		}
		ready = append(ready, l)
	}
	if !unbound {
		s.q.room.learnOfBinding(nil) // nobody needs the room for a consumer any more
	}
	return ready, wake
}

// fetch deals the free slots among the batches and asks for as many jobs. A
// batch that cannot be asked rests for a moment, and keeps none from the others.
func (s *Source) fetch(ctx context.Context, ready []*live, free int, wait time.Duration) ([]pulled, error) {
	var asked []*live
	var failed error
	for _, l := range s.seat(s.deal(ready, free)) {
		ok := false
		if failed == nil || l.bound { // binding may fail as slowly again, and others are asked already
			var err error
			if ok, err = s.ask(ctx, l, wait); err != nil {
				failed = cmp.Or(failed, err)
				s.Rest(l.Name, lastWait)
			}
		}
		if ok {
			asked = append(asked, l)
		} else {
			l.refund(l.want)
			s.found(l, 0, time.Now()) // or it is tried again at once
		}
	}
	got, err := s.pulls.collect(ctx, wait)
	err = cmp.Or(failed, err)
	count := make(map[*live]int, len(asked))
	for _, p := range got {
		count[p.l]++
	}
	now := time.Now()
	for _, l := range asked {
		l.refund(l.want - count[l])
		s.found(l, count[l], now)
	}
	return got, err
}

// ask requests what a batch was dealt, unless it cannot have that now.
func (s *Source) ask(ctx context.Context, l *live, wait time.Duration) (bool, error) {
	if err := s.bind(ctx, l); err != nil || !l.bound {
		return false, err
	}
	if wait := time.Until(s.began.Add(settleFirst)); wait > 0 && l.lent && !s.counted(l.server) {
		s.Rest(l.Name, wait) // how often its jobs were delivered is not known for sure, see early
		return false, nil
	}
	err := s.pulls.ask(l, l.want, wait)
	return err == nil, err
}
