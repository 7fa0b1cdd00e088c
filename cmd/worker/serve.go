package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/ops"
	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/llm"
)

// serving is a worker process.
type serving struct {
	out, err io.Writer

	config, data, nats, redis string
	http, grace               string
	log, logLevel             string
	slots                     int
	embedded, create          bool

	root *cobra.Command // whose flags subcommands share
}

func (s *serving) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&s.config, "config", "", "configuration `file` (default: $DROVER_CONFIG, else the built-in simulator)")
	f.StringVar(&s.data, "data", "", "`folder` for state and embedded servers (default .drover)")
	f.StringVar(&s.nats, "nats", "", "`URL` of NATS (default: $NATS_URL, else a worker --embedded in the same folder, else nats://127.0.0.1:4222)")
	f.StringVar(&s.redis, "redis", "", "`URL` of Redis (default: $REDIS_URL, likewise, else redis://127.0.0.1:6379)")
	f.StringVar(&s.http, "http", "", "`address` for health checks and metrics, or off (default 127.0.0.1:8080)")
	f.IntVar(&s.slots, "slots", 0, "`number` of jobs worked on at the same time (default 64)")
	f.StringVar(&s.grace, "grace", "", "`time` that running calls may take to finish when stopping (default 30s)")
	f.StringVar(&s.log, "log", "auto", "`form` of the log: json, text, or auto for text on a terminal")
	f.StringVar(&s.logLevel, "log-level", "info", "least `level` of the lines to log: debug, which tells of single jobs, info, warn or error")
	f.BoolVar(&s.embedded, "embedded", false, "bring NATS and Redis along, on loopback ports, for this machine")
	f.BoolVar(&s.create, "create", true, "lay out the streams where they are missing or of an earlier build")
}

// settings reads the configuration, but for its keys.
func (s *serving) settings() (*config.Config, error) {
	source := config.Source{Path: s.config, Price: llm.Lookup, PriceFile: llm.PriceFile}
	for _, f := range []config.Flag{
		{Name: "--data", Path: "worker.data", Value: s.data},
		{Name: "--nats", Path: "nats.url", Value: s.nats},
		{Name: "--redis", Path: "redis.url", Value: s.redis},
		{Name: "--http", Path: "worker.http", Value: s.http},
		{Name: "--grace", Path: "worker.grace", Value: s.grace},
	} {
		if f.Value != "" {
			source.Flags = append(source.Flags, f)
		}
	}
	if s.root.Flags().Changed("slots") {
		source.Flags = append(source.Flags, config.Flag{Name: "--slots", Path: "worker.slots", Value: strconv.Itoa(s.slots)})
	}
	cfg, err := config.Load(source)
	if err != nil {
		return nil, misuse{err}
	}
	return cfg, nil
}

// load reads what a worker needs.
func (s *serving) load() (*config.Config, error) {
	cfg, err := s.settings()
	if err != nil {
		return nil, err
	}
	if s.embedded && (s.nats != "" || s.redis != "") {
		return nil, misuse{errors.New("--embedded brings its own servers: leave --nats and --redis out")}
	}
	if s.embedded && cfg.NATS.URL != "" { // where enqueue would hand in jobs that nobody here takes
		return nil, misuse{errors.New("--embedded brings its own servers, but NATS_URL or nats.url names another: leave --embedded out, or them")}
	}
	if err := cfg.ReadKeys(); err != nil {
		return nil, misuse{err}
	}
	return cfg, nil
}

func (s *serving) serve(ctx context.Context) (err error) {
	cfg, err := s.load()
	if err != nil {
		return err
	}
	log, err := s.logger()
	if err != nil {
		return err
	}
	wire.SpareCollector()
	stopSimulator, err := wire.Simulate(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stopSimulator()) }()
	taking, working, release := wire.StopOnSignals(ctx, func(nth int) {
		if nth == 1 {
			log.Info().Stringer("grace", cfg.Worker.Grace).Msg("stopping: running calls may finish, the rest is handed back")
		} else {
			log.Info().Msg("stopping at once")
		}
	})
	defer release()
	id := wire.ProcessID()
	tracer, err := openTracer(taking, cfg, id, log)
	if err != nil {
		return err
	}
	defer closeTracer(working, tracer, cfg.Worker.Grace, log)
	servers, err := s.servers(taking, cfg)
	if err != nil {
		return unlessStopped(taking, err)
	}
	defer func() { err = errors.Join(err, servers.Close()) }()
	servers.Examine(taking)
	for _, note := range servers.Notes {
		log.Warn().Msg(note)
	}
	hear(servers.NATS, log)

	metrics := ops.NewMetrics()
	var worker *wire.Worker
	begun := make(chan struct{}) // before that it may read back for minutes what was spent
	standing := func(ctx context.Context) error {
		select {
		case <-begun:
			return ready(ctx, servers, worker)
		default:
			return errors.New("the worker begins: what was spent is read back if Redis has lost it")
		}
	}
	measureServers(metrics, servers, standing)
	if cfg.Worker.HTTP != "" {
		server, err := ops.Listen(cfg.Worker.HTTP, metrics, standing)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, server.Close()) }()
		log.Info().Str("address", server.Addr()).Msg("health checks and metrics")
	}
	worker, err = wire.New(taking, wire.Parts{
		Config: cfg, Queue: servers.Queue, Redis: servers.Redis, ID: id,
		Spool: filepath.Join(cfg.Worker.Data, wire.SpoolFolder), Trace: tracer,
		OnOutcome: metrics.Outcome, OnWaste: metrics.Deferred, OnAlert: metrics.Alert, Log: log,
	})
	if err != nil {
		return unlessStopped(taking, err)
	}
	close(begun)
	measure(metrics, worker)
	metrics.Counter("spans_dropped_total", "Spans of traces that the collector did not take, or for which there was no room to wait.", func() float64 { return float64(tracer.Dropped()) })
	if cfg.Simulated {
		log.Warn().Msg("answers come from the built-in simulator: they and their costs are made up; name models with --config")
	}
	log.Info().Str("version", wire.Version()).Int("slots", cfg.Worker.Slots).Msg("working")
	err = worker.Run(taking, working)
	stats := worker.Pool.Stats()
	log.Info().Int64("answered", stats.Answered).Int64("dead", stats.Dead).Stringer("cost", stats.Cost).
		Int64("handed_back", stats.Returned).Msg("stopped")
	return err
}

// unlessStopped is why a worker could not begin, or nothing if a signal told
// it not to.
func unlessStopped(taking context.Context, err error) error {
	if errors.Is(context.Cause(taking), wire.ErrStopped) {
		return nil
	}
	return err
}

func (s *serving) servers(ctx context.Context, cfg *config.Config) (*wire.Servers, error) {
	if s.embedded {
		return wire.Embed(ctx, cfg, true)
	}
	return wire.Connect(ctx, cfg, s.create)
}

// ready says why no job could be taken or paid for.
func ready(ctx context.Context, s *wire.Servers, w *wire.Worker) error {
	waiting := w.Ready()
	if !s.NATS.IsConnected() {
		return errors.Join(fmt.Errorf("NATS is away: %s, last with: %w", s.NATS.Status(), cmp.Or(s.NATS.LastError(), nats.ErrDisconnected)), waiting)
	}
	if waiting != nil {
		return waiting
	}
	if err := s.Queue.Full(); err != nil {
		return err
	}
	if err := s.Redis.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("redis is away: %w", err)
	}
	return nil
}

// hear says once that NATS is away, or refuses us, and once that it is back.
func hear(nc *nats.Conn, log zerolog.Logger) {
	refused := false // handlers run one after the other
	nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		switch {
		case !errors.Is(err, nats.ErrAuthorization):
			log.Warn().Err(err).Msg("NATS objects")
		case !refused:
			refused = true
			log.Error().Msg("NATS refuses the worker's user or password: if they have changed, start the worker again with the new ones; it goes on asking")
		}
	})
	nc.SetDisconnectErrHandler(func(nc *nats.Conn, err error) {
		if !nc.IsClosed() { // by ourselves, in the end
			log.Warn().Err(err).Msg("NATS is away: running calls finish, their answers wait on disk, and no jobs are taken until it is back")
		}
	})
	nc.SetReconnectHandler(func(*nats.Conn) {
		refused = false
		log.Info().Msg("NATS is back")
	})
}

func (s *serving) logger() (zerolog.Logger, error) {
	var w io.Writer
	text := zerolog.ConsoleWriter{Out: s.err, TimeFormat: time.TimeOnly}
	switch s.log {
	case "json":
		w = s.err
	case "text":
		w = text
	case "auto":
		w = s.err
		if isTerminal(s.err) {
			w = text
		}
	default:
		return zerolog.Nop(), misuse{fmt.Errorf("--log %s: use json, text or auto", s.log)}
	}
	level, err := zerolog.ParseLevel(s.logLevel)
	if err != nil || level < zerolog.DebugLevel || level > zerolog.ErrorLevel {
		return zerolog.Nop(), misuse{fmt.Errorf("--log-level %s: use debug, info, warn or error", s.logLevel)}
	}
	return zerolog.New(w).Level(level).With().Timestamp().Logger(), nil
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(interface{ Fd() uintptr })
	return ok && term.IsTerminal(int(f.Fd()))
}
