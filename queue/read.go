package queue

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// readGroup is how many messages are fetched at a time, readPatience how long
// a reader waits for the broker to come back.
const (
	readGroup    = 256
	readPatience = 30 * time.Second
)

// read yields what a stream holds of a subject when reading reaches its end,
// the oldest first, whole or headers only. If the broker goes away and comes
// back it goes on after the last message it got.
func (q *Queue) read(ctx context.Context, s jetstream.Stream, subject string, headersOnly bool) iter.Seq2[jetstream.Msg, error] {
	return q.readSince(ctx, s, subject, headersOnly, 1)
}

// readSince reads from sequence next on.
func (q *Queue) readSince(ctx context.Context, s jetstream.Stream, subject string, headersOnly bool, next uint64) iter.Seq2[jetstream.Msg, error] {
	return func(yield func(jetstream.Msg, error) bool) {
		var lost time.Time
		for {
			last, more, err := q.readFrom(ctx, s, subject, headersOnly, next, yield)
			switch {
			case err == nil && !more:
				return
			case last >= next:
				next, lost = last+1, time.Time{}
			case lost.IsZero():
				lost = time.Now()
			}
			if ctx.Err() != nil || !lost.IsZero() && time.Since(lost) > readPatience {
				if ctx.Err() != nil {
					err = context.Cause(ctx)
				}
				yield(nil, fmt.Errorf("reading %s: %w", subject, err))
				return
			}
			if err != nil && sleep(ctx, 500*time.Millisecond) != nil {
				continue
			}
		}
	}
}

// readFrom reads with one consumer, from sequence next. It returns the last
// sequence it yielded and whether there is more to come.
func (q *Queue) readFrom(ctx context.Context, s jetstream.Stream, subject string, headersOnly bool, next uint64, yield func(jetstream.Msg, error) bool) (last uint64, more bool, err error) {
	c, err := s.CreateConsumer(ctx, readerConfig(subject, headersOnly, next))
	if err != nil {
		return 0, true, err
	}
	defer q.drop(ctx, s, c)
	if c.CachedInfo().NumPending == 0 {
		return 0, false, nil
	}
	for {
		group, err := c.Fetch(readGroup, jetstream.FetchMaxWait(5*time.Second))
		if err != nil {
			return last, true, err
		}
		got := 0
		for m := range group.Messages() {
			meta, err := m.Metadata()
			if err != nil {
				return last, true, err
			}
			last, got = meta.Sequence.Stream, got+1
			if !yield(m, nil) {
				return last, false, nil
			}
			if meta.NumPending == 0 {
				return last, false, nil
			}
		}
		if err := group.Error(); err != nil {
			return last, true, err
		}
		if got == 0 {
			return last, true, errors.New("no answer from the broker")
		}
	}
}

func readerConfig(subject string, headersOnly bool, next uint64) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: next,
		AckPolicy: jetstream.AckNonePolicy, FilterSubject: subject, HeadersOnly: headersOnly,
		MemoryStorage: true, Replicas: 1, InactiveThreshold: time.Minute,
	}
}

// drop removes a reader's consumer; if it cannot, the broker does so after a
// minute.
func (q *Queue) drop(ctx context.Context, s jetstream.Stream, c jetstream.Consumer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if q.nc.IsConnected() {
		_ = s.DeleteConsumer(ctx, c.CachedInfo().Name)
	}
}

// count counts a stream's messages of a subject.
func (q *Queue) count(ctx context.Context, s jetstream.Stream, subject string) (int64, error) {
	c, err := s.CreateConsumer(ctx, readerConfig(subject, true, 1))
	if err != nil {
		return 0, fmt.Errorf("counting %s: %w", subject, err)
	}
	defer q.drop(ctx, s, c)
	return int64(c.CachedInfo().NumPending), nil
}

// decoded turns messages into what they hold; one that cannot be decoded is
// yielded as an error, and reading goes on.
func decoded[T any](msgs iter.Seq2[jetstream.Msg, error], decode func(jetstream.Msg) (T, error)) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for m, err := range msgs {
			var v T
			if err == nil {
				v, err = decode(m)
			}
			if !yield(v, err) {
				return
			}
		}
	}
}
