package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/drover-batch/drover/internal/audit"
	"github.com/drover-batch/drover/jobs"
)

// outcomeWatch sees outcomes as they are stored, so that a second one of the
// same run is noticed even though it replaces the first.
type outcomeWatch struct {
	stream  jetstream.Stream
	consume jetstream.ConsumeContext

	mu   sync.Mutex
	seen map[uint64]audit.Outcome // by sequence; of each outcome only what tells it from others
}

func watchOutcomes(ctx context.Context, nc *nats.Conn, prefix string) (*outcomeWatch, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	stream, err := js.Stream(ctx, strings.ToUpper(prefix)+"_OUTCOMES")
	if err != nil {
		return nil, fmt.Errorf("looking at the outcomes: %w", err)
	}
	w := &outcomeWatch{stream: stream, seen: map[uint64]audit.Outcome{}}
	c, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return nil, fmt.Errorf("watching the outcomes: %w", err)
	}
	w.consume, err = c.Consume(w.see)
	return w, err
}

func (w *outcomeWatch) stop() { w.consume.Stop() }

func (w *outcomeWatch) see(m jetstream.Msg) {
	meta, err := m.Metadata()
	if err != nil {
		return
	}
	whole := new(jobs.Outcome)
	if json.Unmarshal(m.Data(), whole) != nil || whole.Job == "" {
		return // too large for its message: its reader sees it
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[meta.Sequence.Stream] = audit.Outcome{
		Outcome: &jobs.Outcome{Job: whole.Job, Batch: whole.Batch, CustomID: whole.CustomID, Run: whole.Run, Status: whole.Status, Finished: whole.Finished, Worker: whole.Worker},
		Stored:  meta.Timestamp, Sequence: meta.Sequence.Stream,
	}
}

// replaced are the outcomes that were seen and are not among those given.
func (w *outcomeWatch) replaced(by []audit.Outcome) []audit.Outcome {
	w.mu.Lock()
	defer w.mu.Unlock()
	there := map[uint64]bool{}
	for _, o := range by {
		there[o.Sequence] = true
	}
	var gone []audit.Outcome
	for seq, o := range w.seen {
		if !there[seq] {
			gone = append(gone, o)
		}
	}
	return gone
}

// leader is the server that leads the stream, "" if nobody says.
func (w *outcomeWatch) leader(ctx context.Context) string {
	info, err := w.stream.Info(ctx)
	if err != nil || info.Cluster == nil {
		return ""
	}
	return info.Cluster.Leader
}
