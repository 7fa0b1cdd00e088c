//go:build unix

package process

import "syscall"

// Freeze stops the child where it is, until Thaw.
func (c *Child) Freeze() { _ = c.cmd.Process.Signal(syscall.SIGSTOP) }

// Thaw lets a child that is frozen go on.
func (c *Child) Thaw() { _ = c.cmd.Process.Signal(syscall.SIGCONT) }
