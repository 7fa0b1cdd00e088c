package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// options are what can be asked for.
type options struct {
	cuts, unsynced int
	full           bool
	jobs           int
	seed           uint64
	json, keep     bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// errSkipped says that this machine lacks what is needed.
var errSkipped = errors.New("skipped")

// run is the whole program; main only adds the process around it. It returns 0
// if nothing was lost that was synced, or if there was nothing to find out
// here, 1 otherwise, 2 for wrong usage.
func run(ctx context.Context, args []string, out, notes io.Writer) int {
	var o options
	f := flag.NewFlagSet("power", flag.ContinueOnError)
	f.SetOutput(notes)
	f.IntVar(&o.cuts, "cuts", 10, "`number` of power cuts with every write synced")
	f.IntVar(&o.unsynced, "unsynced", 3, "`number` of power cuts with the servers' defaults: NATS syncs every two minutes, Redis every second")
	f.BoolVar(&o.full, "full", true, "also fill the disk under NATS")
	f.IntVar(&o.jobs, "jobs", 3000, "`number` of jobs of each trial, at least 100")
	f.Uint64Var(&o.seed, "seed", 1, "`number` that decides the moments")
	f.BoolVar(&o.json, "json", false, "print JSON")
	f.BoolVar(&o.keep, "keep", false, "keep the folder with configurations and logs")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if f.NArg() > 0 || o.jobs < 100 || o.cuts < 0 || o.unsynced < 0 {
		_, _ = fmt.Fprintln(notes, "usage: power [flags]; see power --help")
		return 2
	}
	if apart, code := inNamespace(ctx, args, out, notes); apart {
		return code
	}
	trials, err := o.try(ctx, notes)
	if errors.Is(err, errSkipped) {
		_, _ = fmt.Fprintln(out, err)
		return 0
	}
	if err != nil {
		_ = write(out, trials, o.json) // those that were finished
		_, _ = fmt.Fprintln(notes, "power:", err)
		return 1
	}
	if err := write(out, trials, o.json); err != nil || !kept(trials) {
		return 1
	}
	return 0
}

// try runs all trials, each on servers of its own.
func (o *options) try(ctx context.Context, notes io.Writer) (trials []*trial, err error) {
	redis, err := programs()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "drover-power-")
	if err != nil {
		return nil, fmt.Errorf("making a folder: %w", err)
	}
	if o.keep {
		_, _ = fmt.Fprintln(notes, "configurations and logs are in", dir)
	} else {
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	r := &rig{options: *o, notes: notes, dir: dir, redis: redis, dice: rand.New(rand.NewPCG(o.seed, 0))}
	if err := r.build(ctx); err != nil {
		return nil, err
	}
	for i := range o.cuts + o.unsynced {
		how := synced
		if i >= o.cuts {
			how = unsynced
		}
		t, err := r.trial(ctx, filepath.Join(dir, fmt.Sprint("cut", i+1)), how)
		if err != nil {
			return trials, fmt.Errorf("power cut %d: %w", i+1, err)
		}
		trials = append(trials, t)
	}
	if o.full {
		t, err := r.trial(ctx, filepath.Join(dir, "full"), crammed)
		if err != nil {
			return trials, fmt.Errorf("full disk: %w", err)
		}
		trials = append(trials, t)
	}
	return trials, nil
}

func (r *rig) say(format string, args ...any) {
	_, _ = fmt.Fprintf(r.notes, format+"\n", args...)
}
