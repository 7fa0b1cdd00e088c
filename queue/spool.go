package queue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// SpoolConfig says where answers wait while NATS is away.
type SpoolConfig struct {
	// Dir is a folder of this process alone; whoever opens the spool sees to
	// that. It is made if need be, and what is in it already is stored first.
	Dir string

	// MaxBytes bounds what may wait, as encoded. Default 1 GiB.
	MaxBytes int64

	// OnStored is told of every record that has left the spool for the broker.
	OnStored func(Stored)

	// OnWaiting is told when something begins to wait and, with 0, when
	// nothing waits any more.
	OnWaiting func(n int)

	// OnError is told what keeps the spool from doing its work. None of the
	// three may be nil, block, or ask the spool anything.
	OnError func(error)
}

// Stored is an outcome, or the attempts of a hand-back, that waited on disk
// and is in the broker now.
type Stored struct {
	Outcome  *jobs.Outcome // nil for a hand-back
	Attempts []jobs.Attempt
	Err      error // jobs.ErrSettled if another outcome stands and this one is waste
}

// Spool keeps on disk what cannot be stored because NATS is away, and stores
// it when NATS is back. Every record is a file, on disk before anybody relies
// on it and there until the broker has it; storing one twice changes nothing.
type Spool struct {
	q      *Queue
	config SpoolConfig
	wake   chan struct{} // something waits

	mu      sync.Mutex
	next    uint64 // number of the next file
	waiting []*waiting
	bytes   int64 // of those, and of those being written
	full    bool  // something found no room
	broken  error // why the last write failed
	probed  time.Time
}

// waiting is a record on disk.
type waiting struct {
	path string
	size int64
	lent *delivery // whose lease is kept until it is stored; nil if there is none
}

// The sizes of what the spool does at a time.
const (
	defaultSpool = 1 << 30
	blip         = 2 * time.Second // NATS away for less does not touch the disk
	probeEvery   = 5 * time.Second // a disk that failed is tried again
)

// OpenSpool opens the spool in a folder. It stores nothing until Run or Drain.
func (q *Queue) OpenSpool(c SpoolConfig) (*Spool, error) {
	if c.MaxBytes <= 0 {
		c.MaxBytes = defaultSpool
	}
	s := &Spool{q: q, config: c, wake: make(chan struct{}, 1), next: 1}
	if err := os.MkdirAll(c.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder where answers wait: %w", err)
	}
	above := filepath.Dir(c.Dir)
	if err := errors.Join(s.probe(), syncFolder(above)); err != nil {
		return nil, fmt.Errorf("opening the folder where answers wait: %w", err)
	}
	for range 2 { // which may be new as well, or not ours to open
		above = filepath.Dir(above)
		_ = syncFolder(above)
	}
	_, err := s.Adopt(c.Dir)
	return s, err
}

// Waiting is how many records wait on disk.
func (s *Spool) Waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiting)
}

// keep stores a record or, if NATS stays away, puts it on disk and returns
// jobs.ErrSpooled; the lease of the delivery, if there is one, is kept until it
// is stored. Without room on disk it tries for Config.StorePatience, as it does
// without a spool.
func (s *Spool) keep(ctx context.Context, q *Queue, d *delivery, r *record) error {
	if s == nil {
		return r.store(ctx, q, q.cfg.StorePatience)
	}
	err := r.store(ctx, q, blip)
	if !mayBeStored(err) {
		return err
	}
	if s.put(d, r) == nil {
		return jobs.ErrSpooled
	}
	if err = r.store(ctx, q, q.cfg.StorePatience); mayBeStored(err) && s.put(d, r) == nil {
		return jobs.ErrSpooled // there is room by now
	}
	return err
}

// put writes a record to disk. When it returns nil the record will outlive
// the process, and a power cut.
func (s *Spool) put(d *delivery, r *record) error {
	data, err := r.encode()
	if err != nil {
		return err
	}
	w, err := s.reserve(r.since(), int64(len(data)))
	if err != nil {
		return err
	}
	w.lent = d
	return s.written(w, s.write(filepath.Base(w.path), data))
}

// reserve makes room for a record.
func (s *Spool) reserve(since time.Time, size int64) (*waiting, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bytes+size <= s.config.MaxBytes {
		s.bytes += size
		return &waiting{path: s.path(s.name(since.UnixNano())), size: size}, nil
	}
	err := fmt.Errorf("%s of %d bytes in all in %s, and there is no room for one of %d; no new calls are made: raise worker.spool",
		jobs.Counted(len(s.waiting), "answer"), s.bytes, s.config.Dir, size)
	if !s.full {
		s.full = true
		s.config.OnError(err)
	}
	return nil, err
}

// written takes note of a record's file, or of what went wrong with it.
func (s *Spool) written(w *waiting, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		if s.broken == nil {
			s.config.OnError(fmt.Errorf("putting an answer on disk: %w; no new calls are made", err))
		}
		s.broken, s.probed = err, time.Now()
		s.bytes -= w.size
		return err
	}
	s.broken = nil
	s.line(w)
	if len(s.waiting) == 1 {
		s.config.OnWaiting(1)
	}
	s.rouse()
	return nil
}

// line puts a record where its turn is: files are dealt with in the order of
// their names. The caller holds the lock.
func (s *Spool) line(w *waiting) {
	at, _ := slices.BinarySearchFunc(s.waiting, w, func(a, b *waiting) int { return strings.Compare(a.path, b.path) })
	s.waiting = slices.Insert(s.waiting, at, w)
}

// name is that of the next file, for a record of that time in Unix nanoseconds.
// The caller holds the lock.
func (s *Spool) name(since int64) string {
	s.next++
	return fmt.Sprintf("%019d-%06d%s", since, s.next-1, recordExt)
}

func (s *Spool) path(name string) string { return filepath.Join(s.config.Dir, name) }

func (s *Spool) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Trouble says why no answer could wait here, so that none is to be paid for.
// A disk that failed is tried again now and then.
func (s *Spool) Trouble() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil && time.Since(s.probed) >= probeEvery {
		s.probed, s.broken = time.Now(), s.probe()
	}
	switch {
	case s.broken != nil:
		return fmt.Errorf("answers could not wait on disk: %w", s.broken)
	case s.full || s.bytes >= s.config.MaxBytes:
		return fmt.Errorf("%s in %s, and there is no room for more", jobs.Counted(len(s.waiting), "answer"), s.config.Dir)
	}
	return nil
}

// errWaiting keeps jobs from being lent before the answers are stored that
// they may come back for.
var errWaiting = errors.New("answers wait on disk to be stored first")

// holdUp tells why nothing is to be lent, or nil.
func (s *Spool) holdUp() error {
	switch {
	case s == nil:
		return nil
	case s.Waiting() > 0:
		return errWaiting
	}
	return s.Trouble()
}

// gone takes a record off the list once its file is dealt with.
func (s *Spool) gone(w *waiting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, other := range s.waiting {
		if other == w {
			s.waiting = append(s.waiting[:i:i], s.waiting[i+1:]...)
			break
		}
	}
	s.bytes -= w.size
	if s.bytes <= s.config.MaxBytes/2 {
		s.full = false
	}
	if len(s.waiting) == 0 {
		s.config.OnWaiting(0)
	}
}

// setAside renames a file that is no record, or one that the broker refuses
// for good, so that it is in nobody's way and a person can look at it.
func (s *Spool) setAside(path string, why error) {
	aside := filepath.Join(filepath.Dir(s.config.Dir), filepath.Base(filepath.Dir(path))+"-"+filepath.Base(path)+badExt)
	if err := os.Rename(path, aside); err != nil && !errors.Is(err, fs.ErrNotExist) {
		why = errors.Join(why, err)
	}
	s.config.OnError(fmt.Errorf("an answer that waited on disk cannot be stored and is set aside as %s: %w", aside, why))
}
