package trace

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	oteltrace "go.opentelemetry.io/otel/trace"

	"github.com/drover-batch/drover/jobs"
)

// place is where a run of a job is in the world of traces.
type place struct {
	trace oteltrace.TraceID
	span  oteltrace.SpanID // of the run as a whole
}

// placeOf is the same for all who work on a run of a job. A batch that was
// removed and is submitted again has other places: it was created anew.
func placeOf(j *jobs.Job, b *jobs.Batch, run int) place {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d %d", j.ID, b.Created.UnixNano(), run))
	return place{oteltrace.TraceID(sum[:16]), oteltrace.SpanID(sum[16:24])}
}

// context is the place as others refer to it.
func (p place) context() oteltrace.SpanContext {
	return oteltrace.NewSpanContext(oteltrace.SpanContextConfig{TraceID: p.trace, SpanID: p.span, TraceFlags: oteltrace.FlagsSampled, Remote: true})
}

type placeKey struct{}

// ids gives a root span the place that its context asks for, and random ids to
// all others.
type ids struct{}

// NewIDs implements sdktrace.IDGenerator.
func (g ids) NewIDs(ctx context.Context) (oteltrace.TraceID, oteltrace.SpanID) {
	if p, ok := ctx.Value(placeKey{}).(place); ok {
		return p.trace, p.span
	}
	var id oteltrace.TraceID
	binary.NativeEndian.PutUint64(id[:8], rand.Uint64())
	binary.NativeEndian.PutUint64(id[8:], rand.Uint64()|1) // all zeroes are no id
	return id, g.NewSpanID(ctx, id)
}

// NewSpanID implements sdktrace.IDGenerator.
func (ids) NewSpanID(context.Context, oteltrace.TraceID) (id oteltrace.SpanID) {
	binary.NativeEndian.PutUint64(id[:], rand.Uint64()|1)
	return id
}
