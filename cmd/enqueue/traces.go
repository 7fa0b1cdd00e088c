package main

import (
	"context"
	"time"

	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/trace"
	"github.com/drover-batch/drover/internal/wire"
)

// flushWithin is how long a command waits for its last spans to be exported.
const flushWithin = 3 * time.Second

// tracer makes traces if the environment asks for them, and says what keeps
// them from being exported. done waits for the last of them.
func tracer(ctx context.Context, cfg *config.Config, id string, say func(format string, args ...any)) (t *trace.Tracer, done func(), err error) {
	t, err = trace.Open(ctx, trace.Config{
		Service: "drover-enqueue", Version: wire.Version(), Instance: id, Models: cfg.Models,
		Tell: func(err error) {
			if err != nil {
				say("note: traces cannot be exported: %v", err)
			}
		},
	})
	if err != nil {
		return nil, nil, misused(err)
	}
	return t, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushWithin)
		defer cancel()
		if err := t.Close(ctx); err != nil {
			say("note: %v", err)
		}
	}, nil
}

// traceEnds makes traces of the jobs that this command ends by cancelling, if the
// environment asks for them. done is that of tracer.
func (c *cli) traceEnds(ctx context.Context, s *wire.Servers) (done func(), err error) {
	cfg, err := c.load()
	if err != nil {
		return nil, err
	}
	t, done, err := tracer(ctx, cfg, wire.ProcessID(), c.say)
	if err != nil {
		return nil, err
	}
	s.Queue.OnEnded(t.Ended)
	return done, nil
}
