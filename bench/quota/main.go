package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/drover-batch/drover/bench/process"
)

// options are what can be asked for.
type options struct {
	replicas []int
	churn    bool
	only     []string
	warmUp   time.Duration
	measured time.Duration
	require  bool
	keep     bool
	full     bool
	json     bool
}

func main() { process.Main("quota", run) }

// run is the whole program; main only adds the process around it.
func run(ctx context.Context, args []string, out, notes io.Writer) (err error) {
	o, err := read(args, notes)
	if err != nil {
		return err
	}
	dir, remove, err := process.Folder("quota", o.keep, notes)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, remove()) }()
	r := &rig{options: *o, notes: notes, dir: dir}
	figures, err := r.run(ctx)
	if errors.Is(err, process.ErrMissing) && !o.require {
		_, err = fmt.Fprintln(out, err)
		return err
	}
	if err != nil {
		return err
	}
	if o.json {
		return writeJSON(out, figures)
	}
	return write(out, figures)
}

func read(args []string, notes io.Writer) (*options, error) {
	o := &options{replicas: []int{1, 2, 4, 8}, warmUp: 10 * time.Second}
	f := flag.NewFlagSet("quota", flag.ContinueOnError)
	f.SetOutput(notes)
	replicas := f.Int("replicas", 0, "`number` of worker processes; default 1, 2, 4 and 8")
	only := f.String("only", "", "`words`, separated by commas: only scenes with one of them in their name")
	short := f.Bool("short", false, "measure for 15 s rather than 30 s")
	f.BoolVar(&o.full, "full", false, "all quotas with all numbers of replicas, fewer at once, measured for 60 s")
	f.BoolVar(&o.json, "json", false, "print one JSON object a line rather than a table")
	f.BoolVar(&o.churn, "churn", false, "replicas join, leave and are killed in all scenes")
	f.DurationVar(&o.measured, "for", 0, "how `long` each scene is measured; default 30s")
	f.BoolVar(&o.require, "require", false, "fail, rather than skip, if there is no redis-server")
	f.BoolVar(&o.keep, "keep", false, "keep the folder with data and logs")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	switch {
	case o.measured != 0:
	case *short:
		o.measured = 15 * time.Second
	case o.full:
		o.measured = time.Minute
	default:
		o.measured = 30 * time.Second
	}
	if f.NArg() > 0 || *replicas < 0 || *replicas > 64 || o.measured < 5*time.Second {
		return nil, errors.New("usage: quota [flags], with at most 64 replicas and --for at least 5s; see quota --help")
	}
	if *replicas > 0 {
		o.replicas = []int{*replicas}
	}
	if *only != "" {
		o.only = strings.Split(*only, ",")
		if len(o.scenes()) == 0 {
			return nil, fmt.Errorf("no scene has %q in its name", *only)
		}
	}
	return o, nil
}

// most is how many worker processes run at once: more would measure the
// machine.
func (o *options) most() int {
	if o.full {
		return 24
	}
	return 36
}

func (o *options) scenes() []scene {
	all := scenes(o.replicas, o.churn, o.full || len(o.only) > 0)
	if len(o.only) > 0 {
		all = named(all, o.only)
	}
	return all
}
