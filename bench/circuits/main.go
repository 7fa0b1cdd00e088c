package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"sync"

	"github.com/drover-batch/drover/bench/process"
)

// options are what can be asked for.
type options struct {
	workers []int
	require bool
	keep    bool
	json    bool
}

func main() { process.Main("circuits", run) }

func read(args []string, notes io.Writer) (*options, error) {
	o := &options{workers: []int{1, 4, 8}}
	f := flag.NewFlagSet("circuits", flag.ContinueOnError)
	f.SetOutput(notes)
	workers := f.Int("workers", 0, "`number` of worker processes; default 1, 4 and 8, each a fleet of its own")
	f.BoolVar(&o.require, "require", false, "fail, rather than skip, if there is no redis-server")
	f.BoolVar(&o.keep, "keep", false, "keep the folder with data and logs")
	f.BoolVar(&o.json, "json", false, "print one JSON object a line rather than a table")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 || *workers < 0 || *workers > 32 {
		return nil, errors.New("usage: circuits [flags], with at most 32 workers; see circuits --help")
	}
	if *workers > 0 {
		o.workers = []int{*workers}
	}
	return o, nil
}

// run is the whole program; main only adds the process around it.
func run(ctx context.Context, args []string, out, notes io.Writer) (err error) {
	o, err := read(args, notes)
	if err != nil {
		return err
	}
	dir, remove, err := process.Folder("circuits", o.keep, notes)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	all, err := o.play(ctx, dir, notes)
	switch {
	case errors.Is(err, process.ErrMissing) && !o.require:
		_, err = fmt.Fprintln(out, err)
		return err
	case err != nil:
		return err
	case o.json:
		return writeJSON(out, all)
	}
	return write(out, all)
}

// play has all fleets live through the same outage, each with a provider, a
// queue and keys of its own.
func (o *options) play(ctx context.Context, dir string, notes io.Writer) ([]figures, error) {
	var children process.Children
	defer children.KillAll()
	_, _ = fmt.Fprintln(notes, "building")
	programs, err := process.Build(ctx, dir)
	if err != nil {
		return nil, err
	}
	nats, redis, err := children.Pair(programs, dir)
	if err != nil {
		return nil, err
	}
	_, _ = fmt.Fprintf(notes, "fleets of %v workers: %v of work, %v of outage and %v more\n", o.workers, before, outage, after)
	all, errs := make([]figures, len(o.workers)), make([]error, len(o.workers))
	var playing sync.WaitGroup
	for i, n := range o.workers {
		playing.Go(func() {
			f := &fleet{dir: dir, name: fmt.Sprint("fleet", i+1), size: n, nats: nats, redis: redis, programs: programs, children: &children}
			all[i], errs[i] = f.live(ctx)
		})
	}
	playing.Wait()
	if ctx.Err() != nil {
		return nil, errors.New("interrupted")
	}
	return all, errors.Join(errs...)
}
