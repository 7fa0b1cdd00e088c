package queue

import (
	"slices"
	"time"

	"github.com/drover-batch/drover/internal/fair"
)

// usually is how long a job is taken to keep a slot, in seconds, before any of
// its batch has ended.
const usually = 1.0

// fewLanes is how many batches are asked for single jobs; of more, each is
// asked for several at a time, so that a fetch stays a few requests.
const fewLanes = 16

// slotTime is how long the jobs of a batch keep slots of this worker.
type slotTime struct {
	lasts   float64 // seconds of one, of late; 0 if none has ended
	out     int     // jobs that are lent
	starts  float64 // sum of when those began, on the source's clock
	charged float64 // sum of what they were charged
	overdue float64 // what the batch was charged for what they took beyond that so far
}

func (t *slotTime) cost() float64 {
	if t.lasts == 0 {
		return usually
	}
	return t.lasts
}

// owing is how much of what the batch's lent jobs were charged is not used yet.
func (t *slotTime) owing(now float64) float64 {
	return max(0, t.charged-(float64(t.out)*now-t.starts))
}

// late is by how much the batch's lent jobs have taken more than they were
// charged.
func (t *slotTime) late(now float64) float64 {
	return max(0, float64(t.out)*now-t.starts-t.charged)
}

// ending is a delivery that is over and not accounted for yet.
type ending struct {
	l      *live
	began  float64
	charge float64
	ended  float64
}

// clock is the time in seconds since the source began.
func (s *Source) clock() float64 { return time.Since(s.began).Seconds() }

// account takes in what became of deliveries: a batch is charged for the slots'
// time that its jobs took, not for their number.
func (s *Source) account() {
	s.mu.Lock()
	endings := s.endings
	s.endings = nil
	s.mu.Unlock()
	for _, e := range endings {
		l, took := e.l, e.ended-e.began
		l.out--
		l.starts -= e.began
		l.charged -= e.charge
		if l.lasts == 0 {
			l.lasts = took
		}
		l.lasts += (took - l.lasts) / 8
		fair.Charge(&l.Lane, took-e.charge)
	}
}

// deal shares free slots out among the batches and returns those that get
// some, with how many as want.
func (s *Source) deal(ready []*live, free int) []*live {
	s.account()
	lanes := make([]*fair.Lane, len(ready))
	now := s.clock()
	for i, l := range ready {
		late := l.late(now) // or it is dealt more until they end, and then less than its part
		fair.Charge(&l.Lane, late-l.overdue)
		l.overdue = late
		l.want, l.charge = 0, l.cost()
		l.Owing(l.owing(now))
		lanes[i] = &l.Lane
	}
	s.dealer.Welcome(lanes)
	piece := 1
	if len(lanes) > fewLanes {
		piece = max(1, free/fewLanes)
	}
	chosen := make([]*live, 0, min(free, len(ready)))
	for free > 0 && len(lanes) > 0 {
		l := s.known[s.dealer.Next(lanes).Name]
		n := min(piece, free)
		s.dealer.Take(&l.Lane, float64(n)*l.charge)
		if l.want == 0 {
			chosen = append(chosen, l)
		}
		l.want += n
		free -= n
	}
	return chosen
}

// load is what the batches of a tenant have at work here.
type load struct{ jobs, weight int }

// short are those of the ready batches that have less than half as many jobs at
// work here as another batch, or whose tenant has less than half as many as
// another. Where there are so many batches that the part of one is less than a
// job, it is not short.
func (s *Source) short(ready []*live) []*live {
	tenants := map[string]load{}
	sum, most, mostOfTenant := 0, 0, 0
	add := func(l *live) {
		t := tenants[l.Tenant]
		t.jobs, t.weight = t.jobs+l.out, t.weight+max(l.Weight, 1)
		tenants[l.Tenant] = t
		sum, most, mostOfTenant = sum+l.out, max(most, l.out), max(mostOfTenant, t.jobs)
	}
	for _, l := range s.live {
		if l.out > 0 {
			add(l)
		}
	}
	for _, l := range ready {
		if l.out == 0 {
			add(l)
		}
	}
	return slices.DeleteFunc(ready, func(l *live) bool {
		t := tenants[l.Tenant]
		part := sum * max(l.Weight, 1) / (len(tenants) * t.weight)
		return part == 0 || 2*l.out >= most && 2*t.jobs >= mostOfTenant
	})
}

// refund gives back what a batch was charged for jobs that it did not have.
func (l *live) refund(jobs int) { fair.Charge(&l.Lane, -float64(jobs)*l.charge) }
