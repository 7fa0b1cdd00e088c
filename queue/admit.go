package queue

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/drover-batch/drover/jobs"
)

var errAway = errors.New("NATS is away")

// admit turns messages into deliveries. Those that will not be lent are
// settled here or handed back.
func (s *Source) admit(ctx context.Context, got []pulled) []jobs.Delivery {
	var lent []jobs.Delivery
	for _, p := range got {
		d, err := s.open(ctx, p)
		if err != nil {
			s.spoiled(ctx, p, err)
			continue
		}
		if wait := s.early(ctx, d); wait > 0 {
			_ = s.q.recordReturn(ctx, d.job, d.deliveries, nil) // or its wait would count as a death
			s.pulls.refuseFor(d.ack, wait)
			continue
		}
		deaths, err := s.q.deaths(ctx, d)
		switch {
		case s.works(d.job.ID): // and keeps the lease of both: to the broker they are one
		case err != nil:
			s.giveBack(d)
		case deaths >= s.q.cfg.MaxDeliveries:
			s.bury(ctx, d, jobs.Poison, fmt.Sprintf("%d workers died or lost their lease with this job in hand", deaths))
		case deaths >= suspicious:
			if !s.setAside(d) {
				_ = s.q.recordReturn(ctx, d.job, d.deliveries, nil) // or its wait would count as a death
				s.giveBack(d)
			}
		default:
			s.lendOut(d)
			s.begins(d)
			lent = append(lent, d)
		}
	}
	return lent
}

// open decodes a message into a delivery.
func (s *Source) open(ctx context.Context, p pulled) (*delivery, error) {
	meta, err := p.msg.Metadata()
	if err != nil {
		return nil, err
	}
	data, err := s.q.body(ctx, p.msg.Header, p.msg.Data)
	if err != nil {
		return nil, err
	}
	j, err := decodeJob(p.l.Name, data)
	if err != nil {
		return nil, err
	}
	j.Traceparent, j.Queued = p.msg.Header.Get(traceHeader), meta.Timestamp
	b := p.l.m.Asking(j)
	b.Urgent = p.l.Urgent
	return &delivery{
		l: p.l, q: s.q, s: s, job: j, batch: b, ack: p.msg.Reply, deliveries: meta.NumDelivered, lease: p.l.lease, expires: p.expires,
		firstExpiry: p.expires, server: p.l.server, reconnects: s.q.nc.Stats().Reconnects,
		fresh: meta.NumDelivered == 1 && j.Run == 1 && !b.Resumed && s.counted(p.l.server),
	}, nil
}

// mostFetched is how often a body is fetched that is damaged: for half a minute,
// in which whoever writes it at this moment is done, and replicas have caught up.
const mostFetched = 6

// spoiled deals with a message that does not become a job. If it never will,
// it ends as a dead letter; otherwise it goes back, for longer each time.
func (s *Source) spoiled(ctx context.Context, p pulled, cause error) {
	tries := uint64(1)
	if meta, err := p.msg.Metadata(); err == nil {
		tries = meta.NumDelivered
	}
	gone := errors.Is(cause, errDamaged) && tries >= mostFetched || errors.Is(cause, jetstream.ErrObjectNotFound) || errors.Is(cause, errForeign) || p.msg.Header.Get(docHeader) == ""
	if errors.Is(cause, errNewer) { // as its batch is by then, or else it is forged
		m, err := s.q.manifest(ctx, p.l.Name)
		gone = err == nil && m.known() == nil
	}
	if !gone {
		s.pulls.refuse(ctx, p.msg, p.expires, time.Second<<min(tries-1, mostFetched))
		return
	}
	id := jobs.ID(p.msg.Header.Get(jobHeader))
	if !id.Valid() {
		id = jobs.NewID(p.l.Name, p.msg.Reply)
	}
	b := p.l.m.Batch
	d := &delivery{
		q: s.q, s: s, batch: &b, ack: p.msg.Reply, expires: p.expires,
		job: &jobs.Job{ID: id, Batch: b.ID, CustomID: string(id), Run: 1},
	}
	s.bury(ctx, d, jobs.Internal, "the queued job cannot be read: "+cause.Error())
}

// early is how long a job is not lent because whoever had it before may be
// about to store its answer: a process that has just begun does not know
// whether NATS was away until now, see settleFirst.
func (s *Source) early(ctx context.Context, d *delivery) time.Duration {
	wait := time.Until(s.began.Add(settleFirst))
	if wait <= 0 || d.deliveries <= 1 {
		return 0
	}
	if back, err := s.q.returned(ctx, d.job); err == nil && int(d.deliveries)-1 <= back.Count {
		return 0 // everybody who had it gave it back
	}
	return wait
}

// bury ends a job without lending it.
func (s *Source) bury(ctx context.Context, d *delivery, kind jobs.Kind, why string) {
	o := jobs.NewOutcome(d.job, d.batch, jobs.Dead, nil)
	o.Kind, o.Reason, o.Worker, o.Finished = kind, why, s.worker, time.Now().UTC()
	s.q.ended(d, o, d.end(ctx, o)) // if it fails, the lease ends and the job comes again
}

// giveBack hands a job back that is not lent now.
func (s *Source) giveBack(d *delivery) { s.pulls.refuseFor(d.ack, time.Second) }

func (s *Source) lendOut(d *delivery) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lent[d], s.byJob[d.job.ID] = struct{}{}, d
}

// works reports whether the job is at work here already: a broker that was
// restarted may have forgotten that it lent it.
func (s *Source) works(id jobs.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := s.byJob[id]
	return d != nil && d.held()
}

// begins notes that a job takes a slot from now on.
func (s *Source) begins(d *delivery) {
	d.began, d.charge = s.clock(), d.l.charge
	d.l.out++
	d.l.starts += d.began
	d.l.charged += d.charge
}

// ends notes that a job is not lent any more, and its slot free. Callers hold mu.
func (s *Source) ends(d *delivery) {
	if _, lent := s.lent[d]; lent && d.l != nil && d.charge > 0 {
		s.endings = append(s.endings, ending{d.l, d.began, d.charge, s.clock()})
	}
	delete(s.lent, d)
	if s.byJob[d.job.ID] == d {
		delete(s.byJob, d.job.ID)
	}
}

// ended forgets a delivery that is over.
func (s *Source) ended(d *delivery) {
	s.mu.Lock()
	s.ends(d)
	if s.alone == d {
		s.alone = nil
	}
	s.mu.Unlock()
	s.calm.stir()
	select {
	case s.freed <- struct{}{}:
	default:
	}
}

// tallyEvery is how often what is lent is gone through while nobody asks how
// much that is: there may be thousands of jobs, and a Next for each.
const tallyEvery = time.Second

// tally counts the jobs that are lent. One whose lease ended does not count: its
// worker has let go of it without a word.
func (s *Source) tally() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tallied = time.Now()
	for d := range s.lent {
		if !d.held() {
			s.ends(d)
		}
	}
	return len(s.lent)
}

// setAside keeps a job to be lent alone, one at a time.
func (s *Source) setAside(d *delivery) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.alone != nil {
		return false
	}
	s.alone = d
	return true
}

// suspect sees to it that a job which may kill its worker runs alone: it is
// lent when nothing else is, and nothing else is lent until it has ended. busy
// means that this is not the time to look for other jobs.
func (s *Source) suspect(ctx context.Context) (d *delivery, busy bool) {
	s.mu.Lock()
	idle := s.alone == nil && time.Since(s.tallied) < tallyEvery
	s.mu.Unlock()
	if idle {
		return nil, false
	}
	others := s.tally()
	s.mu.Lock()
	d = s.alone
	_, running := s.lent[d]
	switch {
	case d == nil || !d.held():
		s.alone = nil
		s.mu.Unlock()
		return nil, false
	case others == 0:
		s.mu.Unlock()
		s.lendOut(d)
		return d, true
	}
	s.mu.Unlock()
	if !running && time.Until(d.Expires()) < d.lease*2/3 {
		_ = d.Extend(ctx) // if it fails, the lease ends and the job comes again
	}
	t := time.NewTimer(d.lease / 6)
	defer t.Stop()
	select {
	case <-s.freed:
	case <-t.C:
	case <-ctx.Done():
	}
	return nil, true
}
