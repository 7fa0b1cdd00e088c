package lua

import (
	"context"
	"crypto/rand"
	_ "embed"
	"fmt"
	"slices"

	"github.com/redis/go-redis/v9"
)

// Trust is Lua to be put in front of a script that has to know whether the
// sums can be trusted: trusted(epoch) tells, given what GET returned for the
// epoch's key.
//
//go:embed epoch.lua
var Trust string

// KEYS[1] epoch. Both return a string.
var (
	historyNow = redis.NewScript(Trust + `return history()`)
	epochNow   = redis.NewScript(Trust + `
local epoch = redis.call('GET', KEYS[1])
return trusted(epoch) and epoch or ''`)
)

// NewEpoch names an epoch for Open. It is to be taken before the first of the
// sums is written: they are trusted only as long as the shared state has been
// through no restart and no failover since.
func (s *Script) NewEpoch(ctx context.Context, rdb redis.Scripter) (string, error) {
	history, err := historyNow.Run(ctx, rdb, []string{s.keys.Key("epoch")}).Text()
	if err != nil {
		return "", fmt.Errorf("beginning a new epoch: %w", err)
	}
	return rand.Text() + "@" + history, nil
}

// Open declares the sums trustworthy under an epoch of NewEpoch's. The calls in
// left count as having left, so that a late Leave of theirs changes nothing:
// their cost is in the sums already.
func (s *Script) Open(ctx context.Context, rdb redis.Cmdable, epoch string, left []string) error {
	booked, records := s.keys.Key("booked"), s.keys.Key("records")
	for chunk := range slices.Chunk(left, 1000) {
		_, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
			p.HDel(ctx, records, chunk...)
			p.SAdd(ctx, booked, chunk)
			p.Expire(ctx, booked, remembered)
			return nil
		})
		if err != nil {
			return fmt.Errorf("marking calls as settled: %w", err)
		}
	}
	if err := rdb.Set(ctx, s.keys.Key("epoch"), epoch, 0).Err(); err != nil {
		return fmt.Errorf("opening the gate: %w", err)
	}
	return nil
}

// Epoch returns the current epoch, "" while the gate is shut.
func (s *Script) Epoch(ctx context.Context, rdb redis.Scripter) (string, error) {
	return epochNow.Run(ctx, rdb, []string{s.keys.Key("epoch")}).Text()
}
