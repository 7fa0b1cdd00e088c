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
	j := &jobs.Job{ID: jobs.NewID(b.ID, "first"), Batch: b.ID, CustomID: "first", Run: 1, Document: jobs.Document{Endpoint: "/v1/chat/completions"}}
	o := jobs.NewOutcome(j, b, jobs.Answered, nil)
	o.Response = []byte(`{"object":"chat.completion"}`)
	if err := servers.Queue.Settle(t.Context(), j, o); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "output.jsonl")
	var said bytes.Buffer
	s := &session{cli: &cli{err: &said}, cfg: cfg, batch: b, servers: servers, target: &target{out: out}}
	if err := s.conclude(t.Context(), wire.ErrStopped); !hasCode(err, exitInterrupted) {
		t.Errorf("it ended with %v", err)
	}
	data, err := os.ReadFile(out)
	if err != nil || !strings.HasPrefix(string(data), `{"id":"batch_req_`) {
		t.Errorf("the results are %s, %v", data, err)
	}
}
