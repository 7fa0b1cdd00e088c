package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/drover-batch/drover/jobs"
)

// callEntry is a call as the record of calls holds it.
type callEntry struct {
	Call   string   `json:"c"`
	Job    jobs.ID  `json:"j"`
	Batch  string   `json:"b"`
	Tenant string   `json:"t"`
	Model  string   `json:"m"`
	At     int64    `json:"a"` // microseconds
	Worst  jobs.USD `json:"$"`
}

// callEntries is one message of the record.
type callEntries struct {
	Begin []callEntry `json:"begin,omitempty"`
	End   []string    `json:"end,omitempty"`
}

// spend is the call at its worst.
func (e *callEntry) spend() jobs.Spend {
	return jobs.Spend{
		Call: e.Call, Job: e.Job, Batch: e.Batch, Tenant: e.Tenant, Model: e.Model,
		At: time.UnixMicro(e.At).UTC(), Cost: e.Worst, Billing: jobs.Presumed,
	}
}

// InFlight returns the calls of all workers that are on record and have not
// ended, each at its worst case, the oldest first. Some may be in the book
// already. It fences off the others: a call that was admitted before and is not
// on record yet never will be, and its Begin returns ErrFenced. So whoever has
// lost the holds of calls knows them all again.
func (q *Queue) InFlight(ctx context.Context) ([]jobs.Spend, error) {
	subjects, err := q.callLogs(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range subjects {
		err := q.insist(ctx, s, q.cfg.StorePatience, func() error {
			_, err := publishAll(ctx, q.js, []*nats.Msg{newMsg(s, []byte("{}"))})
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("fencing off calls that are not on record: %w", err)
		}
	}
	return q.OnRecord(ctx)
}

// OnRecord is InFlight without the fence: a call may be on its way that is not on
// record yet.
func (q *Queue) OnRecord(ctx context.Context) ([]jobs.Spend, error) {
	return q.openCalls(ctx, q.subject("calls", "*"))
}

// callLogs lists the subjects of all records.
func (q *Queue) callLogs(ctx context.Context) ([]string, error) {
	info, err := q.calls.Info(ctx, jetstream.WithSubjectFilter(q.subject("calls", "*")))
	if err != nil {
		return nil, fmt.Errorf("looking for calls in flight: %w", err)
	}
	subjects := make([]string, 0, len(info.State.Subjects))
	for s := range info.State.Subjects {
		subjects = append(subjects, s)
	}
	slices.Sort(subjects)
	return subjects, nil
}

// openCalls reads the records of a subject, the oldest call first.
func (q *Queue) openCalls(ctx context.Context, subject string) ([]jobs.Spend, error) {
	open := map[string]jobs.Spend{}
	for m, err := range q.read(ctx, q.calls, subject, false) {
		if err != nil {
			return nil, fmt.Errorf("reading the record of calls: %w", err)
		}
		var e callEntries
		if err := json.Unmarshal(m.Data(), &e); err != nil {
			return nil, fmt.Errorf("reading the record of calls: decoding a message of %s: %w", m.Subject(), err)
		}
		for i := range e.Begin {
			open[e.Begin[i].Call] = e.Begin[i].spend()
		}
		for _, call := range e.End {
			delete(open, call)
		}
	}
	calls := make([]jobs.Spend, 0, len(open))
	for _, s := range open {
		calls = append(calls, s)
	}
	slices.SortFunc(calls, func(a, b jobs.Spend) int {
		if c := a.At.Compare(b.At); c != 0 {
			return c
		}
		return strings.Compare(a.Call, b.Call)
	})
	return calls, nil
}

// Abandoned is the record of a worker that has been silent for a while.
type Abandoned struct {
	Calls []jobs.Spend // that never ended, each at its worst case

	subject string
	last    uint64
}

// Abandoned returns the records on which nothing was written for so long.
// Their workers are dead, or idle. A record that another replica removes
// meanwhile is left out: of one that was read in part, ended calls seem open.
func (q *Queue) Abandoned(ctx context.Context, silent time.Duration) ([]Abandoned, error) {
	subjects, err := q.callLogs(ctx)
	if err != nil {
		return nil, err
	}
	var all []Abandoned
	for _, s := range subjects {
		last, err := lastOn(ctx, q.calls, s)
		if err != nil {
			return nil, err
		}
		if last == nil || time.Since(last.Time) < silent {
			continue
		}
		calls, err := q.openCalls(ctx, s)
		if err != nil {
			return nil, err
		}
		now, err := lastOn(ctx, q.calls, s)
		if err != nil {
			return nil, err
		}
		if newest(now) == last.Sequence {
			all = append(all, Abandoned{calls, s, last.Sequence})
		}
	}
	return all, nil
}

// Forget removes a record whose calls are all in the book. Should its worker
// be alive, it begins another.
func (q *Queue) Forget(ctx context.Context, a Abandoned) error {
	err := q.calls.Purge(ctx, jetstream.WithPurgeSubject(a.subject), jetstream.WithPurgeSequence(a.last+1))
	if err != nil {
		return fmt.Errorf("removing the record of a dead worker's calls: %w", err)
	}
	return nil
}

// presumeAll puts every call in flight into the book: their workers are dead.
func (q *Queue) presumeAll(ctx context.Context) error {
	calls, err := q.InFlight(ctx)
	if err != nil {
		return err
	}
	for _, s := range calls {
		if _, err := q.Presume(ctx, s, Died); err != nil {
			return fmt.Errorf("recording the calls that were in flight: %w", err)
		}
	}
	if err := q.calls.Purge(ctx); err != nil {
		return fmt.Errorf("removing the record of dead workers' calls: %w", err)
	}
	return nil
}

// Died is the reason on record for what a call may have cost whose worker died.
const Died = "its worker died while the call was on its way"
