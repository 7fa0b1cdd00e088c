package queue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"
)

// An acknowledgement does not take a job out of the queue: that would be a
// write of its own, and a sync of its own where every write is synced. A job
// counts as let go of when its batch's consumer says so, and is taken away with
// many others. The broker takes away what one subject has up to a sequence, and
// looks through all that the subject has for it. So the jobs of a batch wait
// on subjects of partJobs each, those that are replayed on one of their own.
const (
	partJobs     = 2000
	replayedPart = "replayed"
)

// partFor is the part that the job behind so many others belongs to.
func partFor(count int64) string { return strconv.FormatInt(count/partJobs, 10) }

// standing is what the broker has of a batch's jobs.
type standing struct {
	parts           map[string]int64 // how many are there, done ones included
	queued, running int64            // waiting, and with a worker or deferred
	floor           uint64           // all up to this sequence are done
	again           bool             // of those waiting some were lent before and may be done
}

// left is how many jobs have not been let go of.
func (s *standing) left() int64 { return s.queued + s.running }

// done is how many are there that have been.
func (s *standing) done() (sum int64) {
	for _, n := range s.parts {
		sum += n
	}
	return max(0, sum-s.left())
}

// served takes over what the batch's consumer says.
func (s *standing) served(c *jetstream.ConsumerInfo) {
	s.queued, s.running, s.floor = int64(c.NumPending), int64(c.NumAckPending), c.AckFloor.Stream
	s.again = c.Delivered.Stream < dealtBefore(c)
}

// standing counts the jobs of a batch. That none is left is certain: a consumer
// may not have heard yet of what was stored just now.
func (q *Queue) standing(ctx context.Context, batch string) (*standing, error) {
	all, _, err := q.present(ctx, q.names.jobs(batch))
	if err != nil {
		return nil, fmt.Errorf("counting the jobs of batch %s: %w", batch, err)
	}
	s := all[batch]
	if s == nil {
		return &standing{}, nil
	}
	c, err := q.js.Consumer(ctx, q.stream("JOBS"), batch)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("counting the jobs of batch %s: %w", batch, err)
	}
	if s.served(c.CachedInfo()); s.left() > 0 {
		return s, nil
	}
	parts := s.inOrder()
	for i, part := range parts {
		if i+1 < len(parts) && parts[i+1] != replayedPart {
			continue // what is behind it came later
		}
		m, err := lastOn(ctx, q.jobs, q.names.job(batch, part))
		if err != nil {
			return nil, err
		}
		if newest(m) > s.floor {
			s.queued++ // one at the least
		}
	}
	return s, nil
}

// standings counts the jobs of all batches that have any, all at once. It tells
// whether the queue is half full, too.
func (q *Queue) standings(ctx context.Context) (all map[string]*standing, full bool, err error) {
	all, full, err = q.present(ctx, q.subject("jobs", "*", "*"))
	if err != nil {
		return nil, false, fmt.Errorf("counting jobs: %w", err)
	}
	if len(all) == 0 {
		return all, full, nil
	}
	consumers, count := q.jobs.ListConsumers(ctx), int64(0)
	for c := range consumers.Info() {
		count++
		if s := all[c.Name]; s != nil {
			s.served(c)
		}
	}
	if err := consumers.Err(); err != nil {
		return nil, false, fmt.Errorf("counting jobs: %w", err)
	}
	q.consumers.Store(count)
	return all, full, nil
}

// present counts the jobs that are there, by batch and part.
func (q *Queue) present(ctx context.Context, filter string) (all map[string]*standing, full bool, err error) {
	info, err := q.jobs.Info(ctx, jetstream.WithSubjectFilter(filter))
	if err != nil {
		return nil, false, err
	}
	all = map[string]*standing{}
	for subject, n := range info.State.Subjects {
		batch, part := q.names.parseJob(subject)
		s := all[batch]
		if s == nil {
			s = &standing{parts: map[string]int64{}}
			all[batch] = s
		}
		s.parts[part] = int64(n)
		s.queued += int64(n)
	}
	most := info.Config.MaxBytes
	return all, most > 0 && info.State.Bytes > uint64(most)/2, nil
}

// inOrder are the parts, those first whose jobs came first; what is replayed
// comes last.
func (s *standing) inOrder() []string {
	number := func(part string) int64 {
		n, err := strconv.ParseInt(part, 10, 64)
		if err != nil {
			return math.MaxInt64
		}
		return n
	}
	return slices.SortedFunc(maps.Keys(s.parts), func(a, b string) int { return cmp.Compare(number(a), number(b)) })
}

// worthPurging is how many consumers may be there for each job that is taken
// away. When many jobs go at once the broker counts anew what each consumer of
// the stream has left, by going through messages: 0.1 to 0.2 ms for each. To take
// away one job by itself takes it 1 ms, mostly a sync.
const worthPurging = 8

// trim takes away the jobs that are done, but for those behind one that is not.
func (q *Queue) trim(ctx context.Context, batch string, s *standing) error {
	done := s.done()
	if done*worthPurging < q.consumers.Load() {
		return q.pick(ctx, batch, s.floor)
	}
	for _, part := range s.inOrder() {
		if part != replayedPart {
			if done <= 0 {
				continue
			}
			done -= s.parts[part]
		}
		err := q.jobs.Purge(ctx, jetstream.WithPurgeSubject(q.names.job(batch, part)), jetstream.WithPurgeSequence(s.floor+1))
		if err != nil {
			return fmt.Errorf("taking away what is done of batch %s: %w", batch, err)
		}
	}
	return nil
}

// pick takes the jobs of a batch away one by one, up to a sequence.
func (q *Queue) pick(ctx context.Context, batch string, floor uint64) error {
	for seq, refused := uint64(1), uint64(0); ; {
		m, err := q.jobs.GetMsg(ctx, seq, jetstream.WithGetMsgSubject(q.names.jobs(batch)))
		if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && m.Sequence > floor {
			return nil
		}
		if err == nil {
			seq, err = m.Sequence, q.jobs.DeleteMsg(ctx, m.Sequence)
		}
		switch {
		case err == nil:
			seq++
		case errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) && seq != refused:
			refused = seq // another worker may have been faster: look again
		default:
			return fmt.Errorf("taking away what is done of batch %s: %w", batch, err)
		}
	}
}

// tidy trims the batches where it is worth it: where a part is done, or where
// room is scarce.
func (s *Source) tidy(ctx context.Context, all map[string]*standing, full bool) error {
	for _, id := range slices.Sorted(maps.Keys(all)) {
		at, l := all[id], s.known[id]
		done := at.done()
		if l == nil || at.floor == l.trimmed || done == 0 || done < partJobs && !full {
			continue
		}
		if err := s.q.trim(ctx, id, at); err != nil {
			return err
		}
		l.trimmed = at.floor
	}
	return nil
}
