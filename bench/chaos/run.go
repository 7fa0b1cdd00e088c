package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/drover-batch/drover/bench/process"
	"github.com/drover-batch/drover/internal/audit"
	"github.com/drover-batch/drover/jobs"
)

// run is one schedule from its first process to its verdict.
func (r *rig) run(ctx context.Context) (*verdict, error) {
	defer r.close()
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	for i := range r.crew {
		if err := r.hire(fmt.Sprintf("w%d", i+1)); err != nil {
			return nil, err
		}
	}
	grew, err := r.rounds(ctx)
	if err != nil {
		return nil, err
	}
	calmed := time.Now()
	over := r.untilOver(ctx)
	if ctx.Err() != nil {
		return nil, errors.New("interrupted")
	}
	r.say("all batches are over")
	// What died with its worker lapses, and goes into the book.
	process.Pause(ctx, lease*3/2+6*time.Second-time.Since(calmed))
	metrics := r.metrics()
	if err := errors.Join(r.dismiss(), r.settle()); err != nil {
		return nil, err
	}
	e, err := r.gather(ctx, metrics)
	if err != nil {
		return nil, err
	}
	if r.keep {
		if err := r.write(e); err != nil {
			return nil, err
		}
	}
	return r.judge(e, over, grew), nil
}

// write keeps the evidence with the data, for whoever wants to look closer.
func (r *rig) write(e *audit.Evidence) error {
	data, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("encoding the evidence: %w", err)
	}
	return os.WriteFile(filepath.Join(r.dir, "evidence.json"), data, 0o600)
}

// rounds does to the fleet what is planned, one round after the other while it
// soaks, and returns when all batches are in and all runs again.
func (r *rig) rounds(ctx context.Context) (grew []growth, err error) {
	rounds, p := 1, program{last: r.round(), workers: r.crew, every: 0.5, only: r.only}
	var s *sampler
	if r.soak {
		rounds, p.spared, p.every = int(r.last/minute), 1, 2
		if s, err = r.startSampling(ctx); err != nil {
			return nil, err
		}
		defer func() { grew = s.stop() }()
	}
	r.say("%d workers, %d jobs a round", r.crew, r.total())
	submitted := make(chan error, rounds)
	for n := range rounds {
		r.layOutBatches(n)
		batches := r.current
		go func() { submitted <- r.submitAll(ctx, batches) }()
		p.seed = r.seed + uint64(n)
		r.perform(ctx, p.plan())
	}
	err = r.calm()
	r.say("no more faults")
	for range rounds {
		err = errors.Join(err, <-submitted)
	}
	return nil, err
}

// calm ends what faults are left, and waits until everything runs.
func (r *rig) calm() error {
	if err := r.provider.SetFaults(nil, nil); err != nil {
		return err
	}
	var errs []error
	for _, w := range r.workers {
		w.want()
		errs = append(errs, process.Until(30*time.Second, w.name+" is ready again", w.ready))
	}
	return errors.Join(errs...)
}

// untilOver waits for the end of all batches; the error says which have none.
func (r *rig) untilOver(ctx context.Context) error {
	var errs []error
	end := time.Now().Add(2 * time.Minute)
	for _, b := range r.batches {
		for {
			p, err := r.servers.Queue.Progress(ctx, b.known())
			if err == nil && p.Over() || ctx.Err() != nil {
				break
			}
			if time.Now().After(end) {
				errs = append(errs, fmt.Errorf("batch %s is not over two minutes after the last fault: %s", b.name, state(p, err)))
				break
			}
			process.Pause(ctx, 100*time.Millisecond)
		}
	}
	return errors.Join(errs...)
}

func state(p jobs.Progress, err error) string {
	if err != nil {
		return err.Error()
	}
	return fmt.Sprintf("%s, %d queued and %d running of %d %s", p.State, p.Queued, p.Running, p.Total, p.Reason)
}

// metrics are what the workers say of themselves.
func (r *rig) metrics() []audit.Text {
	var pages []audit.Text
	for _, w := range r.workers {
		pages = append(pages, audit.Text{Name: "the metrics of " + w.name, Text: w.get("/metrics")})
	}
	return pages
}

// dismiss stops all workers in order.
func (r *rig) dismiss() error {
	var errs []error
	for _, w := range r.workers {
		if w.get("/metrics") == "" {
			errs = append(errs, fmt.Errorf("%s has no metrics", w.name))
		}
		w.stop()
	}
	return errors.Join(errs...)
}

// settle has a worker begin once more: who rebuilds the sums if they were lost
// after the last call.
func (r *rig) settle() error {
	w := r.workers[0]
	w.want()
	err := process.Until(30*time.Second, w.name+" begins once more", w.ready)
	w.stop()
	return err
}
