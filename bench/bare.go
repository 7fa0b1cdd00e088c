package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"
)

// playBare is the yardstick: what JetStream itself needs to hand out jobs of
// the same size, store a message for each and take the acknowledgement, as
// many at a time as there are slots. Where every write is synced they are
// stored in atomic batches, as Drover does.
func playBare(ctx context.Context, t *task, out *json.Encoder) error {
	nc, err := nats.Connect(t.NATS)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(4*t.Slots))
	if err != nil {
		return err
	}
	b := &bareLoop{task: t, js: js}
	consumer, err := b.layOut(ctx)
	if err != nil {
		return err
	}
	meter := newMeter(t.Others)
	meter.begin()
	if err := b.run(ctx, consumer); err != nil {
		return err
	}
	return out.Encode(&report{Answered: meter.end(t.Jobs)})
}

type bareLoop struct {
	*task
	js jetstream.JetStream
}

// layOut makes the streams and fills the first.
func (b *bareLoop) layOut(ctx context.Context) (jetstream.Consumer, error) {
	for _, c := range []jetstream.StreamConfig{
		{Name: "JOBS", Subjects: []string{"jobs.*"}, Retention: jetstream.WorkQueuePolicy, AllowAtomicPublish: true},
		{Name: "OUTCOMES", Subjects: []string{"outcomes.*"}, MaxMsgsPerSubject: 1, AllowAtomicPublish: true},
	} {
		if _, err := b.js.CreateStream(ctx, c); err != nil {
			return nil, fmt.Errorf("creating a stream: %w", err)
		}
	}
	body := bytes.Repeat([]byte("x"), b.Body+300) // and its head
	for left := b.Jobs; left > 0; {
		group := make([]*nats.Msg, min(left, 500))
		for i := range group {
			group[i] = &nats.Msg{Subject: "jobs.b", Data: body, Header: nats.Header{}}
		}
		if _, err := jetstreamext.PublishMsgBatch(ctx, b.js, group, jetstreamext.BatchFlowControl{}); err != nil {
			return nil, fmt.Errorf("filling the stream: %w", err)
		}
		left -= len(group)
	}
	return b.js.CreateConsumer(ctx, "JOBS", jetstream.ConsumerConfig{
		Durable: "b", FilterSubject: "jobs.b", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: -1,
	})
}

func (b *bareLoop) run(ctx context.Context, consumer jetstream.Consumer) error {
	for done := 0; done < b.Jobs; {
		got, err := consumer.Fetch(min(b.Slots, b.Jobs-done))
		if err != nil {
			return fmt.Errorf("fetching: %w", err)
		}
		var taken []jetstream.Msg
		for m := range got.Messages() {
			taken = append(taken, m)
		}
		if err := b.store(ctx, done, len(taken)); err != nil {
			return fmt.Errorf("storing: %w", err)
		}
		for _, m := range taken {
			if err := m.Ack(); err != nil {
				return fmt.Errorf("acknowledging: %w", err)
			}
		}
		done += len(taken)
	}
	for {
		info, err := consumer.Info(ctx)
		if err != nil || info.NumAckPending == 0 {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (b *bareLoop) store(ctx context.Context, from, n int) error {
	msgs := make([]*nats.Msg, n)
	for i := range msgs {
		msgs[i] = &nats.Msg{Subject: fmt.Sprintf("outcomes.%032d", from+i), Data: make([]byte, 900), Header: nats.Header{}}
	}
	if b.Sync && n > 1 {
		_, err := jetstreamext.PublishMsgBatch(ctx, b.js, msgs, jetstreamext.BatchFlowControl{})
		return err
	}
	for _, m := range msgs {
		if _, err := b.js.PublishMsgAsync(m); err != nil {
			return err
		}
	}
	select {
	case <-b.js.PublishAsyncComplete():
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
