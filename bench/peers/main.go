// Peers does the same work as Drover with systems of others, without guards:
// jobs that are enqueued already, a call of the model for each, its answer
// stored as the system stores results. It is a module of its own so that
// nobody else needs what these systems need. `go run ./bench -only peers` in
// the folder above builds it, starts its servers and measures it.
//
// It reads a task, one line of JSON, from standard input and enqueues the jobs.
// Then it writes a line, and begins working when another arrives; it writes the
// second when the last job is stored. It ends when its input does.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
)

// task is what is asked for.
type task struct {
	Peer        string // asynq or river
	Server      string // URL of its server
	Model       string // URL of the model, up to /v1
	Jobs, Slots int
	Body        int // bytes of a job
}

// peer is one of the systems.
type peer interface {
	// fill enqueues the jobs.
	fill(ctx context.Context, body []byte, n int) error

	// work runs the jobs and returns when the last of n is stored.
	work(ctx context.Context, n int) error
}

func main() {
	if err := run(context.Background(), os.Stdin, os.Stdout); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, in io.Reader, out io.Writer) error {
	lines := bufio.NewReader(in)
	text, err := lines.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("reading the task: %w", err)
	}
	var t task
	if err := json.Unmarshal(text, &t); err != nil {
		return fmt.Errorf("reading the task: %w", err)
	}
	p, module, err := t.open(ctx)
	if err != nil {
		return err
	}
	if err := p.fill(ctx, t.request(), t.Jobs); err != nil {
		return fmt.Errorf("enqueueing: %w", err)
	}
	if _, err := fmt.Fprintf(out, "%q\n", version(module)); err != nil {
		return err
	}
	if _, err := lines.ReadBytes('\n'); err != nil {
		return errors.New("whoever started this has ended")
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	go func() { // blocks in a read that nothing but the end of this process ends
		_, _ = lines.ReadByte()
		stop(errors.New("whoever started this has ended"))
	}()
	if err := p.work(ctx, t.Jobs); err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, `"done"`)
	return err
}

func (t *task) open(ctx context.Context) (p peer, module string, err error) {
	switch t.Peer {
	case "asynq":
		p, err = openAsynq(t)
		return p, "github.com/hibiken/asynq", err
	case "river":
		p, err = openRiver(ctx, t)
		return p, "github.com/riverqueue/river", err
	}
	return nil, "", fmt.Errorf("unknown peer %q", t.Peer)
}

// version is the one that this program was built with.
func version(module string) string {
	info, _ := debug.ReadBuildInfo()
	for _, d := range info.Deps {
		if d.Path == module {
			return d.Version
		}
	}
	return ""
}
