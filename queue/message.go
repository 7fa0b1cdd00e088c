package queue

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"

	"github.com/drover-batch/drover/jobs"
)

// The headers of our messages. They repeat what a reader needs who does not
// want the body: the book, the filters of dead letters, the lookup.
const (
	jobHeader    = "Drover-Job"    // id of the job
	runHeader    = "Drover-Run"    // its run
	idHeader     = "Drover-Id"     // what makes an outcome this one and no other
	statusHeader = "Drover-Status" // how the job ended
	tenantHeader = "Drover-Tenant"
	kindHeader   = "Drover-Kind"
	modelHeader  = "Drover-Model"
	seqHeader    = "Drover-Outcome-Seq" // of the dead outcome a letter belongs to
	splitHeader  = "Drover-Split"       // where in a letter the job begins
	spendHeader  = "Drover-Spend"       // what it cost, see spends
	countHeader  = "Drover-Count"       // how often a job was handed back

	traceHeader = "traceparent" // what handed the job in, as W3C calls and writes it
)

// jobMsg is the job as it waits in the queue, in a part of its batch.
func (q *Queue) jobMsg(ctx context.Context, j *jobs.Job, part string) (*nats.Msg, error) {
	data, err := j.MarshalBinary()
	if err != nil {
		return nil, err
	}
	m := newMsg(q.names.job(j.Batch, part), data)
	m.Header.Set(jobHeader, string(j.ID))
	if j.Run > 1 {
		m.Header.Set(runHeader, strconv.Itoa(j.Run))
	}
	if j.Traceparent != "" {
		m.Header.Set(traceHeader, headerSafe(j.Traceparent))
	}
	if j.Instead != nil {
		return m, q.seal(ctx, m)
	}
	return m, q.stow(ctx, m)
}

// seal keeps builds that know plain batches only from asking about a job: a line
// with its format comes before it, and they hand back what they cannot read if
// it is an object, whatever its size. Workers of theirs lend jobs of the batch
// until they have seen that its format is another.
func (q *Queue) seal(ctx context.Context, m *nats.Msg) error {
	m.Data = append(fmt.Appendf(nil, "%d\n", replayedOtherwise), m.Data...)
	return q.putAway(ctx, m)
}

// unseal returns what is behind the line with a job's format, if there is one.
func unseal(data []byte) ([]byte, error) {
	if len(data) == 0 || data[0] == '{' {
		return data, nil
	}
	line, job, _ := bytes.Cut(data, []byte{'\n'})
	switch n, err := strconv.Atoi(string(line)); {
	case err != nil:
		return data, nil // it is no job, which is for others to tell
	case n > batchFormat:
		return nil, fmt.Errorf("decoding a job: %w", errNewer)
	}
	return job, nil
}

// decodeJob reads a job. The body shares data's memory.
func decodeJob(batch string, data []byte) (*jobs.Job, error) {
	data, err := unseal(data)
	if err != nil {
		return nil, err
	}
	j := new(jobs.Job)
	if err := j.UnmarshalBinary(data); err != nil {
		return nil, err
	}
	if j.Batch != batch {
		return nil, fmt.Errorf("decoding a job: it says it is of batch %q but waits in %q", j.Batch, batch)
	}
	return j, nil
}

// outcomeMsg is the outcome as it is stored, to be refused unless the newest
// one of its job is the one with sequence replaces.
func (q *Queue) outcomeMsg(ctx context.Context, o *jobs.Outcome, replaces uint64) (*nats.Msg, error) {
	m, err := q.encodeOutcome(o, replaces)
	if err != nil {
		return nil, err
	}
	return m, q.stow(ctx, m)
}

// encodeOutcome is outcomeMsg before a large body is stowed.
func (q *Queue) encodeOutcome(o *jobs.Outcome, replaces uint64) (*nats.Msg, error) {
	data, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("encoding the outcome of job %s: %w", o.Job, err)
	}
	m := newMsg(q.outcome(o.Batch, o.Job), data)
	m.Header.Set(idHeader, outcomeID(o))
	m.Header.Set(runHeader, strconv.Itoa(o.Run))
	m.Header.Set(statusHeader, string(o.Status))
	setSpends(m, o.Tenant, o.Attempts)
	expect(m, replaces)
	return m, nil
}

// outcomeID makes an outcome recognisable to whoever stores it, also to a
// later process that found it in a spool.
func outcomeID(o *jobs.Outcome) string {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%s %d %s %s %d", o.Job, o.Run, o.Status, o.Worker, o.Finished.UnixNano())
	for _, a := range o.Attempts {
		_, _ = fmt.Fprintf(h, " %s", a.Call)
	}
	return hex.EncodeToString(h.Sum(nil)[:12])
}

func (q *Queue) decodeOutcome(ctx context.Context, h nats.Header, data []byte) (*jobs.Outcome, error) {
	data, err := q.body(ctx, h, data)
	if err != nil {
		return nil, err
	}
	o := new(jobs.Outcome)
	if err := json.Unmarshal(data, o); err != nil {
		return nil, fmt.Errorf("decoding an outcome: %w", err)
	}
	return o, nil
}

// mostModelBytes bounds what a letter's head says of models: all that there are,
// unless a job was forged.
const mostModelBytes = 16 << 10

// letterMsg is the dead letter: the outcome, then the job as it was queued.
func (q *Queue) letterMsg(ctx context.Context, l *jobs.DeadLetter) (*nats.Msg, error) {
	outcome, err := json.Marshal(l.Outcome)
	if err != nil {
		return nil, fmt.Errorf("encoding the dead letter of job %s: %w", l.Job.ID, err)
	}
	job, err := l.Job.MarshalBinary()
	if err != nil {
		return nil, err
	}
	m := newMsg(q.names.dead(l.Job.Batch, l.Job.ID), append(outcome, job...))
	m.Header.Set(splitHeader, strconv.Itoa(len(outcome)))
	m.Header.Set(seqHeader, strconv.FormatUint(l.Sequence, 10))
	m.Header.Set(runHeader, strconv.Itoa(l.Job.Run))
	m.Header.Set(tenantHeader, headerSafe(l.Outcome.Tenant))
	m.Header.Set(kindHeader, string(l.Outcome.Kind))
	size := 0
	for _, a := range l.Outcome.Attempts {
		model := headerSafe(a.Model)
		if slices.Contains(m.Header[modelHeader], model) || size+len(model) > mostModelBytes {
			continue
		}
		size += len(model) + len(modelHeader) + len(": \r\n")
		m.Header.Add(modelHeader, model)
	}
	return m, q.stow(ctx, m)
}

// headerSafe keeps a value from breaking out of its header.
func headerSafe(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' {
			return '?'
		}
		return r
	}, s)
}

func (q *Queue) decodeLetter(ctx context.Context, h nats.Header, data []byte) (*jobs.DeadLetter, error) {
	data, err := q.body(ctx, h, data)
	if err != nil {
		return nil, err
	}
	split, err := strconv.Atoi(h.Get(splitHeader))
	if err != nil || split < 0 || split > len(data) {
		return nil, fmt.Errorf("decoding a dead letter: its header %s is %q", splitHeader, h.Get(splitHeader))
	}
	l := &jobs.DeadLetter{Job: new(jobs.Job), Outcome: new(jobs.Outcome)}
	if l.Sequence, err = strconv.ParseUint(h.Get(seqHeader), 10, 64); err != nil {
		return nil, fmt.Errorf("decoding a dead letter: its header %s: %w", seqHeader, err)
	}
	if err := json.Unmarshal(data[:split], l.Outcome); err != nil {
		return nil, fmt.Errorf("decoding a dead letter: %w", err)
	}
	if err := l.Job.UnmarshalBinary(data[split:]); err != nil {
		return nil, fmt.Errorf("decoding a dead letter: %w", err)
	}
	return l, nil
}

// isDead reports whether a message is the outcome of a job that died.
func isDead(h nats.Header) bool { return h.Get(statusHeader) == string(jobs.Dead) }

// runOf is the run a message says it is of, 0 if it does not.
func runOf(h nats.Header) int {
	n, _ := strconv.Atoi(h.Get(runHeader))
	return n
}
