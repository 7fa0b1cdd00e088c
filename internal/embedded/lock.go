package embedded

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ErrLocked says that another process holds the lock.
var ErrLocked = errors.New("locked by another process")

// taken is ErrLocked, with the holder's name.
type taken struct{ by string }

func (t taken) Error() string        { return "in use by " + t.by }
func (t taken) Is(target error) bool { return target == ErrLocked }

// Lock is a folder taken by one process. The system frees it when the process
// ends, however it ends, so a file left behind locks nobody out.
type Lock struct {
	dir  string
	file *os.File
}

// lockName is that of the file in the folder.
const lockName = "lock"

// LockFolder makes the folder if need be and takes it. ErrLocked if another
// process has it, whose id the error tells.
func LockFolder(dir string) (*Lock, error) {
	for {
		f, err := lockOnce(dir)
		if err != nil || f != nil {
			return &Lock{dir, f}, err
		}
	}
}

// lockOnce returns nil if the folder was removed meanwhile by whoever had it.
func lockOnce(dir string) (*os.File, error) {
	err := os.MkdirAll(dir, 0o700)
	if info, stat := os.Stat(dir); errors.Is(err, fs.ErrExist) && (errors.Is(stat, fs.ErrNotExist) || stat == nil && info.IsDir()) {
		return nil, nil // it came and went while it was being made
	}
	if err != nil {
		return nil, fmt.Errorf("making the folder: %w", err)
	}
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("opening the lock: %w", err)
	}
	if err := lockFile(f); err != nil {
		defer func() { _ = f.Close() }()
		if errors.Is(err, ErrLocked) {
			return nil, taken{holder(f)}
		}
		return nil, fmt.Errorf("locking: %w", err)
	}
	here, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if there, err := os.Stat(path); err != nil || !os.SameFile(here, there) {
		return nil, f.Close()
	}
	if err := sign(f); err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("writing the lock: %w", err)
	}
	return f, nil
}

// Release lets others take the folder.
func (l *Lock) Release() error { return errors.Join(unlockFile(l.file), l.file.Close()) }

// Remove releases the folder and removes it, unless there is something in it.
func (l *Lock) Remove() error {
	left, err := os.ReadDir(l.dir)
	if err == nil && len(left) == 1 { // nobody else has a lock to look for from here on
		_ = os.Remove(l.file.Name())
		_ = os.Remove(l.dir)
	}
	return errors.Join(err, l.Release())
}

func sign(f *os.File) error {
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err := f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	return err
}

func holder(f io.ReaderAt) string {
	buf := make([]byte, 20)
	n, _ := f.ReadAt(buf, 0)
	if pid, err := strconv.Atoi(strings.TrimSpace(string(buf[:n]))); err == nil {
		return fmt.Sprintf("process %d", pid)
	}
	return "another process"
}
