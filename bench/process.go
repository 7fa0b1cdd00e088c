package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/drover-batch/drover/bench/process"
)

// player is another process with a task: it reads lines of JSON and writes
// such lines.
type player struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   *bufio.Reader
	said  *bytes.Buffer // what it complained of
}

// launch starts this program again, for the task. It lives until stop, or
// until ctx ends.
func launch(ctx context.Context, t *task) (*player, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return play(exec.CommandContext(ctx, self, hidden), t)
}

// play starts a program and hands it a task.
func play(cmd *exec.Cmd, task any) (*player, error) {
	p := &player{cmd: cmd, said: new(bytes.Buffer)}
	p.cmd.Stderr = p.said
	p.cmd.WaitDelay = 5 * time.Second
	p.cmd.SysProcAttr = process.Mortal()
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	p.out = bufio.NewReader(stdout)
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting a process: %w", err)
	}
	if err := json.NewEncoder(p.stdin).Encode(task); err != nil {
		return nil, errors.Join(fmt.Errorf("handing over a task: %w", err), p.stop())
	}
	return p, nil
}

// report waits for what the process found out.
func (p *player) report() (*report, error) {
	r := new(report)
	return r, p.hear(r)
}

// hear reads the next line. A process that says nothing proper is stopped.
func (p *player) hear(v any) error {
	line, err := p.out.ReadBytes('\n')
	if err != nil {
		stopped := p.stop()
		return errors.Join(fmt.Errorf("a process ended without a word: %s", bytes.TrimSpace(p.said.Bytes())), stopped)
	}
	if err := json.Unmarshal(line, v); err != nil {
		return errors.Join(fmt.Errorf("reading a report: %w", err), p.stop())
	}
	return nil
}

// stop ends the process and waits for it.
func (p *player) stop() error {
	_ = p.stdin.Close()
	err := p.cmd.Wait()
	if _, ok := errors.AsType[*exec.ExitError](err); ok {
		return nil // it was told to end
	}
	return err
}

// program is a server of somebody else's in another process.
type program struct {
	cmd *exec.Cmd
	url string
	end os.Signal
}

func (p *program) stop() error {
	_ = p.cmd.Process.Signal(p.end)
	_ = p.cmd.Wait() // killed, as told
	return nil
}
