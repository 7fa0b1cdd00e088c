package main

import (
	"context"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
)

// aLot is how many jobs the embedded servers are spared.
const aLot = 500_000

// scale enqueues many jobs and answers them in one process, and looks at its
// memory meanwhile: with the servers inside, and without them.
func (b *bench) scale(ctx context.Context) error {
	b.table.heading(number(float64(b.jobs)) + " small jobs, enqueued and finished")
	kinds := b.kinds(embeddedOnes, realSynced)
	if b.short || len(kinds) > 1 && b.jobs > aLot {
		kinds = kinds[len(kinds)-1:]
	}
	for _, k := range kinds {
		t := task{Role: "work", Jobs: b.jobs, Slots: 256, Body: body, Measure: true}
		b.say("scale: %d jobs, %s", t.Jobs, k)
		r, err := b.measure(ctx, k, &task{}, t)
		if err != nil {
			return err
		}
		b.scaled(k, r)
	}
	return nil
}

// scaled adds the lines of one run.
func (b *bench) scaled(k kind, r *report) {
	took := func(s stage) string { return fmt.Sprintf("in %.0f s", s.Took.Seconds()) }
	b.table.add(row{"enqueued: " + k.String(), perSecond(r.Enqueued, "jobs"), r.Enqueued, took(r.Enqueued)})
	b.table.add(row{"answered: " + k.String(), perSecond(r.Answered, "jobs"), r.Answered, took(r.Answered)})
	b.table.add(row{what: "longest gap between completions: " + k.String(), figure: fmt.Sprintf("%.2f s", r.Gap.Seconds())})
	b.table.reached(aimGap, r.Gap.Seconds())
	first, last := r.Samples[0], r.Samples[len(r.Samples)-1]
	for _, s := range r.Samples {
		b.table.add(row{
			what: fmt.Sprintf("memory after %s answered: %s", number(float64(s.Done)), k), figure: memory(s),
			ratio: share(float64(s.RSS["worker"]), float64(first.RSS["worker"]), "the worker's at the beginning"),
		})
	}
	quarter := r.Samples[min(1, len(r.Samples)-1)]
	grown := func(what string, before, after uint64) {
		figure := fmt.Sprintf("%.0f bytes a job", (float64(after)-float64(before))/float64(last.Done-quarter.Done))
		b.table.add(row{what: "growth of " + what + " from a quarter on: " + k.String(), figure: figure})
	}
	if last.Done == quarter.Done {
		return
	}
	grown("the worker's heap", quarter.Heap, last.Heap)
	for _, p := range processes {
		if _, ok := last.RSS[p]; ok && p != "model" {
			grown(p, quarter.RSS[p], last.RSS[p])
		}
	}
	grown("the data on disk", quarter.Disk, last.Disk)
}

// memory prints who has how much: worker 80 MiB (heap 20 MiB), nats 300 MiB.
func memory(s sample) string {
	var parts []string
	for _, p := range processes {
		if n, ok := s.RSS[p]; ok && p != "model" {
			parts = append(parts, p+" "+mebibytes(n))
		}
	}
	return strings.Join(parts, ", ") + ", the worker's heap " + mebibytes(s.Heap) + "; disk " + mebibytes(s.Disk)
}

// diskOf is how much is stored in a folder, in bytes: what is written, not what
// is set aside.
func diskOf(dir string) (sum uint64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil // gone meanwhile
		}
		if info, err := d.Info(); err == nil {
			sum += uint64(info.Size())
		}
		return nil
	})
	return sum
}
