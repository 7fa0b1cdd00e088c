package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// inside is set for the process that has the mounts.
const inside = "DROVER_POWER_INSIDE"

// inNamespace runs this program once more in a mount namespace of its own, so
// that whatever it mounts is gone when it ends. apart is false in that other
// process, and where nobody may make a namespace: there is nothing to mount.
func inNamespace(ctx context.Context, args []string, out, notes io.Writer) (apart bool, code int) {
	if os.Getenv(inside) != "" || os.Getuid() != 0 {
		return false, 0
	}
	self, err := os.Executable()
	if err != nil {
		_, _ = fmt.Fprintln(notes, "power:", err)
		return true, 1
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdout, cmd.Stderr = out, notes
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = time.Minute
	err = cmd.Run()
	if end, ok := errors.AsType[*exec.ExitError](err); ok {
		return true, end.ExitCode()
	}
	if err != nil {
		_, _ = fmt.Fprintln(notes, "power:", err)
		return true, 1
	}
	return true, 0
}

// mortal processes are killed by the kernel when this one dies in whatever way.
func mortal() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
