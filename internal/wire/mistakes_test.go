package wire

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/drover-batch/drover/jobs"
)

// hurried lets go of a job before it stores the outcome.
func hurried(w *world, _ *member, d jobs.Delivery) jobs.Delivery {
	return &hurriedly{d, w}
}

type hurriedly struct {
	jobs.Delivery
	w *world
}

func (d *hurriedly) Done(ctx context.Context, o *jobs.Outcome) error {
	d.w.mistaken.Add(1)
	return errors.Join(d.Release(ctx), d.Delivery.Done(ctx, o))
}

// blind takes every delivery for the first.
func blind(w *world, _ *member, d jobs.Delivery) jobs.Delivery { return &blindly{d, w} }

type blindly struct {
	jobs.Delivery
	w *world
}

func (d *blindly) Fresh() bool {
	if !d.Delivery.Fresh() {
		d.w.mistaken.Add(1)
	}
	return true
}

// stale looks once, and believes that ever after.
func stale(w *world, _ *member, d jobs.Delivery) jobs.Delivery { return &stalely{Delivery: d, w: w} }

type stalely struct {
	jobs.Delivery
	w      *world
	mu     sync.Mutex
	looked bool
	found  bool
}

func (d *stalely) Settled(ctx context.Context) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.looked {
		d.w.mistaken.Add(1)
		return d.found, nil
	}
	var err error
	d.found, err = d.Delivery.Settled(ctx)
	d.looked = err == nil
	return d.found, err
}

// heartless never renews a lease, and thinks that it did.
func heartless(w *world, _ *member, d jobs.Delivery) jobs.Delivery {
	return &heartlessly{d, w, time.Now()}
}

type heartlessly struct {
	jobs.Delivery
	w     *world
	since time.Time
}

func (d *heartlessly) Extend(context.Context) error {
	d.w.mistaken.Add(1)
	return nil
}

func (d *heartlessly) Expires() time.Time { return time.Now().Add(d.w.config.Worker.Lease) }

// forgetful drops an answer that cannot be stored at once.
func forgetful(w *world, m *member, d jobs.Delivery) jobs.Delivery { return &forgetfully{d, w, m} }

type forgetfully struct {
	jobs.Delivery
	w *world
	m *member
}

func (d *forgetfully) Done(ctx context.Context, o *jobs.Outcome) error {
	if d.m.servers.NATS.IsConnected() {
		return d.Delivery.Done(ctx, o)
	}
	d.w.mistaken.Add(1)
	return errDown
}

// silent hands back without a word about what was paid.
func silent(w *world, _ *member, d jobs.Delivery) jobs.Delivery { return &silently{d, w} }

type silently struct {
	jobs.Delivery
	w *world
}

func (d *silently) Return(ctx context.Context, attempts []jobs.Attempt) error {
	d.w.mistaken.Add(int64(len(attempts)))
	return d.Delivery.Return(ctx, nil)
}

func (d *silently) Defer(ctx context.Context, wait time.Duration, attempts []jobs.Attempt) error {
	d.w.mistaken.Add(int64(len(attempts)))
	return d.Delivery.Defer(ctx, wait, nil)
}

// generous thinks that a call which timed out was not paid for.
func generous(w *world, err error) error {
	fail, ok := errors.AsType[*jobs.Failure](err)
	if ok && fail.Kind != jobs.Timeout || !ok && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	w.mistaken.Add(1)
	fail = jobs.Failf(jobs.Timeout, "it did not answer in time")
	fail.Billing = jobs.Free
	return fail
}

// hasteful does not wait for running calls when it stops.
func hasteful(w *world) change {
	return change{worker: func(m *member) {
		w.mistaken.Add(1)
		m.worker.Pool.Grace = 1
	}}
}
