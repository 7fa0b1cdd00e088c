package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/jobs"
	"github.com/drover-batch/drover/queue"
)

// Whoever interrupts a run before it has read anything keeps the results there
// are in the form that they had.
func TestBatchFileThatWasNotReadAgainKeepsItsForm(t *testing.T) {
	t.Parallel()
	servers, b := begun(t)
	cfg, err := config.Load(config.Source{Environ: []string{"DROVER_WORKER_DATA=" + t.TempDir()}})
	if err != nil {
		t.Fatal(err)
	}
	answerOne(t, servers.Queue, b, jobs.Document{Endpoint: "/v1/chat/completions"}, `{"object":"chat.completion"}`)
	out := filepath.Join(t.TempDir(), "output.jsonl")
	var said bytes.Buffer
	s := &session{cli: &cli{err: &said}, cfg: cfg, batch: b, servers: servers, target: &target{out: out, say: func(string, ...any) {}}, feeder: &feeder{}}
	if err := s.conclude(t.Context(), wire.ErrStopped); !hasCode(err, exitInterrupted) {
		t.Errorf("it ended with %v", err)
	}
	data, err := os.ReadFile(out)
	if err != nil || !strings.HasPrefix(string(data), `{"id":"batch_req_`) {
		t.Errorf("the results are %s, %v", data, err)
	}
}

// answerOne enqueues a request as all there is of a batch, and answers it.
func answerOne(t *testing.T, q *queue.Queue, b *jobs.Batch, d jobs.Document, response string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	w, err := q.Enqueue(t.Context(), b)
	must(err)
	must(w.Add(t.Context(), "first", d))
	must(w.Close(t.Context()))
	s, err := q.Source("w1")
	must(err)
	lent, err := s.Next(t.Context(), 1)
	must(err)
	o := jobs.NewOutcome(lent[0].Job(), b, jobs.Answered, nil)
	o.Response = []byte(response)
	must(lent[0].Done(t.Context(), o))
	must(s.Close())
}

// Whoever interrupts a run in the moment in which it ends is not told to go on
// with none. After a sample there are the others.
func TestInterruptAsTheLastDocumentEnds(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		only map[string]bool
		said string
		code int
	}{
		"of all":        {nil, "", 0},
		"of the sample": {map[string]bool{"first": true}, "Stopped. The same command goes on with the 0 that are left, and with those not read yet.\n", exitInterrupted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var said bytes.Buffer
			s := &session{cli: &cli{err: &said}, feeder: &feeder{only: c.only}}
			s.fed.Store(true)
			err := s.verdict(jobs.Progress{State: jobs.Finished, Total: 1}, newSummary(0), wire.ErrStopped)
			if said.String() != c.said || (err == nil) != (c.code == 0) || err != nil && !hasCode(err, c.code) {
				t.Errorf("it ended with %v and said %q", err, said.String())
			}
		})
	}
}
