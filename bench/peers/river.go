package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

const (
	connections = 16                   // to PostgreSQL: fetches and the completer need a few at a time
	cooldown    = 2 * time.Millisecond // between fetches: the default of 100 ms would bound it at slots × 10 a second
)

// riverPeer keeps its jobs and their outputs in PostgreSQL.
type riverPeer struct {
	pool   *pgxpool.Pool
	client *river.Client[pgx.Tx]
}

// ask is a job.
type ask struct {
	Request json.RawMessage `json:"request"`
}

func (ask) Kind() string { return kind }

type asker struct {
	river.WorkerDefaults[ask]
	model *model
}

func (a *asker) Work(ctx context.Context, job *river.Job[ask]) error {
	answer, err := a.model.ask(ctx, job.Args.Request)
	if err != nil {
		return err
	}
	return river.RecordOutput(ctx, json.RawMessage(answer))
}

func openRiver(ctx context.Context, t *task) (*riverPeer, error) {
	c, err := pgxpool.ParseConfig(t.Server)
	if err != nil {
		return nil, err
	}
	c.MaxConns = connections
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, err
	}
	for pool.Ping(ctx) != nil { // it takes connections before it takes commands
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	driver := riverpgxv5.New(pool)
	migrator, err := rivermigrate.New(driver, nil)
	if err != nil {
		return nil, err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, fmt.Errorf("creating its tables: %w", err)
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, &asker{model: newModel(t)})
	client, err := river.NewClient(driver, &river.Config{
		Queues:            map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: t.Slots}},
		Workers:           workers,
		FetchCooldown:     cooldown,
		FetchPollInterval: 100 * time.Millisecond,
		Logger:            slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	return &riverPeer{pool, client}, err
}

func (p *riverPeer) fill(ctx context.Context, body []byte, n int) error {
	for left := n; left > 0; {
		many := make([]river.InsertManyParams, min(left, 1000))
		for i := range many {
			many[i].Args = ask{Request: body}
		}
		if _, err := p.client.InsertManyFast(ctx, many); err != nil {
			return err
		}
		left -= len(many)
	}
	_, err := p.pool.Exec(ctx, "VACUUM ANALYZE river_job") // as it would be by the time
	return err
}

func (p *riverPeer) work(ctx context.Context, n int) error {
	events, cancel := p.client.SubscribeConfig(&river.SubscribeConfig{
		Kinds:    []river.EventKind{river.EventKindJobCompleted, river.EventKindJobFailed},
		ChanSize: n, // none is dropped
	})
	defer cancel()
	if err := p.client.Start(ctx); err != nil {
		return err
	}
	for range n {
		select {
		case e := <-events:
			if e.Kind != river.EventKindJobCompleted {
				return fmt.Errorf("job %d has failed: %s", e.Job.ID, e.Job.Errors[0].Error)
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
