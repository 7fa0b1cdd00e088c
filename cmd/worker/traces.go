package main

import (
	"context"
	"time"

	"github.com/rs/zerolog"

	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/trace"
	"github.com/drover-batch/drover/internal/wire"
)

// flushWithin is how long a worker that stops waits for its last spans to be
// exported, if the grace is no shorter.
const flushWithin = 5 * time.Second

// openTracer makes traces if the environment asks for them, and says once when
// they cannot be exported, and once when they can again.
func openTracer(ctx context.Context, cfg *config.Config, id string, log zerolog.Logger) (*trace.Tracer, error) {
	t, err := trace.Open(ctx, trace.Config{
		Service: "drover-worker", Version: wire.Version(), Instance: id, Models: cfg.Models,
		Tell: func(err error) {
			if err != nil {
				log.Warn().Err(err).Msg("traces cannot be exported: those of finished jobs are dropped until they can")
			} else {
				log.Info().Msg("traces are exported again")
			}
		},
	})
	if err != nil {
		return nil, misuse{err}
	}
	if t != nil {
		log.Info().Msg("traces are exported")
	}
	return t, nil
}

// closeTracer exports what is left; a second signal cuts that short.
func closeTracer(working context.Context, t *trace.Tracer, grace time.Duration, log zerolog.Logger) {
	ctx, cancel := context.WithTimeout(working, min(grace, flushWithin))
	defer cancel()
	if err := t.Close(ctx); err != nil {
		log.Warn().Err(err).Send()
	}
}
