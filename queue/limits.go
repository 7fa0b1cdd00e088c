package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/drover-batch/drover/jobs"
)

// limitsKey holds the limits that were set at run time, by account.
const limitsKey = "limits"

// Limits returns the limits that SetLimit gave, by account.
func (q *Queue) Limits(ctx context.Context) (map[string]jobs.USD, error) {
	limits, _, err := q.limits(ctx)
	return limits, err
}

func (q *Queue) limits(ctx context.Context) (limits map[string]jobs.USD, revision uint64, err error) {
	e, err := q.settings.Get(ctx, limitsKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("reading the limits that were set: %w", err)
	}
	if err := json.Unmarshal(e.Value(), &limits); err != nil {
		return nil, 0, fmt.Errorf("decoding the limits that were set: %w", err)
	}
	return limits, e.Revision(), nil
}

// SetLimit puts on record that an account has this limit, 0 for its configured
// one, so that whoever loses the shared state knows it again.
func (q *Queue) SetLimit(ctx context.Context, account string, limit jobs.USD) error {
	for {
		limits, revision, err := q.limits(ctx)
		if err != nil {
			return err
		}
		if limits[account] == limit {
			return nil
		}
		if limits = maps.Clone(limits); limits == nil {
			limits = map[string]jobs.USD{}
		}
		limits[account] = limit
		if limit == 0 {
			delete(limits, account)
		}
		data, err := json.Marshal(limits)
		if err != nil {
			return fmt.Errorf("encoding the limit of %s: %w", account, err)
		}
		_, err = q.settings.Update(ctx, limitsKey, data, revision)
		if err == nil {
			return nil
		}
		if !conflict(err) && !errors.Is(err, jetstream.ErrKeyExists) {
			return fmt.Errorf("recording the limit of %s: %w", account, err)
		}
	}
}
