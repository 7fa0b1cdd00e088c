package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/drover-batch/drover/internal/config"
	"github.com/drover-batch/drover/internal/wire"
	"github.com/drover-batch/drover/llm"
)

// load reads the configuration with the flags on top.
func (c *cli) load(more ...config.Flag) (*config.Config, error) {
	s := config.Source{Path: c.config, Price: llm.Lookup, PriceFile: llm.PriceFile, Flags: more}
	if c.model != "" || c.baseURL != "" {
		s.Single = &config.Single{Model: c.model, BaseURL: c.baseURL}
		if file := os.Getenv("DROVER_CONFIG"); file != "" && c.config == "" {
			c.say("note: %s, which DROVER_CONFIG names, is passed over, its limits and budgets too: --model stands alone", file)
		}
	}
	for _, f := range []config.Flag{
		{Name: "--data", Path: "worker.data", Value: c.data},
		{Name: "--nats", Path: "nats.url", Value: c.nats},
		{Name: "--redis", Path: "redis.url", Value: c.redis},
	} {
		if f.Value != "" {
			s.Flags = append(s.Flags, f)
		}
	}
	cfg, err := config.Load(s)
	return cfg, misused(err)
}

// with runs f on the servers that hold batches already: those that are named,
// those of a worker --embedded in the data folder, or else the data folder's
// own, for as long as the command runs.
func (c *cli) with(ctx context.Context, f func(ctx context.Context, s *wire.Servers) error) error {
	return c.reach(ctx, func(ctx context.Context, s *wire.Servers) error { return allowed(ctx, s, f) })
}

// allowed runs f until it ends or NATS denies this command something.
func allowed(ctx context.Context, s *wire.Servers, f func(ctx context.Context, s *wire.Servers) error) error {
	return s.Allowed(ctx, func(ctx context.Context) error { return f(ctx, s) })
}

// reach is with for a command that goes on when NATS denies it something.
func (c *cli) reach(ctx context.Context, f func(ctx context.Context, s *wire.Servers) error) error {
	cfg, err := c.load()
	if err != nil {
		return err
	}
	outside, err := c.outside(ctx, cfg)
	if err != nil {
		return err
	}
	if _, err := os.Stat(cfg.Worker.Data); !outside && errors.Is(err, fs.ErrNotExist) {
		return misused(fmt.Errorf("there is no folder %s here: name the one of your batches with --data, or their servers with --nats and --redis", cfg.Worker.Data))
	}
	return c.at(ctx, cfg, f)
}

// outside tells whether there are servers to connect to. A Redis alone is not
// enough, and the data folder's own servers are not what --redis asks for.
func (c *cli) outside(ctx context.Context, cfg *config.Config) (bool, error) {
	outside, err := wire.Outside(ctx, cfg)
	if err == nil && !outside && c.redis != "" {
		err = misused(errors.New("--redis is given, and no NATS: name one with --nats or NATS_URL, or leave --redis out"))
	}
	return outside, err
}

// on is with for a command that may begin the data folder.
func (c *cli) on(ctx context.Context, cfg *config.Config, f func(ctx context.Context, s *wire.Servers) error) error {
	return c.at(ctx, cfg, func(ctx context.Context, s *wire.Servers) error { return allowed(ctx, s, f) })
}

func (c *cli) at(ctx context.Context, cfg *config.Config, f func(ctx context.Context, s *wire.Servers) error) (err error) {
	outside, err := c.outside(ctx, cfg)
	if err != nil {
		return err
	}
	var s *wire.Servers
	if outside {
		s, err = wire.Connect(ctx, cfg, false)
	} else {
		s, err = wire.Embed(ctx, cfg, false)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return f(ctx, s)
}
