package main

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/jobs"
)

// failing lets commands to Redis fail, so many of them.
type failing struct{ left atomic.Int32 }

func (f *failing) DialHook(next redis.DialHook) redis.DialHook { return next }

func (f *failing) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if f.left.Add(-1) >= 0 {
			return errors.New("connection refused")
		}
		return next(ctx, cmd)
	}
}

func (f *failing) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// begun is a batch whose documents are not all in, and servers that are not this
// process's.
func begun(t *testing.T) (*wire.Servers, *jobs.Batch) {
	t.Helper()
	cfg, err := config.Load(config.Source{Environ: []string{"DROVER_WORKER_DATA=" + t.TempDir()}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := wire.Embed(t.Context(), cfg, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	b := &jobs.Batch{ID: "b", Name: "b", Tenant: "acme", Chain: "default"}
	if _, err := s.Queue.Enqueue(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	s.Embedded = false
	return s, b
}

func TestWatchSurvivesARestartOfTheServers(t *testing.T) {
	t.Parallel()
	s, b := begun(t)
	if err := s.Queue.Pause(t.Context(), "b", "lunch"); err != nil {
		t.Fatal(err)
	}
	away := new(failing)
	away.left.Store(2)
	s.Redis.AddHook(away)
	var out bytes.Buffer
	c := &cli{out: &out, err: &out}
	if err := c.watch(t.Context(), s, b); !hasCode(err, exitPaused) {
		t.Errorf("it ended with %v, want the exit code of a paused batch", err)
	}
	if n := strings.Count(out.String(), "cannot see how the batch stands"); n != 1 {
		t.Errorf("it was said %d times that the batch cannot be seen:\n%s", n, &out)
	}
}

// until ends something when a text is written.
type until struct {
	text string
	end  context.CancelFunc
}

func (u *until) Write(p []byte) (int, error) {
	if strings.Contains(string(p), u.text) {
		u.end()
	}
	return len(p), nil
}

func TestWatchSaysThatABatchWaitsForItsDocuments(t *testing.T) {
	t.Parallel()
	s, b := begun(t)
	ctx, said := context.WithTimeout(t.Context(), patience)
	defer said()
	c := &cli{err: &until{"the batch waits for more documents", said}}
	if err := c.watch(ctx, s, b); !hasCode(err, exitInterrupted) || !errors.Is(ctx.Err(), context.Canceled) {
		t.Errorf("it ended with %v, and did not say so", err)
	}
}

func TestWatchPrintsALineForScriptsOnlyWhenSomethingHasChanged(t *testing.T) {
	t.Parallel()
	s, b := begun(t)
	ctx, said := context.WithTimeout(t.Context(), patience)
	defer said()
	var out bytes.Buffer
	c := &cli{json: true, out: &out, err: &until{"the batch waits for more documents", said}}
	if err := c.watch(ctx, s, b); !hasCode(err, exitInterrupted) {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "\n"); n != 1 {
		t.Errorf("%d lines, and nothing has changed:\n%s", n, &out)
	}
}
