package queue

import (
	"fmt"
	"sync"
	"testing"

	"github.com/drover-batch/drover/jobs"
)

// Letters that are replayed go to the broker in groups, of which one conflict
// refuses all.
func TestLettersThatTwoReplayAtOnceRunOnceMore(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		const n = 200
		b := batch("b")
		w.enqueue(b, n)
		s := w.source("worker")
		nc := w.connect(nil)
		defer nc.Close()
		other := w.open(nc)
		for run := 1; run <= 2; run++ {
			w.buryAll(s, n)
			var both sync.WaitGroup
			for _, q := range []*Queue{w.q, other} {
				both.Go(func() { w.replayAll(q) })
			}
			both.Wait()
			if p := w.progress("b"); p.Queued != n || p.Dead != 0 {
				t.Errorf("after replay %d: %+v", run, p)
			}
		}
		w.finishAll(s, "b")
		for id, o := range w.outcomes("b") {
			if o.Run != 3 || o.Status != jobs.Answered {
				t.Errorf("%s is %s by run %d", id, o.Status, o.Run)
			}
		}
	})
}

// Each letter was an atomic batch of its own, of which the broker does 250 a
// second.
func TestLettersThatAreReplayedAreStoredTogether(t *testing.T) {
	inWorld(t, Config{}, func(w *world) {
		var entries []*entry
		for i := range 40 {
			e := new(entry)
			for _, part := range []string{"x", "y"} {
				e.msgs = append(e.msgs, newMsg(w.q.names.job("b", part), fmt.Append(nil, i)))
			}
			entries = append(entries, e)
		}
		before := w.nc.Stats().InMsgs
		w.q.runs.commit(w.ctx, entries)
		for _, e := range entries {
			w.must(e.err)
		}
		if acks := w.nc.Stats().InMsgs - before; acks > 2 {
			t.Errorf("%d acknowledgements of one group", acks)
		}
	})
}

// The broker takes no more messages in a group, and keeps all of it in memory.
func TestGroupsOfRecordsAreBounded(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ records, messages, bytes, want int }{
		{groupMessages, 1, 1, 1},
		{groupMessages + 1, 1, 1, 2},
		{groupMessages/2 + 1, 2, 1, 2},
		{4, 1, groupBytes / 4, 1},
		{5, 1, groupBytes / 4, 2},
		{2, 1, groupBytes, 2},
		{2, 1, 2 * groupBytes, 2},
	} {
		j, groups := &journal{}, 0
		for range row.records {
			e := &entry{}
			for range row.messages {
				e.msgs = append(e.msgs, newMsg("", make([]byte, row.bytes)))
			}
			if _, first := j.join(e); first {
				groups++
			}
		}
		if groups != row.want {
			t.Errorf("%d groups, want %d, of %+v", groups, row.want, row)
		}
	}
}
