package queue

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Position is how far enqueueing a batch has come: how many jobs are in, the
// custom id of the last, and a running hash of all custom ids and of their
// marks, see Writer.Mark. Two positions are equal exactly when the same of these
// led to them in the same order.
type Position struct {
	Count int64  `json:"count"`
	Last  string `json:"last"`
	Sum   string `json:"sum"`
}

// Next is the position after one more job, whose mark may be empty. Walking
// one's input with it from the zero Position until Count is that of
// Writer.Position tells whether the input is still the same.
func (p Position) Next(customID, mark string) Position {
	said := p.Sum + "\x00" + customID
	if mark != "" {
		said += "\x00" + mark
	}
	h := sha256.Sum256([]byte(said))
	return Position{p.Count + 1, customID, hex.EncodeToString(h[:12])}
}

// cursor is the message that ends every group of jobs.
type cursor struct {
	Position
	By string `json:"by"` // the Writer that stored it
}

// errCursor says that what stands where a batch's cursor should be is none.
var errCursor = errors.New("it is no cursor")

// cursorOf reads the newest cursor, which the broker committed with the last
// group of jobs, and its sequence, 0 before the first group. With errCursor there
// is the sequence alone.
func (q *Queue) cursorOf(ctx context.Context, batch string) (cursor, uint64, error) {
	var c cursor
	m, err := lastOn(ctx, q.jobs, q.names.cursor(batch))
	if err != nil || m == nil {
		return c, 0, err
	}
	if err := json.Unmarshal(m.Data, &c); err != nil {
		return cursor{}, m.Sequence, fmt.Errorf("decoding the cursor of batch %s: %w: %w", batch, errCursor, err)
	}
	return c, m.Sequence, nil
}

// cursorMsg replaces the cursor with sequence after, and no other.
func (q *Queue) cursorMsg(batch string, c cursor, after uint64) *nats.Msg {
	data, _ := json.Marshal(c) // strings and a number: cannot fail
	m := newMsg(q.names.cursor(batch), data)
	m.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupSubject)
	expect(m, after)
	return m
}
