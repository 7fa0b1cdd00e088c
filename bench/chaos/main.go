package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/drover-batch/drover/bench/process"
)

// options are what can be asked for.
type options struct {
	seed    uint64
	last    time.Duration // how long faults happen
	crew    int           // workers
	only    []string      // kinds of faults; all if empty
	cluster bool
	soak    bool
	json    bool
	require bool
	keep    bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program; main only adds the process around it. It returns 0
// if there is nothing to object to, 1 if there is or it could not be found
// out, 2 for wrong usage.
func run(ctx context.Context, args []string, out, notes io.Writer) int {
	var o options
	f := flag.NewFlagSet("chaos", flag.ContinueOnError)
	f.SetOutput(notes)
	f.Uint64Var(&o.seed, "seed", 1, "`number` that decides the schedule")
	f.DurationVar(&o.last, "for", time.Minute, "how `long` faults happen, at least 5s")
	f.IntVar(&o.crew, "workers", 3, "`number` of worker processes, at least 2")
	f.Func("only", "`kinds` of faults, separated by commas, such as \"kill,kill nats\": "+strings.Join(slices.Compact(slices.Sorted(slices.Values(deck))), ", "), func(list string) error {
		for kind := range strings.SplitSeq(list, ",") {
			if !slices.Contains(deck, kind) {
				return fmt.Errorf("there is no fault %q", kind)
			}
			o.only = append(o.only, kind)
		}
		return nil
	})
	f.BoolVar(&o.cluster, "cluster", false, "three NATS servers, every message on each; their leader dies")
	f.BoolVar(&o.soak, "soak", false, "a steady rate of jobs and faults, round after round; fails on growth. Give it --for 30m or more")
	f.BoolVar(&o.json, "json", false, "print JSON")
	f.BoolVar(&o.require, "require", false, "fail, rather than skip, if there is no redis-server")
	f.BoolVar(&o.keep, "keep", false, "keep the folder with data and logs")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if f.NArg() > 0 || o.last < 5*time.Second || o.soak && o.last < minute || o.crew < 2 {
		_, _ = fmt.Fprintln(notes, "usage: chaos [flags], with --for at least 5s (1m to soak) and at least 2 workers; see chaos --help")
		return 2
	}
	v, err := o.try(ctx, notes)
	switch {
	case errors.Is(err, process.ErrMissing) && !o.require:
		_, _ = fmt.Fprintln(out, err)
		return 0
	case err != nil:
		_, _ = fmt.Fprintln(notes, "chaos:", err)
		return 1
	}
	if err := v.write(out, o.json); err != nil || len(v.Objections) > 0 {
		return 1
	}
	return 0
}

// try runs a schedule in a folder of its own.
func (o *options) try(ctx context.Context, notes io.Writer) (v *verdict, err error) {
	dir, remove, err := process.Folder("chaos", o.keep, notes)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, remove()) }()
	r := &rig{options: *o, notes: notes, dir: dir}
	return r.run(ctx)
}

// again is the command that repeats the schedule.
func (o *options) again() string {
	more := ""
	if o.crew != 3 {
		more += fmt.Sprintf(" --workers %d", o.crew)
	}
	if len(o.only) > 0 {
		more += fmt.Sprintf(" --only %q", strings.Join(o.only, ","))
	}
	if o.cluster {
		more += " --cluster"
	}
	if o.soak {
		more += " --soak"
	}
	return fmt.Sprintf("go run ./bench/chaos --seed %d --for %s%s", o.seed, o.last, more)
}
