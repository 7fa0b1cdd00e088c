package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hibiken/asynq"
)

const (
	kind = "ask"
	kept = 24 * time.Hour // results, as Drover keeps its outcomes
)

// asynqPeer keeps its jobs and their results in Redis.
type asynqPeer struct {
	redis asynq.RedisConnOpt
	model *model
	slots int
}

func openAsynq(t *task) (*asynqPeer, error) {
	redis, err := asynq.ParseRedisURI(t.Server)
	if err != nil {
		return nil, err
	}
	opt, ok := redis.(asynq.RedisClientOpt)
	if !ok {
		return nil, fmt.Errorf("%s is not one Redis", t.Server)
	}
	opt.PoolSize = t.Slots + 10 // no worker waits for a connection
	return &asynqPeer{redis: opt, model: newModel(t), slots: t.Slots}, nil
}

func (p *asynqPeer) fill(_ context.Context, body []byte, n int) error {
	client := asynq.NewClient(p.redis)
	var callers sync.WaitGroup
	var begun atomic.Int64
	failed := make(chan error, p.slots)
	for range p.slots {
		callers.Go(func() {
			for begun.Add(1) <= int64(n) {
				if _, err := client.Enqueue(asynq.NewTask(kind, body), asynq.Retention(kept)); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	callers.Wait()
	close(failed)
	return errors.Join(<-failed, client.Close())
}

func (p *asynqPeer) work(ctx context.Context, n int) error {
	ctx, failed := context.WithCancelCause(ctx)
	defer failed(nil)
	server := asynq.NewServer(p.redis, asynq.Config{
		Concurrency: p.slots, LogLevel: asynq.WarnLevel,
		ErrorHandler: asynq.ErrorHandlerFunc(func(_ context.Context, _ *asynq.Task, err error) {
			failed(fmt.Errorf("a job has failed: %w", err))
		}),
	})
	handler := asynq.NewServeMux()
	var answered atomic.Int64
	all := make(chan struct{})
	handler.HandleFunc(kind, func(ctx context.Context, t *asynq.Task) error {
		answer, err := p.model.ask(ctx, t.Payload())
		if err != nil {
			return err
		}
		if _, err := t.ResultWriter().Write(answer); err != nil {
			return err
		}
		if answered.Add(1) == int64(n) {
			close(all)
		}
		return nil
	})
	if err := server.Start(handler); err != nil {
		return err
	}
	defer server.Stop()
	select {
	case <-all:
		return p.completed(ctx, n)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// completed waits for the last handlers' tasks to be marked as completed.
func (p *asynqPeer) completed(ctx context.Context, n int) error {
	inspector := asynq.NewInspector(p.redis)
	for {
		q, err := inspector.GetQueueInfo("default")
		if err != nil || q.Completed >= n {
			return err
		}
		select {
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
