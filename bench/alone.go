package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// alone is the time that Drover adds to a job that nothing holds up.
func (b *bench) alone(ctx context.Context) error {
	b.table.heading("time added to a job, from enqueueing to its outcome on disk, less the model's")
	for _, k := range b.kinds(embeddedOnes, realSynced) {
		t := task{Role: "alone", Jobs: b.fewer(200, 20), Slots: 1, Body: body}
		b.say("alone: %d jobs, %s", t.Jobs, k)
		r, err := b.measure(ctx, k, &task{}, t)
		if err != nil {
			return err
		}
		b.table.add(row{"one after the other with one slot: " + k.String(), fmt.Sprintf("%.1f ms a job", milliseconds(r.Each)), r.Answered, ""})
		b.table.add(row{"a new batch of one job, idle worker: " + k.String(), fmt.Sprintf("%.0f ms, the median of %d", milliseconds(r.Enqueued.Took), r.Enqueued.Jobs), stage{}, ""})
	}
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// playAlone has a worker with one slot answer a batch, then batches of one.
func playAlone(ctx context.Context, t *task, out *json.Encoder) (err error) {
	s, err := open(ctx, t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	model := &timed{RoundTripper: t.client().Transport}
	s.own = &http.Client{Transport: model}
	if err := s.fill(ctx, "warm", 5); err != nil {
		return err
	}
	if err := s.begin(ctx); err != nil {
		return err
	}
	if err := s.await(ctx, 5, func(int) {}); err != nil {
		return err
	}
	r := &report{}
	if err := s.oneSlot(ctx, r, model); err != nil {
		return err
	}
	if err := s.oneJob(ctx, r, model); err != nil {
		return err
	}
	return out.Encode(r)
}

// oneSlot counts from the first outcome on: until then the worker may not
// have heard of the batch.
func (s *subject) oneSlot(ctx context.Context, r *report, model *timed) error {
	if err := s.fill(ctx, "slot", s.Jobs+1); err != nil {
		return err
	}
	if err := s.await(ctx, 1, func(int) {}); err != nil {
		return err
	}
	s.meter.begin()
	model.took.Store(0)
	if err := s.await(ctx, s.Jobs, func(int) {}); err != nil {
		return err
	}
	r.Answered = s.meter.end(s.Jobs)
	r.Each = (r.Answered.Took - time.Duration(model.took.Load())) / time.Duration(s.Jobs)
	return nil
}

func (s *subject) oneJob(ctx context.Context, r *report, model *timed) error {
	took := make([]time.Duration, max(5, s.Jobs/10))
	for i := range took {
		select { // or the worker would be found looking every time
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(100*time.Millisecond + time.Duration(i)*37*time.Millisecond):
		}
		began := time.Now()
		model.took.Store(0)
		if err := s.fill(ctx, fmt.Sprintf("one-%d", i), 1); err != nil {
			return err
		}
		if err := s.await(ctx, 1, func(int) {}); err != nil {
			return err
		}
		took[i] = time.Since(began) - time.Duration(model.took.Load())
	}
	slices.Sort(took)
	r.Enqueued = stage{Jobs: len(took), Took: took[len(took)/2]}
	return nil
}
