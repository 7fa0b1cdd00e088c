// Command enqueue hands documents to Drover and brings back the outcomes.
//
//	enqueue run PATH…        everything in one process, with embedded servers
//	enqueue submit PATH…     put a batch into the queue, for workers to answer
//	enqueue estimate PATH…   what a batch would take and cost
//	enqueue show PATH…       what models would be asked
//	enqueue status [BATCH]   what there is and how far it has come
//	enqueue watch BATCH      follow it to its end
//	enqueue results BATCH    write the outcomes
//	enqueue pause|resume|cancel BATCH
//	enqueue budget list|show NAME|set NAME AMOUNT|recount
//	enqueue models           how models and their quotas stand
//	enqueue dashboard        all of it in a browser
//	enqueue dead list|show|edit|replay|drop
//	enqueue prices list|show|import
//	enqueue setup            lay out the streams on NATS, once
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/drover-batch/drover/documents"
)

// The exit codes that scripts can rely on; enqueue --help lists them.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitUnanswered  = 3
	exitPaused      = 4
	exitSampled     = 5
	exitInterrupted = 130
)

const exitCodes = `Exit codes:
  0    done, and every document has its answer
  1    it could not be done
  2    wrong usage, configuration or input; nothing was enqueued
  3    done, but some documents were left out or have no answer
  4    the batch is paused
  5    the sample is answered, and nobody said to go on with the rest
  130  interrupted; the same command goes on`

// exit is an error with an exit code of its own. Without a cause everything
// was said already.
type exit struct {
	code  int
	cause error
}

func (e *exit) Error() string {
	if e.cause == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.cause.Error()
}

func (e *exit) Unwrap() error { return e.cause }

// misused is an error of the user's making.
func misused(err error) error {
	if err == nil {
		return nil
	}
	return &exit{exitUsage, err}
}

func main() {
	os.Exit(run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole command; main only adds the process around it.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	root := newRoot(stdin, stdout, stderr)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	e, ok := errors.AsType[*exit](err)
	if !ok {
		e = &exit{exitFailed, err}
	}
	if e.cause != nil {
		for line := range strings.SplitSeq(documents.Terminal(err.Error()), "\n") {
			_, _ = fmt.Fprintln(stderr, "enqueue: "+line)
		}
	}
	return e.code
}
