package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/drover-batch/drover/bench/process"
)

func main() { process.Main("fair", run) }

// sections are what can be shown, in order.
var sections = []struct {
	name string
	show func(context.Context, *rig) error
}{
	{"behind", behind}, {"weights", weights}, {"deadline", deadline}, {"crowd", crowd}, {"live", live},
}

// run is the whole program; main only adds the process around it.
func run(ctx context.Context, args []string, out, notes io.Writer) (err error) {
	r := &rig{notes: notes, out: out, began: time.Now()}
	f := flag.NewFlagSet("fair", flag.ContinueOnError)
	f.SetOutput(notes)
	only := f.String("only", "", "`section` to show: behind, weights, deadline, crowd or live")
	million := f.Bool("million", false, "a million jobs in the large batch, rather than 20,000")
	require := f.Bool("require", false, "fail, rather than skip, if there is no redis-server")
	if err := f.Parse(args); err != nil {
		return err
	}
	var names []string
	for _, s := range sections {
		names = append(names, s.name)
	}
	if f.NArg() > 0 || *only != "" && !slices.Contains(names, *only) {
		return fmt.Errorf("usage: fair [flags], with --only one of %s; see fair --help", strings.Join(names, ", "))
	}
	if r.large = 20_000; *million {
		r.large = 1_000_000
	}
	if r.dir, err = os.MkdirTemp("", "drover-fair-"); err != nil {
		return fmt.Errorf("making a folder for the data: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(r.dir)) }()
	defer r.children.KillAll()
	err = r.open(ctx)
	if errors.Is(err, process.ErrMissing) && !*require {
		_, err = fmt.Fprintln(out, err)
		return err
	}
	for _, s := range sections {
		if err != nil {
			break
		}
		if *only == "" || *only == s.name {
			err = s.show(ctx, r)
		}
	}
	return err
}
