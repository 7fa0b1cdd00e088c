package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// child is a process that was started here and ends with this one.
type child struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // how; valid when done
}

// start starts a program whose output, but for what cmd takes elsewhere, is
// appended to the file.
func start(cmd *exec.Cmd, logFile string) (*child, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	cmd.Stderr = log
	if cmd.Stdout == nil {
		cmd.Stdout = log
	}
	cmd.SysProcAttr = mortal()
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", cmd.Path, err), log.Close())
	}
	c := &child{cmd: cmd, done: make(chan struct{})}
	go func() {
		c.err = cmd.Wait()
		_ = log.Close()
		close(c.done)
	}()
	return c, nil
}

// kill is SIGKILL; it returns when the process is gone. A nil child is.
func (c *child) kill() {
	if c != nil {
		_ = c.cmd.Process.Kill()
		<-c.done
	}
}

// stop is SIGTERM, and SIGKILL for whom that does not end.
func (c *child) stop() {
	if c == nil {
		return
	}
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.done:
	case <-time.After(30 * time.Second):
		c.kill()
	}
}

// until waits for the claim to become true.
func until(patience time.Duration, what string, claim func() bool) error {
	for end := time.Now().Add(patience); !claim(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("%s: still not so after %v", what, patience)
		}
	}
	return nil
}
