package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/drover-batch/drover/bench/process"
)

func main() { process.Main("bench", run) }

// run is the whole program; main only adds the process around it.
func run(ctx context.Context, args []string, out, notes io.Writer) (err error) {
	if len(args) == 1 && args[0] == hidden {
		return serveRole(ctx, os.Stdin, out)
	}
	b := &bench{notes: notes, peerVersions: map[string]string{}}
	if err := b.flags(args, notes); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp(b.in, "drover-bench-"); err != nil {
		return fmt.Errorf("making a folder for the data: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if err := b.findServers(); err != nil {
		return err
	}
	on := look(ctx, map[string]string{"nats-server": b.nats, "redis": b.redis, "postgres": b.postgres})
	failed := b.measureAll(ctx)
	on.end()
	maps.Copy(on.Versions, b.peerVersions)
	verdicts := b.table.verdicts(len(b.only) == 0)
	if b.json {
		return errors.Join(failed, b.table.writeJSON(out, on, verdicts))
	}
	return errors.Join(failed, b.table.write(out), writeAims(out, verdicts), on.write(out))
}

// measureAll goes through the sections until one fails.
func (b *bench) measureAll(ctx context.Context) error {
	for _, s := range sections {
		if len(b.only) > 0 && !slices.Contains(b.only, s.name) {
			continue
		}
		err := s.measure(b, ctx)
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		if err != nil {
			return fmt.Errorf("measuring %s: %w", s.name, err)
		}
	}
	return nil
}

// section is one group of lines of the table.
type section struct {
	name    string
	measure func(*bench, context.Context) error
}

var sections = []section{
	{"rate", (*bench).rates},
	{"peers", (*bench).peers},
	{"guards", (*bench).guards},
	{"busy", (*bench).busy},
	{"enqueue", (*bench).enqueueing},
	{"alone", (*bench).alone},
	{"memory", (*bench).memory},
	{"scale", (*bench).scale},
}

// bench is one run of the program.
type bench struct {
	short, json  bool
	jobs, repeat int
	only         []string
	in           string
	profile      string
	nats, redis  string // programs; empty if there are none
	postgres     string
	peerVersions map[string]string
	notes        io.Writer
	dir          string // of all data
	started      int    // folders in it
	table        table
}

func (b *bench) flags(args []string, out io.Writer) error {
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(out)
	f.BoolVar(&b.short, "short", false, "fewer jobs and settings: about a minute")
	f.IntVar(&b.jobs, "jobs", 0, "`number` of jobs of the section scale (default 200,000; 5,000 if short)")
	f.IntVar(&b.repeat, "repeat", 1, "measure each rate so many `times` and keep the best")
	only := f.String("only", "", "`sections` to measure, separated by commas: "+strings.Join(names(), ", "))
	f.StringVar(&b.in, "dir", "", "`folder` for the data while it runs (default: the system's for temporary files)")
	f.StringVar(&b.profile, "cpuprofile", "", "write CPU profiles of the worker processes to `FILE`.1, FILE.2 and so on")
	f.BoolVar(&b.json, "json", false, "print JSON")
	if err := f.Parse(args); err != nil {
		return err
	}
	if f.NArg() > 0 || b.repeat < 1 || b.jobs < 0 {
		return fmt.Errorf("usage: bench [flags], with --repeat at least 1; see bench --help")
	}
	if b.jobs == 0 {
		b.jobs = b.fewer(200_000, 5_000)
	}
	if *only == "" {
		return nil
	}
	b.only = strings.Split(*only, ",")
	for _, name := range b.only {
		if !slices.Contains(names(), name) {
			return fmt.Errorf("there is no section %q: choose from %s", name, strings.Join(names(), ", "))
		}
	}
	return nil
}

// names are those of the sections.
func names() (list []string) {
	for _, s := range sections {
		list = append(list, s.name)
	}
	return list
}

// most leaves a short run with the last of several settings.
func (b *bench) most(settings []int) []int {
	if b.short {
		return settings[len(settings)-1:]
	}
	return settings
}

// fewer is how many of something this run measures.
func (b *bench) fewer(full, short int) int {
	if b.short {
		return short
	}
	return full
}
