package lua

import (
	"context"
	"crypto/rand"
	_ "embed"
	"fmt"
	"slices"
	"time"

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

// settle marks calls as being in the book; see driver.lua.
//
//	KEYS  records, booked
//	ARGV  for how many seconds they are remembered, and the calls
var settle = redis.NewScript(`
for i, record in ipairs(redis.call('HMGET', KEYS[1], unpack(ARGV, 2))) do
  local state = record and string.sub(record, 1, 1)
  if state == 'I' then
    redis.call('HSET', KEYS[1], ARGV[i + 1], 'B' .. string.sub(record, 2))
  elseif state == 'P' then
    redis.call('HDEL', KEYS[1], ARGV[i + 1])
  end
end
redis.call('SADD', KEYS[2], unpack(ARGV, 2))
redis.call('EXPIRE', KEYS[2], ARGV[1])
return 'done'`)

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
// left are in the book: a late Leave of theirs gives back what the call took,
// but counts no cost, which is in the sums already.
func (s *Script) Open(ctx context.Context, rdb redis.Cmdable, epoch string, left []string) error {
	keys := []string{s.keys.Key("records"), s.keys.Key("booked")}
	for chunk := range slices.Chunk(left, 1000) {
		args := make([]any, 1, 1+len(chunk))
		args[0] = int(remembered / time.Second)
		for _, call := range chunk {
			args = append(args, call)
		}
		if err := settle.Run(ctx, rdb, keys, args...).Err(); err != nil {
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

// Shut has the sums rebuilt before the next call is admitted. What is on record
// of calls in flight stays.
func (s *Script) Shut(ctx context.Context, rdb redis.Cmdable) error {
	if err := rdb.Del(ctx, s.keys.Key("epoch")).Err(); err != nil {
		return fmt.Errorf("shutting the gate: %w", err)
	}
	return nil
}
