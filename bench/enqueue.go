package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/drover-batch/drover/documents"
	"github.com/drover-batch/drover/jobs"
)

// enqueueing is from lines of a file to jobs that the broker has on disk.
func (b *bench) enqueueing(ctx context.Context) error {
	b.table.heading(fmt.Sprintf("enqueueing a JSONL file, lines of %d bytes", body))
	for _, k := range b.kinds(realSynced, realUnsynced, embeddedOnes) {
		t := task{Role: "enqueue", Jobs: b.fewer(100_000, 10_000), Slots: 64, Body: body}
		if k == realSynced {
			t.Jobs = b.fewer(million, 10_000)
		}
		best, err := b.best(ctx, b.side(k, nil, t))
		if err != nil {
			return err
		}
		r := best[0].Answered
		b.table.add(row{number(float64(t.Jobs)) + " lines, " + k.String(), perSecond(r, "lines"), r, fmt.Sprintf("%.1f s", r.Took.Seconds())})
		if k == realSynced {
			b.table.reached(aimEnqueue, r.rate())
		}
		if t.Jobs == million {
			b.table.reached(aimMillion, r.Took.Seconds())
		}
	}
	return nil
}

const million = 1_000_000

// playEnqueue reads a file as `enqueue submit` does.
func playEnqueue(ctx context.Context, t *task, out *json.Encoder) (err error) {
	path := filepath.Join(t.Data, "documents.jsonl")
	if err := writeLines(path, t.Jobs, t.Body); err != nil {
		return err
	}
	reader, err := documents.NewReader(documents.Config{})
	if err != nil {
		return err
	}
	s, err := open(ctx, t)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	stop, err := profile(t.Profile)
	if err != nil {
		return err
	}
	s.meter.begin()
	w, err := s.servers.Queue.Enqueue(ctx, &jobs.Batch{ID: "bench", Name: "bench", Tenant: "bench", Chain: "default", Prompt: "{{.text}}"})
	if err != nil {
		return err
	}
	for item, problem := range reader.Read(ctx, path) {
		if problem != nil {
			return problem
		}
		if err := w.Add(ctx, item.CustomID, item.Document); err != nil {
			return err
		}
	}
	if err := w.Close(ctx); err != nil {
		return err
	}
	stop()
	return out.Encode(&report{Answered: s.meter.end(int(w.Position().Count))})
}

func writeLines(path string, n, size int) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("writing the input: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriter(f)
	text := bytes.Repeat([]byte("The agreement ends on the last day. "), size/36+1)[:size]
	for i := range n {
		_, _ = fmt.Fprintf(w, "{\"custom_id\":\"line-%07d\",\"text\":\"%s\"}\n", i, text)
	}
	return w.Flush()
}
