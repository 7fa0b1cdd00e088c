package queue

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
)

// The endings of the spool's files: of records, of those not yet whole, and of
// those set aside.
const (
	recordExt = ".answer"
	draftExt  = ".tmp"
	badExt    = ".bad"
)

// write puts a file into the spool's folder. It is whole and on disk before it
// takes its name, and the name is on disk when write returns.
func (s *Spool) write(name string, data []byte) (err error) {
	path := s.path(name)
	f, err := os.OpenFile(path+draftExt, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(path+draftExt, path)
	}
	if err == nil {
		err = syncFolder(s.config.Dir)
	}
	if err != nil {
		_, _ = os.Remove(path+draftExt), os.Remove(path)
	}
	return err
}

// probeName is that of a file which shows that there is room for one.
const probeName = "probe"

func (s *Spool) probe() error {
	if err := s.write(probeName, []byte("drover")); err != nil {
		return err
	}
	return os.Remove(s.path(probeName))
}

// syncFolder has the names in a folder survive a power cut. Windows sees to
// that by itself.
func syncFolder(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// Adopt takes over the records in a folder, which the caller has to itself,
// and returns how many there are. They count against MaxBytes, whatever their
// size. A file whose writing was cut short is set aside and reported: its
// answer died with its worker. One that cannot be taken over is left where it
// is, and an error; the others are taken over all the same.
func (s *Spool) Adopt(dir string) (int, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, fmt.Errorf("looking for answers that wait on disk: %w", err)
	}
	s.skip(entries)
	n := 0
	var failed error
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if strings.HasPrefix(e.Name(), probeName) {
			_ = os.Remove(path)
			continue
		}
		switch filepath.Ext(e.Name()) {
		case draftExt:
			if !whole(path) {
				s.setAside(path, errors.New("its worker died while writing it"))
				continue
			}
		case recordExt:
		default:
			continue
		}
		if err := s.adopt(path); err != nil {
			failed = cmp.Or(failed, err)
			continue
		}
		n++
	}
	if n > 0 {
		failed = errors.Join(failed, syncFolder(s.config.Dir), syncFolder(dir))
		s.mu.Lock()
		defer s.mu.Unlock()
		s.config.OnWaiting(len(s.waiting))
		s.rouse()
	}
	if failed != nil {
		failed = fmt.Errorf("taking over answers that wait on disk: %w", failed)
	}
	return n, failed
}

// skip keeps new names from being those of files that are there.
func (s *Spool) skip(entries []os.DirEntry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range entries {
		if _, n := parts(e.Name()); n >= s.next {
			s.next = n + 1
		}
	}
}

// whole reports whether a file that never got its name is a record all the
// same.
func whole(path string) bool {
	data, err := os.ReadFile(path)
	if err != nil {
		return false
	}
	_, err = decodeRecord(data)
	return err == nil
}

// parts are of when a file's record is, and its number: 0 where the name does
// not say.
func parts(name string) (since int64, n uint64) {
	if _, err := fmt.Sscanf(name, "%d-%d", &since, &n); err != nil {
		return 0, 0
	}
	return since, n
}

func (s *Spool) adopt(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	since, _ := parts(filepath.Base(path))
	w := &waiting{path: s.path(s.name(since)), size: info.Size()}
	if err := os.Rename(path, w.path); err != nil {
		return err
	}
	s.bytes += w.size
	s.line(w)
	return nil
}
