package wire

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/drover-batch/drover/internal/embedded"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/queue"
)

// SpoolFolder is the usual name of Parts.Spool, in the data folder.
const SpoolFolder = "spool"

// spool is the queue's spool in a folder that this process holds the lock of,
// among those of other processes. As nil it is none.
type spool struct {
	*queue.Spool
	folder, own string
	lock        *embedded.Lock
}

// openSpool takes a folder for this process, takes over what dead processes
// left in theirs, and stores it if NATS is there. It comes before anything is
// rebuilt from a book that does not have them yet.
func (w *Worker) openSpool(ctx context.Context) (err error) {
	bound := w.parts.Config.Worker.Spool
	if w.parts.Spool == "" || bound == 0 {
		return nil
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w; answers wait in %s while NATS is away: make it writable, choose another folder with --data, or set worker.spool to 0", err, w.parts.Spool)
		}
	}()
	s := &spool{folder: w.parts.Spool, own: strings.Map(plain, w.parts.ID)}
	dir := filepath.Join(s.folder, s.own)
	if s.lock, err = embedded.LockFolder(dir); err != nil {
		return err
	}
	s.Spool, err = w.parts.Queue.OpenSpool(queue.SpoolConfig{
		Dir: dir, MaxBytes: int64(bound),
		OnStored: w.stored, OnWaiting: w.waiting,
		OnError: func(err error) { w.parts.Log.Error().Err(err).Msg("the answers on disk") },
	})
	if err != nil {
		return errors.Join(err, s.lock.Release())
	}
	w.spool = s
	if err := s.adopt(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := s.Drain(ctx); err != nil {
		w.parts.Log.Warn().Err(err).Msg("going on with that in the background")
	}
	return nil
}

// plain keeps a process's name from being more than a name.
func plain(r rune) rune {
	if r == '/' || r == '\\' || r == ':' || r < ' ' {
		return '-'
	}
	return r
}

// adopt takes over what dead processes left behind: the folders that nobody
// holds the lock of. One that cannot be taken over is no reason to leave the
// others.
func (s *spool) adopt() error {
	entries, err := os.ReadDir(s.folder)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if e.IsDir() && e.Name() != s.own {
			errs = append(errs, s.inherit(filepath.Join(s.folder, e.Name())))
		}
	}
	return errors.Join(errs...)
}

// inherit takes over a folder, unless its process lives.
func (s *spool) inherit(dir string) error {
	lock, err := embedded.LockFolder(dir)
	if errors.Is(err, embedded.ErrLocked) {
		return nil
	}
	if err != nil {
		return err
	}
	if _, err := s.Adopt(dir); err != nil {
		return errors.Join(err, lock.Release())
	}
	return lock.Remove()
}

// close lets go of the folder. What is left in it is the next process's.
func (s *spool) close() error {
	if s == nil {
		return nil
	}
	return s.lock.Remove()
}

// run stores what waits until ctx ends.
func (s *spool) run(ctx context.Context) {
	if s != nil {
		s.Run(ctx)
	}
}

// Spooled is how many answers wait on disk to be stored.
func (w *Worker) Spooled() int {
	if w.spool == nil {
		return 0
	}
	return w.spool.Waiting()
}

// Ready says why this worker takes no jobs because of what waits on disk, or
// could not.
func (w *Worker) Ready() error {
	switch n := w.Spooled(); {
	case w.spool == nil:
		return nil
	case n > 0:
		return fmt.Errorf("%s still to be stored, in %s", jobs.Counted(n, "answer"), w.spool.folder)
	}
	return w.spool.Trouble()
}

// waiting tells the log when the first answer goes to disk and when the last
// is stored.
func (w *Worker) waiting(n int) {
	log := w.parts.Log.Info().Str("folder", w.parts.Spool)
	if n == 0 {
		log.Msg("all answers that waited on disk are stored")
		return
	}
	w.parts.Log.Warn().Int("answers", n).Str("folder", w.parts.Spool).Msg("answers wait on disk to be stored when NATS is there")
}

// stored does for an answer that waited what is done for the others at once.
func (w *Worker) stored(s queue.Stored) {
	book(w.gate, w.log, s.Attempts)
	if s.Outcome != nil {
		w.Pool.Stored(s.Outcome, s.Err)
	}
}

// tellLeft says what is left for the next process.
func (w *Worker) tellLeft() {
	if n := w.Spooled(); n > 0 {
		w.parts.Log.Warn().Int("answers", n).Str("folder", w.parts.Spool).
			Msgf("%s left in %s: the next worker there stores what is left when NATS is back", jobs.Counted(n, "answer"), w.parts.Spool)
	}
}
