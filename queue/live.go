package queue

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/drover-batch/drover/internal/fair"
	"github.com/drover-batch/drover/jobs"
)

// refreshEvery is how often a Source looks which batches have work, so a
// pause, a cancel or a new batch reaches every worker within that time; new
// ones at once, see news. Where nothing moves it looks less often, see calm, and
// where there is no work every idleEvery, in case it has missed the news.
const (
	refreshEvery = 500 * time.Millisecond
	idleEvery    = 5 * time.Second
)

// live is a batch with jobs in the queue.
type live struct {
	fair.Lane
	slotTime
	outlook
	m *manifest

	want   int     // jobs to ask for
	charge float64 // for each

	bound  bool // its consumer is there
	lent   bool // some of its jobs were with a worker when we bound to it
	lease  time.Duration
	server string // id of the server that has counted all its deliveries; empty if unknown

	restUntil time.Time // asked for by Rest
	dryUntil  time.Time // it was found empty
	dry       time.Duration
	trimmed   uint64 // up to where it was trimmed
}

// inVain is how long on average passes between two requests for jobs that are
// not there, of the batches that have all their jobs with workers.
const inVain = 5 * time.Millisecond

// draining reports whether the batch's jobs are settled here rather than
// lent: it was cancelled or its deadline has gone by.
func (l *live) draining(now time.Time) bool {
	return l.m.State == jobs.Cancelled || !l.m.Deadline.IsZero() && now.After(l.m.Deadline)
}

// found notes whether asking for jobs was worth it. An empty batch is asked
// again soon, then less and less often: the more there are, the less.
func (s *Source) found(l *live, n int, now time.Time) {
	if n > 0 {
		l.dry, l.dryUntil = 0, time.Time{}
		return
	}
	l.dry = min(max(2*l.dry, 10*time.Millisecond), max(250*time.Millisecond, time.Duration(s.empty)*inVain))
	l.dryUntil = now.Add(l.dry)
}

// refresh brings the list of live batches up to date, at most every
// refreshEvery: those with jobs in the queue that are not paused.
func (s *Source) refresh(ctx context.Context) error {
	due := time.Since(s.refreshed) >= s.every()
	if !due && (time.Since(s.refreshed) < soonest || !s.news.pending()) {
		return nil
	}
	if heard, err := s.hear(ctx); err != nil || !heard && !due {
		return err
	}
	if due {
		if err := s.catchUp(ctx); err != nil {
			return fmt.Errorf("looking for work: %w", err)
		}
	}
	all, full, err := s.q.standings(ctx)
	if err != nil {
		return fmt.Errorf("looking for work: %w", err)
	}
	next := make([]*live, 0, len(all))
	for _, id := range slices.Sorted(maps.Keys(all)) {
		if all[id].left() == 0 {
			continue
		}
		l, err := s.dealable(ctx, id)
		if err != nil {
			return fmt.Errorf("looking for work: %w", err)
		}
		if l != nil {
			next = append(next, l)
		}
	}
	if err := s.retire(ctx, all); err != nil {
		return fmt.Errorf("looking for work: %w", err)
	}
	slices.SortFunc(next, func(a, b *live) int { return fair.Older(&a.Lane, &b.Lane) })
	s.live = next
	s.look(all, time.Now())
	s.calm.compare(all, s.manifests)
	if err := s.tidy(ctx, all, full); err != nil {
		return fmt.Errorf("looking for work: %w", err)
	}
	s.refreshed = time.Now()
	return nil
}

// forget takes a batch out of what is known, and of what is dealt from until
// the list is made anew.
func (s *Source) forget(id string) {
	delete(s.known, id)
	s.live = slices.DeleteFunc(s.live, func(l *live) bool { return l.Name == id })
}

// dealable returns a batch with jobs in the queue, nil if it is not to be dealt
// from.
func (s *Source) dealable(ctx context.Context, id string) (*live, error) {
	l := s.known[id]
	if l == nil || l.m.State == jobs.Finished {
		m, err := s.q.reopen(ctx, id)
		if broken, ok := errors.AsType[*unreadable](err); ok {
			s.passOver(id, broken)
		}
		if errors.Is(err, ErrNoBatch) || errors.Is(err, errNewer) {
			return nil, nil // not ours
		}
		if err != nil {
			return nil, err
		}
		if l = s.note(m); l == nil {
			return nil, nil
		}
	}
	if l.m.State == jobs.Paused && !l.draining(time.Now()) {
		return nil, nil
	}
	return l, nil
}

// reopen takes up a batch again that was over and has jobs after all: after a
// power cut, acknowledged messages can come back. They are looked up before
// they are paid for.
func (q *Queue) reopen(ctx context.Context, id string) (*manifest, error) {
	return q.update(ctx, id, func(m *manifest) error {
		if m.State == jobs.Finished {
			m.State = jobs.Live
		} else if !m.Over {
			return errUnchanged
		}
		m.Resumed, m.Over = true, false
		return nil
	})
}

// mostRetired is how many batches are finished before jobs are lent again:
// batches that share evenly end together, and each takes the broker's disk a
// moment.
const mostRetired = 8

// retire finishes batches that are complete and have no jobs left, paused ones
// among them, in no order: so each gets its turn, and workers do not all begin
// with the same.
func (s *Source) retire(ctx context.Context, all map[string]*standing) error {
	tried := 0
	s.untidy = false
	for id, l := range s.known {
		if at := all[id]; at != nil && at.left() > 0 || !l.m.Sealed && !l.m.ended() {
			continue
		}
		if tried++; tried > mostRetired {
			s.untidy = true
			return nil
		}
		over, err := s.q.finish(ctx, id)
		if err != nil && !errors.Is(err, ErrNoBatch) && !errors.Is(err, jetstream.ErrKeyExists) && !conflict(err) {
			return err
		}
		if over || errors.Is(err, ErrNoBatch) {
			s.forget(id)
		}
	}
	return nil
}

// bind makes sure that the batch has its consumer. If the broker allows none
// for now, the batch is not bound afterwards, which is no error.
func (s *Source) bind(ctx context.Context, l *live) error {
	if l.bound {
		return nil
	}
	err := s.bindTo(ctx, l)
	if errors.Is(err, jetstream.ErrMaximumConsumersLimit) {
		s.fullUntil = time.Now().Add(fullFor)
		return nil
	}
	s.q.room.learnOfBinding(err)
	return err
}

// bindTo reads the manifest before it looks for the consumer: if it says Dealt
// and there is none, one was lost with its record of deliveries, and the batch
// counts as resumed.
func (s *Source) bindTo(ctx context.Context, l *live) error {
	m, err := s.q.manifest(ctx, l.Name)
	if err != nil {
		return err
	}
	c, err := s.q.js.Consumer(ctx, s.q.stream("JOBS"), l.Name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		if m.Dealt {
			if m, err = s.q.resume(ctx, l.Name); err != nil {
				return err
			}
		}
		c, err = s.q.js.CreateConsumer(ctx, s.q.stream("JOBS"), s.q.consumerConfig(l.Name))
		if errors.Is(err, jetstream.ErrConsumerExists) {
			c, err = s.q.js.Consumer(ctx, s.q.stream("JOBS"), l.Name)
		}
	}
	if err != nil {
		return fmt.Errorf("binding to batch %s: %w", l.Name, err)
	}
	if !m.Dealt {
		m, err = s.q.update(ctx, l.Name, func(m *manifest) error {
			if m.Dealt {
				return errUnchanged
			}
			m.Dealt = true
			return nil
		})
		if err != nil {
			return err
		}
	}
	l.m, l.bound, l.server = m, true, ""
	info := c.CachedInfo()        // a server that stands alone names no cluster
	l.lease = info.Config.AckWait // what it was made with counts, whatever ours says
	if info.Cluster == nil || info.Cluster.Leader == s.q.nc.ConnectedServerName() {
		l.server = info.Config.Metadata[serverKey]
	}
	l.lent = info.NumAckPending > 0
	return nil
}

// serverKey is where a consumer says which server it was made on. A restarted
// server has a new id and may have forgotten the last deliveries, which are
// written down a moment after they happen.
const serverKey = "drover-server"

func (q *Queue) consumerConfig(batch string) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable: batch, FilterSubject: q.names.jobs(batch),
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: q.cfg.Lease,
		MaxDeliver: -1, MaxAckPending: -1, MaxWaiting: 4096,
		Metadata: map[string]string{serverKey: q.nc.ConnectedServerId()},
	}
}

// counted reports whether a delivery that the broker counts as a job's first
// certainly is, if the server has counted them all.
func (s *Source) counted(server string) bool {
	if s.q.jobs.CachedInfo().Config.Replicas > 1 {
		return true // delivered only after a quorum had written it down
	}
	return server != "" && server == s.q.nc.ConnectedServerId()
}
