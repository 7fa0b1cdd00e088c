package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/drover-batch/drover/bench/process"
)

// rig is what all scenes share.
type rig struct {
	options
	notes io.Writer
	dir   string

	programs *process.Programs
	children process.Children
	nats     string // address
	redis    string // URL
	began    time.Time
}

// run plays all scenes, as many at once as the machine bears.
func (r *rig) run(ctx context.Context) ([]figures, error) {
	defer r.children.KillAll()
	r.began = time.Now()
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	all := r.scenes()
	slices.SortStableFunc(all, func(a, b scene) int { return cmp.Compare(a.longer, b.longer) }) // those that take longer together
	found, errs := make([]figures, len(all)), make([]error, len(all))
	for next := 0; next < len(all); {
		var playing sync.WaitGroup
		first, crew := next, 0
		for ; next < len(all) && (crew == 0 || crew+all[next].replicas <= r.most()); next++ {
			i := next
			crew += all[i].replicas
			playing.Go(func() { found[i], errs[i] = r.play(ctx, fmt.Sprint("s", i+1), &all[i]) })
		}
		r.say("scenes %d to %d of %d: %d workers", first+1, next, len(all), crew)
		playing.Wait()
		if ctx.Err() != nil {
			return nil, errors.New("interrupted")
		}
	}
	return found, errors.Join(errs...)
}

// open starts the servers.
func (r *rig) open(ctx context.Context) (err error) {
	r.say("building")
	if r.programs, err = process.Build(ctx, r.dir); err != nil {
		return err
	}
	r.nats, r.redis, err = r.children.Pair(r.programs, r.dir)
	return err
}

func (r *rig) say(format string, args ...any) {
	_, _ = fmt.Fprintf(r.notes, "%6.1fs %s\n", time.Since(r.began).Seconds(), fmt.Sprintf(format, args...))
}
