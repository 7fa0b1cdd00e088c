package process

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Child is a process that was started here and ends with this one.
type Child struct {
	name string
	cmd  *exec.Cmd
	log  *os.File
	Done chan struct{} // closed when it has ended
	Err  error         // how; valid when done
	Told atomic.Bool   // it was told to end
}

// Children are all that run, so that none outlives this process.
type Children struct {
	mu  sync.Mutex
	all map[*Child]bool
}

// Start starts a program whose output is appended to the file. Its standard
// input is cmd's.
func (cs *Children) Start(name string, cmd *exec.Cmd, logFile string) (*Child, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	c := &Child{name: name, cmd: cmd, log: log, Done: make(chan struct{})}
	cmd.Stderr = log
	if cmd.Stdout == nil {
		cmd.Stdout = log
	}
	cmd.SysProcAttr = Mortal()
	if err := cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("starting %s: %w", name, err), log.Close())
	}
	cs.mu.Lock()
	if cs.all == nil {
		cs.all = map[*Child]bool{}
	}
	cs.all[c] = true
	cs.mu.Unlock()
	go func() {
		c.Err = cmd.Wait()
		_ = log.Close()
		cs.mu.Lock()
		delete(cs.all, c)
		cs.mu.Unlock()
		close(c.Done)
	}()
	return c, nil
}

// KillAll ends every child at once and waits until it is gone.
func (cs *Children) KillAll() {
	cs.mu.Lock()
	var all []*Child
	for c := range cs.all {
		all = append(all, c)
	}
	cs.mu.Unlock()
	for _, c := range all {
		c.Kill()
	}
}

// Kill is SIGKILL; it returns when the process is gone.
func (c *Child) Kill() {
	c.Told.Store(true)
	_ = c.cmd.Process.Kill()
	<-c.Done
}

// Stop is SIGTERM. It returns how the process ended, or kills it if that takes
// longer than the patience.
func (c *Child) Stop(patience time.Duration) error {
	c.Told.Store(true)
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.Done:
		return c.Err
	case <-time.After(patience):
		c.Kill()
		return fmt.Errorf("%s did not stop within %v", c.name, patience)
	}
}

// Until waits for the claim to become true, asking every few milliseconds.
func Until(patience time.Duration, what string, claim func() bool) error {
	for end := time.Now().Add(patience); !claim(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("%s: still not so after %v", what, patience)
		}
	}
	return nil
}

// PID is the process's id.
func (c *Child) PID() int { return c.cmd.Process.Pid }
