package embedded

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// beyond is an offset far past the process id, since Windows forbids others
// to read a locked range.
const beyond = 1 << 20

func lockFile(f *os.File) error {
	at := &windows.Overlapped{Offset: beyond}
	flags := uint32(windows.LOCKFILE_EXCLUSIVE_LOCK | windows.LOCKFILE_FAIL_IMMEDIATELY)
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, at)
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return ErrLocked
	}
	return err
}

// unlockFile leaves that to the closing of the file.
func unlockFile(*os.File) error { return nil }
