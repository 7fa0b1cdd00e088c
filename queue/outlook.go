package queue

import (
	"time"

	"github.com/drover-batch/drover/jobs"
)

const (
	viewEvery = time.Second      // between two counts that are kept
	viewOver  = 10 * time.Second // of them
	viewLeast = 2 * time.Second  // less says nothing about a rate
)

// outlook is how many jobs of a batch were left, in the last seconds.
type outlook struct {
	counts []count // the oldest first
}

type count struct {
	at   time.Time
	left int64
}

// see takes in a count and tells how the batch gets on. As long as it is still
// growing nobody knows.
func (o *outlook) see(left int64, sealed bool, now time.Time) jobs.Outlook {
	if n := len(o.counts); n == 0 || now.Sub(o.counts[n-1].at) >= viewEvery {
		o.counts = append(o.counts, count{now, left})
	}
	for len(o.counts) > 1 && now.Sub(o.counts[1].at) >= viewOver {
		o.counts = o.counts[1:]
	}
	first := o.counts[0]
	if !sealed {
		o.counts = o.counts[:0]
		return jobs.Outlook{Left: left}
	}
	over := now.Sub(first.at)
	if over < viewLeast {
		return jobs.Outlook{Left: left}
	}
	done := max(float64(first.left-left), 0.5) // none in that time is less than one
	return jobs.Outlook{Left: left, Rate: done / over.Seconds()}
}

// look finds out how the live batches get on, and which would miss their
// deadline at that rate: those come first within their tenant.
func (s *Source) look(all map[string]*standing, now time.Time) {
	views := make(map[string]jobs.Outlook, len(s.live))
	s.empty = 0
	for _, l := range s.live {
		if l.dry > 0 {
			s.empty++
		}
		view := l.see(all[l.Name].left(), l.m.Sealed, now)
		l.Urgent = view.Late(l.Deadline)
		views[l.Name] = view
	}
	s.mu.Lock()
	s.outlooks = views
	s.mu.Unlock()
}

// Outlook tells how a batch gets on, as far as is known.
func (s *Source) Outlook(batch string) jobs.Outlook {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.outlooks[batch]
}
