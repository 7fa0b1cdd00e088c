package main

import (
	"context"
	"time"

	"github.com/drover-batch/drover/internal/ops"
	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/jobs"
)

// measureServers registers what is read of NATS and Redis, from the beginning
// on. ready says why no job could be taken.
func measureServers(m *ops.Metrics, s *wire.Servers, ready func(context.Context) error) {
	m.Truth("ready", "1 when the worker could take a job; /readyz says why not.", func() bool {
		ctx, cancel := asking()
		defer cancel()
		return ready(ctx) == nil
	})
	m.Truth("nats_up", "1 while NATS is connected.", s.NATS.IsConnected)
	m.Truth("storage_full", "1 while NATS stores nothing for want of room: raise an alert.", func() bool { return s.Queue.Full() != nil })
	m.Gauge("backlog", "Jobs of all batches without an outcome; scale by this.", func() float64 {
		ctx, cancel := asking()
		defer cancel()
		n, err := s.Queue.Backlog(ctx)
		if err != nil {
			return -1
		}
		return float64(n)
	})
	m.Fleet(s.Fleet)
}

// measure registers what is read of the worker.
func measure(m *ops.Metrics, w *wire.Worker) {
	m.Gauge("slots", "Jobs worked on at the same time, at the most.", func() float64 { return float64(w.Pool.Stats().Slots) })
	m.Gauge("running", "Jobs being worked on.", func() float64 { return float64(w.Pool.Stats().Running) })
	m.Gauge("spooled", "Answers that wait on disk for NATS.", func() float64 { return float64(w.Spooled()) })
	m.Gauge("acknowledgements_behind_seconds", "How long NATS has been working off acknowledgements; from 3 on no jobs are taken.", func() float64 { return w.Behind().Seconds() })
	m.Gauge("allowance_left_usd", "Held for calls while Redis is away, and not used.", func() float64 { return float64(w.Allowance()) / float64(jobs.Dollar) })
}

// asking bounds what a look at the metrics may wait for.
func asking() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 2*time.Second)
}
