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

func TestWatchSurvivesARestartOfTheServers(t *testing.T) {
	t.Parallel()
	cfg, err := config.Load(config.Source{Environ: []string{"DROVER_WORKER_DATA=" + t.TempDir()}})
	if err != nil {
		t.Fatal(err)
	}
	s, err := wire.Embed(t.Context(), cfg, false)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	b := &jobs.Batch{ID: "b", Name: "b", Tenant: "acme", Chain: "default"}
	if _, err := s.Queue.Enqueue(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if err := s.Queue.Pause(t.Context(), "b", "lunch"); err != nil {
		t.Fatal(err)
	}
	s.Embedded = false // somebody else's
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
