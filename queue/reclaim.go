package queue

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go/jetstream"
)

// Reclaim takes back everything that is lent or deferred, to be lent anew at
// once rather than when the leases are over, and puts the calls in flight into
// the book, presumed paid. It is for whoever has just started the server for
// itself: nobody who was lent anything before can get at it any more. What
// comes back is looked up before it is paid for.
func (q *Queue) Reclaim(ctx context.Context) error {
	var consumers []*jetstream.ConsumerInfo
	list := q.jobs.ListConsumers(ctx)
	for c := range list.Info() {
		consumers = append(consumers, c)
	}
	if err := list.Err(); err != nil {
		return fmt.Errorf("taking back what is lent: %w", err)
	}
	for _, c := range consumers {
		if err := q.takeBack(ctx, c); err != nil {
			return fmt.Errorf("taking back the jobs of batch %s: %w", c.Name, err)
		}
	}
	return q.presumeAll(ctx)
}

// takeBack has the batch dealt anew from its first job on that is not done.
func (q *Queue) takeBack(ctx context.Context, c *jetstream.ConsumerInfo) error {
	_, err := q.resume(ctx, c.Name)
	over := errors.Is(err, ErrNoBatch)
	if err != nil && !over {
		return err
	}
	err = q.jobs.DeleteConsumer(ctx, c.Name)
	if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
		return err
	}
	if over {
		return nil
	}
	cfg := q.consumerConfig(c.Name)
	cfg.DeliverPolicy, cfg.OptStartSeq = jetstream.DeliverByStartSequencePolicy, c.AckFloor.Stream+1
	cfg.Metadata[againKey] = strconv.FormatUint(max(c.Delivered.Stream, dealtBefore(c)), 10)
	return q.insist(ctx, c.Name, q.cfg.StorePatience, func() error {
		_, err := q.js.CreateConsumer(ctx, q.stream("JOBS"), cfg)
		return err
	})
}

// againKey is up to which sequence a consumer lends jobs that were lent before.
// Many of them may be done: all that were behind one that is not.
const againKey = "drover-again"

func dealtBefore(c *jetstream.ConsumerInfo) uint64 {
	n, _ := strconv.ParseUint(c.Config.Metadata[againKey], 10, 64) // 0 where there is none
	return n
}

// resume has every job of the batch looked up from now on before it is paid
// for: it may have been lent before.
func (q *Queue) resume(ctx context.Context, id string) (*manifest, error) {
	return q.update(ctx, id, func(m *manifest) error {
		if m.Resumed {
			return errUnchanged
		}
		m.Resumed = true
		return nil
	})
}
