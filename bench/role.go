package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// hidden is the argument that makes this program play a role for another
// instance of itself: it reads a task from standard input and ends when that
// ends, so that nothing outlives who started it.
const hidden = "play-a-role"

// task is what a process is asked to do.
type task struct {
	Role string // see roles

	Data    string // a folder of its own
	NATS    string // URLs of servers; empty: embedded
	Redis   string
	Model   string        // URL of the model; empty: answered inside the process
	CA      []byte        // whom to trust, if the model is at https
	Latency time.Duration // of the model; the shortest if there is a longest
	Longest time.Duration
	TLS     bool

	Jobs, Slots int
	Body        int  // bytes of a document
	Sync        bool // the servers sync every write
	Measure     bool // the memory at every quarter
	Profile     string

	Others map[string]int // processes whose CPU counts, too
}

// report is what came of it.
type report struct {
	URL string // of a model
	CA  []byte

	Enqueued stage
	Answered stage
	Samples  []sample
	Calls    int           // of Redis
	Gap      time.Duration // the longest without an outcome while there was work
	Each     time.Duration // for one job
	PerCall  float64       // bytes
	Alive    int           // calls at once
	Flying   float64       // calls at the model at once, on average
	Shares   shares
}

// stage is a stretch of work.
type stage struct {
	Jobs int
	Took time.Duration
	CPU  map[string]time.Duration // by process
}

func (s stage) rate() float64 {
	if s.Took <= 0 {
		return 0
	}
	return float64(s.Jobs) / s.Took.Seconds()
}

// sample is how much memory is in use.
type sample struct {
	Done int
	Heap uint64            // of the worker, after a collection
	RSS  map[string]uint64 // by process
	Disk uint64            // bytes stored
}

// serveRole plays one role.
func serveRole(ctx context.Context, in io.Reader, out io.Writer) error {
	lines := bufio.NewReader(in)
	line, err := lines.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("reading the task: %w", err)
	}
	var t task
	if err := json.Unmarshal(line, &t); err != nil {
		return fmt.Errorf("reading the task: %w", err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() { // blocks in a read that nothing but the end of this process ends
		_, _ = lines.ReadByte()
		cancel(errors.New("whoever started this has ended"))
	}()
	play, ok := roles()[t.Role]
	if !ok {
		return fmt.Errorf("unknown role %q", t.Role)
	}
	return play(ctx, &t, json.NewEncoder(out))
}

// roles are the roles by name. What a role finds out it encodes.
func roles() map[string]func(context.Context, *task, *json.Encoder) error {
	return map[string]func(context.Context, *task, *json.Encoder) error{
		"model":   playModel,
		"work":    playWork,
		"enqueue": playEnqueue,
		"alone":   playAlone,
		"memory":  playMemory,
		"guards":  playGuards,
		"busy":    playBusy,
		"bare":    playBare,
	}
}
